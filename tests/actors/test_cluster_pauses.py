"""A process that did not run for longer than tombstones live has been away, as if it had been killed."""

import trio
from trio.testing import MockClock

from artemis.actors.frames import Word

from .cluster_world import eventually, instance
from .test_cluster_absences import KNOWN_S, LEASE_S, TOMBSTONE_S, lasting, never, open_forgetful

FROZEN_S = 4 * TOMBSTONE_S


async def test_what_a_frozen_node_heard_last_is_not_brought_back(autojump_clock: MockClock) -> None:
    """It holds what it could not tell any more: a renewal, and a registration. Both clients then went elsewhere."""
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("moved"), lasting("stays"))
        await trio.sleep(KNOWN_S)
        world["b"].heartbeat("svc", "moved")
        world["b"].register(lasting("late"))
        world.freeze("b")
        world["a"].unregister(("svc", "moved"), ("svc", "late"))
        await trio.sleep(FROZEN_S)
        assert world["a"].names("svc") == ["stays"]
        assert world["a"].registry.entry_count == 1, "no tombstone is left that could tell"
        world.thaw("b")
        await never(lambda: world["a"].names("svc") != ["stays"], for_s=60)
        assert world["b"].names("svc") == ["stays"], "its lease of an hour is known to the other node"
        assert world.agree()


async def test_a_client_that_goes_on_after_the_pause_keeps_its_instance(autojump_clock: MockClock) -> None:
    async with open_forgetful("a", "b") as world:
        world["b"].register(lasting("known"))
        await trio.sleep(KNOWN_S)
        b = world["b"]
        b.tables.replica("instances").met("a", now_s=b.clock.now_s(), now_ms=b.clock.now_ms())  # at the last moment
        b.register(lasting("late"))
        world.freeze("b")
        world["a"].unregister(("svc", "known"), ("svc", "late"))
        await trio.sleep(FROZEN_S)
        world.thaw("b")
        for name in ("known", "late"):
            assert world["b"].heartbeat("svc", name)
        await eventually(lambda: world["a"].names("svc") == ["known", "late"])
        await never(lambda: any(world[name].names("svc") != ["known", "late"] for name in "ab"), for_s=60)


async def test_what_waited_in_the_links_of_a_frozen_node_is_as_old_as_its_pause(autojump_clock: MockClock) -> None:
    """Heartbeats that a peer told while the node stood still, and its word that both hold the same."""
    async with open_forgetful("a", "b") as world:
        world["a"].register(lasting("i1"))
        await trio.sleep(KNOWN_S)
        world.freeze("b")
        world["a"].heartbeat("svc", "i1")
        await trio.sleep(1.5)
        world["a"].unregister(("svc", "i1"))
        await trio.sleep(FROZEN_S)
        world.thaw("b")
        await never(lambda: bool(world["a"].names("svc")), for_s=60)
        assert world["b"].names("svc") == []


async def test_the_word_of_a_node_that_was_frozen_does_not_count(autojump_clock: MockClock) -> None:
    """It could not hear of anything, so what it does not know may live."""
    async with open_forgetful("a", "b") as world:
        await trio.sleep(100)
        tables = world["b"].tables
        assert tables.memory_ms()["instances"] > 100_000
        world.network.partition(["a"], ["b"])
        world.freeze("b")
        await trio.sleep(FROZEN_S)
        assert tables.memory_ms()["instances"] == 0
        absence = tables.absence("instances", "a", Word(status="up", now_ms=0, memory_ms={"instances": 10**9}))
        assert absence is not None
        assert absence.conclusive, "but it takes the word of a peer"
        world.thaw("b")
        world.network.heal()
        await trio.sleep(10)
        assert tables.memory_ms()["instances"] > 100_000, "it has taken over what an up peer knows"


async def test_a_node_without_peers_that_was_frozen_keeps_its_leases(autojump_clock: MockClock) -> None:
    """Nobody else can have removed anything."""
    async with open_forgetful("a") as world:
        world["a"].register(lasting("long"), instance("svc", "short"))
        await trio.sleep(KNOWN_S)
        world.freeze("a")
        await trio.sleep(FROZEN_S)
        world.thaw("a")
        await trio.sleep(LEASE_S - KNOWN_S - 1)
        assert world["a"].names("svc") == ["long", "short"]
        await trio.sleep(60)
        assert world["a"].names("svc") == ["long"]


async def test_of_a_frozen_node_and_its_peers_all_keep_the_same_suspects(autojump_clock: MockClock) -> None:
    async with open_forgetful("a", "b", "c") as world:
        world["c"].register(instance("svc", "of-c"))
        await trio.sleep(KNOWN_S)
        await world.kill("c", silently=True)
        await trio.sleep(60)
        world.freeze("b")
        await trio.sleep(FROZEN_S)
        world.thaw("b")
        for _ in range(3 * int(LEASE_S)):
            await trio.sleep(1)
            assert world["a"].names("svc") == world["b"].names("svc") == ["of-c"]
