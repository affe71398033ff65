"""Anti-entropy: whatever was missed is found by comparing, in both directions, for every kind of table."""

import msgspec
import pytest
import trio
from trio.testing import MockClock

from artemis.actors.cluster_settings import LinkSettings
from artemis.store.management.records import Record

from .cluster_world import Node, World, eventually, instance, open_world

ONLY_ON_CONNECT = LinkSettings(anti_entropy_s=3600)


def register_quietly(node: Node, *names: str) -> None:
    """Register without telling the peers, as if every message had been lost."""
    now_s, now_ms = node.clock.now_s(), node.clock.now_ms()
    node.registry.register([instance("svc", name) for name in names], now_s=now_s, now_ms=now_ms)


def operation(node: Node, name: str, *, remove: bool = False) -> Record:
    """An operator pulls an instance out."""
    version = node.management.clock.next(node.clock.now_ms())
    value = {"regionId": "lab", "serviceId": "svc", "instanceId": name, "operation": "pull-out"}
    payload = None if remove else msgspec.json.encode(value)
    return Record("instance-operation", f"lab\nsvc\n{name}\npull-out", version, payload)


async def test_what_was_missed_is_exchanged_in_both_directions_on_reconnect(autojump_clock: MockClock) -> None:
    """Pitfall 3: events for a peer that is down may be dropped, because they are found again."""
    async with open_world("a", "b", links=ONLY_ON_CONNECT) as world:
        await trio.sleep(5)
        register_quietly(world["a"], "of-a")
        register_quietly(world["b"], "of-b")
        await trio.sleep(1)
        assert world["b"].names("svc") == ["of-b"]
        world.network.reset("a", "b")
        await eventually(lambda: world["a"].names("svc") == world["b"].names("svc") == ["of-a", "of-b"], within_s=3)
        assert world.agree()


async def test_tables_are_compared_at_an_interval_too(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=LinkSettings(anti_entropy_s=5)) as world:
        await trio.sleep(10)
        register_quietly(world["a"], "i1")
        await eventually(lambda: world["b"].names("svc") == ["i1"], within_s=6)


async def test_a_removal_that_was_missed_is_found(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=ONLY_ON_CONNECT) as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(5)
        now_s, now_ms = world["a"].clock.now_s(), world["a"].clock.now_ms()
        world["a"].registry.unregister([("svc", "i1")], now_s=now_s, now_ms=now_ms)
        world.network.reset("a", "b")
        await eventually(lambda: world["b"].names("svc") == [], within_s=3)
        assert world.agree()


async def test_a_third_node_heals_two_that_cannot_reach_each_other(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", links=LinkSettings(anti_entropy_s=5)) as world:
        world.network.partition(["a"], ["c"])
        world["a"].register(instance("svc", "i1"))
        await eventually(lambda: world["c"].names("svc") == ["i1"], within_s=15)


async def test_a_copied_lease_is_as_old_as_the_one_it_was_copied_from(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=ONLY_ON_CONNECT) as world:
        await trio.sleep(5)
        register_quietly(world["a"], "i1")
        await trio.sleep(15)
        world["b"].cluster.replicators["http://a:8080"].reconcile()
        await eventually(lambda: world["b"].names("svc") == ["i1"], within_s=3)
        await eventually(lambda: world["b"].names("svc") == [], within_s=5.5)


async def test_records_and_audits_reach_the_others_and_are_stored_there(autojump_clock: MockClock) -> None:
    """Pitfall 7: what an operator decides holds on every node."""
    async with open_world("a", "b") as world:
        await trio.sleep(5)
        world["a"].decide(operation(world["a"], "i1"))
        await trio.sleep(0.1)
        assert len(world["b"].management.tables) == 1
        assert len(world["b"].management.audit) == 1
        assert len(world["b"].stored) == 2
        assert world.agree()


async def test_records_and_audits_written_during_a_partition_are_exchanged(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        await trio.sleep(5)
        world.network.partition(["a"], ["b"])
        for n in range(700):
            world["a"].decide(operation(world["a"], f"a{n}"))
        world["b"].decide(operation(world["b"], "b1"))
        await trio.sleep(20)
        world.network.heal()
        await eventually(lambda: world.agree(), within_s=10)
        assert len(world["a"].management.audit) == len(world["b"].management.audit) == 701
        assert len(world["a"].management.tables) == 701


@pytest.mark.parametrize("count", [3_000])
async def test_many_rows_are_exchanged_in_slices(autojump_clock: MockClock, count: int) -> None:
    async with open_world("a", "b", links=ONLY_ON_CONNECT) as world:
        await trio.sleep(5)
        register_quietly(world["a"], *[f"a{n}" for n in range(count)])
        register_quietly(world["b"], *[f"b{n}" for n in range(count)])
        world.network.reset("a", "b")
        await eventually(lambda: len(world["a"].names("svc")) == 2 * count, within_s=5)
        await eventually(lambda: len(world["b"].names("svc")) == 2 * count, within_s=5)
        assert world.agree()
        assert largest_frame_bytes(world) < 1_000_000


def largest_frame_bytes(world: World) -> float:
    return max(traffic.bytes / traffic.frames for traffic in world.network.traffic.values())


async def test_nothing_is_exchanged_between_nodes_that_are_equal(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=LinkSettings(anti_entropy_s=2)) as world:
        world["a"].register(*[instance("svc", f"i{n}") for n in range(100)])
        await trio.sleep(8)
        rounds = world["b"].cluster.replicators["http://a:8080"].statistics().rounds
        assert rounds.done > 2
        assert rounds.repaired == 0


async def test_of_a_bucket_that_differs_only_the_rows_that_differ_are_exchanged(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=ONLY_ON_CONNECT) as world:
        world["a"].register(*[instance("svc", f"i{n}") for n in range(2_000)])
        await trio.sleep(5)
        before = sum(repaired(world, *pair) for pair in ("ab", "ba"))
        register_quietly(world["a"], "missed")
        world.network.reset("a", "b")
        await eventually(lambda: "missed" in world["b"].names("svc"), within_s=3)
        await trio.sleep(3)
        assert 1 <= sum(repaired(world, *pair) for pair in ("ab", "ba")) - before <= 2, (
            "pulled, or pushed, or both at once"
        )


def repaired(world: World, name: str, peer: str) -> int:
    """Rows that this node exchanged with a peer in rounds of anti-entropy."""
    return world[name].cluster.replicators[f"http://{peer}:8080"].statistics().rounds.repaired


async def test_a_link_that_is_lost_during_a_round_is_no_harm(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=ONLY_ON_CONNECT) as world:
        await trio.sleep(5)
        register_quietly(world["a"], *[f"a{n}" for n in range(3000)])
        world.network.slow([("a", "b"), ("b", "a")], delay_s=0.01)
        for _ in range(5):
            world.network.reset("a", "b")
            await trio.sleep(0.25)
        await eventually(lambda: len(world["b"].names("svc")) == 3000)
        assert world.agree()
