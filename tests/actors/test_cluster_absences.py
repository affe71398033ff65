"""Absences longer than tombstones live: what was removed meanwhile stays away, and what lives is kept."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import trio
from trio.testing import MockClock

from artemis.actors.frames import Want, Word
from artemis.store.contacts import Absence, Contact
from artemis.store.instances import Instance
from artemis.store.management.management import TOMBSTONE_TTL_MS
from artemis.store.management.records import Record
from artemis.store.registry import RegistrySettings

from .cluster_world import Node, Remains, SkewedClock, World, all_up, eventually, instance, open_world
from .test_cluster_partitions import beat

TOMBSTONE_S = 5.0
LEASE_S = 20.0
SHORT_MEMORY = RegistrySettings("lab", tombstone_ttl_s=TOMBSTONE_S)
KNOWN_S = 3.0
"""After so long every node has heard in a ping that the others hold the same."""
DAY_MS = 24 * 3600 * 1000


def lasting(name: str) -> Instance:
    """An instance with a lease of an hour."""
    return instance("svc", name, metadata={"artemis.lease-ttl-ms": "3600000"})


@asynccontextmanager
async def open_forgetful(*names: str) -> AsyncGenerator[World, None]:
    async with open_world(*names, registry=SHORT_MEMORY) as world:
        yield world


def again(world: World, name: str, remains: Remains | None = None, clock: SkewedClock | None = None) -> Node:
    return world.start(name, registry=SHORT_MEMORY, remains=remains, clock=clock)


async def never(condition: Callable[[], bool], *, for_s: float) -> None:
    """See that a condition does not hold, at any time."""
    until_s = trio.current_time() + for_s
    while trio.current_time() < until_s:
        assert not condition()
        await trio.sleep(0.05)


async def test_what_was_removed_while_a_node_was_away_is_not_brought_back(autojump_clock: MockClock) -> None:
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("of-b"))
        world["a"].register(lasting("of-a"))
        await trio.sleep(KNOWN_S)
        remains = world["b"].remains()
        await world.kill("b")
        world["a"].unregister(("svc", "of-b"), ("svc", "of-a"))
        await trio.sleep(TOMBSTONE_S + 7)
        assert world["a"].registry.entry_count == 0, "no tombstone is left that could tell"
        again(world, "b", remains)
        assert world["b"].names("svc") == ["of-a", "of-b"], "it knows what it knew"
        await all_up(world)
        await never(lambda: bool(world["a"].names("svc") or world["b"].names("svc")), for_s=60)
        assert world.agree()


async def test_what_a_client_renewed_meanwhile_survives_wherever_it_is_unknown(autojump_clock: MockClock) -> None:
    """The clients of a node that was cut off go on with it: its peers have to learn, and not it to forget."""
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("renewed"), lasting("removed"), lasting("silent"))
        await trio.sleep(KNOWN_S)
        world.network.partition(["a"], ["b"])
        await trio.sleep(4)
        world["b"].register(lasting("new"))
        world["b"].heartbeat("svc", "renewed")
        world["a"].unregister(("svc", "removed"))
        await trio.sleep(4 * TOMBSTONE_S)
        world.network.heal()
        await eventually(lambda: world["a"].names("svc") == ["new", "renewed", "silent"])
        await eventually(lambda: world["b"].names("svc") == ["new", "renewed", "silent"])
        await never(lambda: "removed" in world["a"].names("svc") + world["b"].names("svc"), for_s=60)
        assert world["a"].names("svc") == world["b"].names("svc") == ["new", "renewed", "silent"]


async def test_nobody_offers_in_the_first_moments_what_a_peer_removed(autojump_clock: MockClock) -> None:
    """Whichever of the two begins, and also where the renewals of before the partition were never acknowledged."""
    for removing, holding in ("ab", "ba"):
        async with open_forgetful("a", "b") as world:
            world[holding].register(lasting("i1"))
            await trio.sleep(KNOWN_S)
            world.network.partition(["a"], ["b"])
            await trio.sleep(1)
            world[removing].unregister(("svc", "i1"))
            await trio.sleep(4 * TOMBSTONE_S)
            world.network.heal()
            await never(lambda removing=removing: bool(world[removing].names("svc")), for_s=30)  # type: ignore[misc]
            assert world[holding].names("svc") == []
            assert "delete" in world[holding].changes.kinds("svc"), "subscribers are told"


async def test_a_client_that_renews_at_once_after_the_restart_keeps_its_instance(autojump_clock: MockClock) -> None:
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("i1"))
        await trio.sleep(KNOWN_S)
        remains = world["b"].remains()
        await world.kill("b")
        world["a"].unregister(("svc", "i1"))
        await trio.sleep(4 * TOMBSTONE_S)
        again(world, "b", remains).heartbeat("svc", "i1")
        await eventually(lambda: world["a"].names("svc") == ["i1"])
        await trio.sleep(60)
        assert world["a"].names("svc") == world["b"].names("svc") == ["i1"]


async def test_a_peer_that_has_lost_its_memory_decides_nothing(autojump_clock: MockClock) -> None:
    """It lacks everything. What is restored has its lease of grace, and is not offered."""
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("i1"))
        await trio.sleep(KNOWN_S)
        remains = world["b"].remains()
        await world.kill("b")
        await world.kill("a")
        await trio.sleep(4 * TOMBSTONE_S)
        again(world, "a")
        await all_up(world, "a")
        again(world, "b", remains)
        await all_up(world, "b")
        await trio.sleep(10)
        assert world["b"].names("svc") == ["i1"]
        await never(lambda: bool(world["a"].names("svc")), for_s=LEASE_S)
        assert world["b"].names("svc") == []


async def test_a_newcomer_with_an_empty_disk_gets_what_was_not_heard_for_long(autojump_clock: MockClock) -> None:
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("i1"))
        await trio.sleep(KNOWN_S)
        await world.kill("a")
        await trio.sleep(4 * TOMBSTONE_S)
        again(world, "a")
        await all_up(world, "a")
        assert world["a"].names("svc") == ["i1"]
        await trio.sleep(60)
        assert world["a"].names("svc") == world["b"].names("svc") == ["i1"]


async def test_memory_outlives_a_rolling_restart(autojump_clock: MockClock) -> None:
    """Each node that restarts takes over everything from one that is up, and so remembers what that one does."""
    async with open_forgetful("a", "b", "c") as world:
        world["b"].register(lasting("gone"), lasting("there"))
        await trio.sleep(KNOWN_S)
        away = world["b"].remains()
        await world.kill("b")
        world["a"].unregister(("svc", "gone"))
        await trio.sleep(4 * TOMBSTONE_S)
        for name in "ac":
            remains = world[name].remains()
            await world.kill(name)
            again(world, name, remains)
            await all_up(world, name)
            await trio.sleep(2 * LEASE_S)
            assert world[name].names("svc") == ["there"], "its lease is known to the others"
        again(world, "b", away)
        await all_up(world, "b")
        await never(lambda: any("gone" in world[name].names("svc") for name in "abc"), for_s=30)
        assert world["b"].names("svc") == ["there"]


async def test_both_were_away_and_the_removal_is_remembered(autojump_clock: MockClock) -> None:
    """While a node is off its tombstones do not age: its peer cannot have learnt of them."""
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("i1"))
        await trio.sleep(KNOWN_S)
        of_b = world["b"].remains()
        await world.kill("b")
        world["a"].unregister(("svc", "i1"))
        await trio.sleep(1)
        of_a = world["a"].remains()
        await world.kill("a")
        await trio.sleep(10 * TOMBSTONE_S)
        again(world, "a", of_a)
        again(world, "b", of_b)
        await all_up(world)
        await never(lambda: bool(world["a"].names("svc") or world["b"].names("svc")), for_s=60)


async def test_a_lone_node_serves_what_it_knew_for_a_lease_of_grace(autojump_clock: MockClock) -> None:
    async with open_world("a", start=False) as world:
        again(world, "a").register(lasting("i1"), instance("svc", "i2"))
        remains = world["a"].remains()
        await world.kill("a")
        await trio.sleep(1000)
        again(world, "a", remains)
        await all_up(world)
        await trio.sleep(LEASE_S - 0.5)
        assert world["a"].names("svc") == ["i1", "i2"]
        await trio.sleep(1)
        assert world["a"].names("svc") == []


async def test_a_restart_learns_of_the_leases_that_peers_know(autojump_clock: MockClock) -> None:
    """Versions are the same on both sides, so comparing them says nothing about leases."""
    async with open_world("a", "b") as world:
        world["b"].register(lasting("long"), instance("svc", "short"))
        await trio.sleep(KNOWN_S)
        remains = world["b"].remains()
        await world.kill("b")
        await trio.sleep(1)
        world.start("b", remains=remains)
        await all_up(world)
        await trio.sleep(3 * LEASE_S)
        assert world["a"].names("svc") == world["b"].names("svc") == ["long"]


async def test_a_wall_clock_that_is_wrong_brings_nothing_back_elsewhere(autojump_clock: MockClock) -> None:
    """Behind or ahead: at worst the restarted node itself serves for one lease of grace what it knew."""
    for skew_ms in (-25_000, +25_000):
        async with open_forgetful("a", "b") as world:
            world["b"].register(lasting("i1"))
            await trio.sleep(KNOWN_S)
            remains = world["b"].remains()
            await world.kill("b")
            world["a"].unregister(("svc", "i1"))
            await trio.sleep(4 * TOMBSTONE_S)
            again(world, "b", remains, SkewedClock(skew_ms))
            await all_up(world)
            await never(lambda: bool(world["a"].names("svc")), for_s=LEASE_S + 1)
            assert world["b"].names("svc") == []


async def test_a_wall_clock_that_jumps_loses_nobody(autojump_clock: MockClock) -> None:
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("of-b"))
        world["a"].register(lasting("of-a"))
        for jump_ms in (+20_000, -20_000, +20_000):
            await trio.sleep(40)
            world["a"].clock.skew_ms += jump_ms
        await trio.sleep(40)
        assert world["a"].names("svc") == world["b"].names("svc") == ["of-a", "of-b"]


async def test_what_is_withheld_is_not_answered_either_unless_the_peer_asks_about_what_it_has(
    autojump_clock: MockClock,
) -> None:
    """A renewal from before the partition may arrive after it; the peer then asks for an instance that it removed."""
    async with open_forgetful("b") as world:
        world["b"].register(lasting("i1"))
        absence = Absence(Contact(world["b"].clock.now_ms(), trio.current_time(), trio.current_time()), conclusive=True)
        for bare, keys in ((False, []), (True, ["svc\ni1"])):
            answers = list(world["b"].tables.answer_want(Want("instances", ["svc\ni1"], 1, bare=bare), absence))
            assert [key for answer in answers if answer is not None for key in answer.keys] == keys


async def test_the_word_of_a_node_that_starts_does_not_count(autojump_clock: MockClock) -> None:
    async with open_forgetful("b") as world:
        world["b"].instance_contacts.met("a", now_s=trio.current_time(), now_ms=world["b"].clock.now_ms())
        await trio.sleep(2 * TOMBSTONE_S)
        for status, conclusive in (("starting", False), ("up", True), ("draining", True)):
            word = Word(status=status, now_ms=0, memory_ms={"instances": 10**9})
            absence = world["b"].tables.absence("instances", "a", word)
            assert absence is not None
            assert absence.conclusive is conclusive


# Suspects, and a node that starts


async def test_a_cold_start_takes_over_what_peers_suspect(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world, trio.open_nursery() as nursery:
        world["b"].register(instance("svc", "dies"), instance("svc", "moves"))
        await trio.sleep(KNOWN_S)
        await world.kill("b", silently=True)
        await trio.sleep(60)
        nursery.start_soon(beat, world, "a", "svc", "moves")
        await trio.sleep(6)
        assert world["a"].registry.overdue_count == world["c"].registry.overdue_count == 1
        world.network.heal()
        world.start("b")
        await all_up(world, "b")
        assert world["b"].names("svc") == ["dies", "moves"], "the first answer after it says that it is up"
        await trio.sleep(LEASE_S / 2)
        assert all(world[name].names("svc") == ["dies", "moves"] for name in "abc")
        await eventually(lambda: all(world[name].names("svc") == ["moves"] for name in "abc"), within_s=LEASE_S)
        assert world["b"].changes.kinds("svc").count("delete") == 1
        await trio.sleep(2 * LEASE_S)
        assert all(world[name].names("svc") == ["moves"] for name in "abc")
        nursery.cancel_scope.cancel()


async def test_a_cold_start_keeps_the_suspects_of_a_third_node_as_long_as_its_peers_do(
    autojump_clock: MockClock,
) -> None:
    for keeps_its_disk in (True, False):
        async with open_world("a", "b", "c") as world:
            world["c"].register(instance("svc", "of-c"))
            await trio.sleep(KNOWN_S)
            remains = world["b"].remains() if keeps_its_disk else None
            await world.kill("b")
            await world.kill("c", silently=True)
            await trio.sleep(60)
            world.start("b", remains=remains)
            await all_up(world, ["b"])
            for _ in range(100):
                assert world["a"].names("svc") == world["b"].names("svc") == ["of-c"]
                await trio.sleep(1)
            world.network.heal()
            world.start("c")
            await all_up(world, ["c"])
            assert world["c"].names("svc") == ["of-c"]
            await eventually(lambda: all(world[name].names("svc") == [] for name in "abc"), within_s=LEASE_S + 10)


async def test_suspects_that_were_taken_over_end_at_their_ceiling(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        world["c"].register(instance("svc", "of-c"))
        await trio.sleep(KNOWN_S)
        await world.kill("b")
        await world.kill("c", silently=True)
        await trio.sleep(300)
        world.start("b")
        await all_up(world, ["b"])
        ceiling_s = world["b"].registry.settings.preservation.ceiling_s
        await trio.sleep(ceiling_s - 310)
        assert world["b"].names("svc") == ["of-c"]
        await eventually(lambda: world["a"].names("svc") == world["b"].names("svc") == [], within_s=LEASE_S + 20)


# Decisions of operators


def decision(node: Node, name: str) -> Record:
    """An operator pulled an instance out."""
    value = {"regionId": "lab", "serviceId": "svc", "instanceId": name, "operation": "pull-out"}
    version = node.management.clock.next(node.clock.now_ms())
    return Record("instance-operation", f"lab\nsvc\n{name}\npull-out", version, msgspec.json.encode(value))


def decisions(node: Node) -> list[str]:
    return sorted(record.key.split("\n")[2] for record in node.management.tables.records() if record.value is not None)


async def test_decisions_that_were_removed_while_a_node_was_away_for_weeks_stay_removed(
    autojump_clock: MockClock,
) -> None:
    async with open_world("a", "b", start=False) as world:
        old = Remains(records_since_ms=0)
        world.start("a", remains=old)
        world.start("b", remains=old)
        await all_up(world)
        both = [decision(world["b"], name) for name in ("removed", "kept")]
        for record in both:
            world["b"].decide(record)
        await trio.sleep(KNOWN_S)
        remains = world["b"].remains()
        await world.kill("b")
        alone = decision(world["b"], "of-b-alone")
        alone = replace_version(
            alone, alone.version + (10_000 << 48)
        )  # taken while it was cut off, before it was killed
        remains = replace(remains, records=[*remains.records, alone])
        removal = Record(both[0].kind, both[0].key, world["a"].management.clock.next(world["a"].clock.now_ms()), None)
        world["a"].decide(removal)
        await pass_weeks(world["a"])
        assert decisions(world["a"]) == ["kept"]
        assert world["a"].management.tables.record(both[0].full_key) is None, "no tombstone is left that could tell"
        world.start("b", remains=remains, clock=SkewedClock(world["a"].clock.skew_ms))
        await all_up(world)
        await trio.sleep(40)
        assert decisions(world["a"]) == decisions(world["b"]) == ["kept", "of-b-alone"]
        assert both[0].full_key not in {r.full_key for r in world["b"].stored if isinstance(r, Record) and r.value}
        assert any(isinstance(r, Record) and r.full_key == both[0].full_key for r in world["b"].stored), "on disk, too"


async def test_a_node_whose_data_were_replaced_takes_no_decision_away(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a", remains=Remains(records_since_ms=0))
        world.start("b", remains=Remains(records_since_ms=0))
        await all_up(world)
        world["b"].decide(decision(world["b"], "kept"))
        await trio.sleep(KNOWN_S)
        remains = world["b"].remains()
        await world.kill("b")
        await pass_weeks(world["a"])
        skew_ms = world["a"].clock.skew_ms
        await world.kill("a")
        world.start("a", clock=SkewedClock(skew_ms))
        await all_up(world, "a")
        world.start("b", remains=remains, clock=SkewedClock(skew_ms))
        await all_up(world)
        await trio.sleep(40)
        assert decisions(world["a"]) == decisions(world["b"]) == ["kept"]


async def pass_weeks(node: Node) -> None:
    """More time than tombstones of records live, on the wall."""
    node.clock.skew_ms += TOMBSTONE_TTL_MS + DAY_MS
    node.management.forget(now_ms=node.clock.now_ms())
    await trio.sleep(1)


def replace_version(record: Record, version: int) -> Record:
    return msgspec.structs.replace(record, version=version)
