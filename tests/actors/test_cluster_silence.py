"""Nodes that can talk agree on what is dead, also when they doubt it."""

from functools import partial

import trio
from trio.testing import MockClock

from artemis.store.preservation import PreservationSettings

from .cluster_world import World, all_up, eventually, instance, open_world

CEILING_S = 120.0
SHORT = PreservationSettings(ceiling_s=CEILING_S)


async def agent(world: World, node: str, names: list[str], *, every_s: float, phase_s: float) -> None:
    """Renews all of them at once, for ever."""
    await trio.sleep(phase_s)
    while True:
        for name in names:
            world[node].heartbeat("svc", name)
        await trio.sleep(every_s)


def counts(world: World) -> set[int]:
    return {len(world[name].names("svc")) for name in world.nodes}


def protected(world: World) -> set[bool]:
    return {world[name].registry.is_protected() for name in world.nodes}


async def test_agents_with_bursts_at_several_nodes_excite_none_of_them(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", preservation=SHORT) as world, trio.open_nursery() as nursery:
        for number, node in enumerate("abc"):
            names = [f"{node}{n}" for n in range(70)]
            world[node].register(*(instance("svc", name) for name in names))
            nursery.start_soon(partial(agent, world, node, names, every_s=5.1 + number / 10, phase_s=number))
        await trio.sleep(10)
        for _ in range(600):
            await trio.sleep(0.25)
            assert protected(world) == {False}
            assert sum(world[name].registry.overdue_count for name in "abc") == 0
        assert counts(world) == {210}
        nursery.cancel_scope.cancel()


async def test_a_loss_is_doubted_by_all_nodes_and_accepted_by_all_at_the_same_time(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", preservation=SHORT) as world, trio.open_nursery() as nursery:
        living, dying = [f"l{n}" for n in range(140)], [f"d{n}" for n in range(60)]
        world["a"].register(*(instance("svc", name) for name in living))
        world["b"].register(*(instance("svc", name) for name in dying))
        nursery.start_soon(lambda: agent(world, "a", living, every_s=5.3, phase_s=1))
        with trio.move_on_after(60):
            await agent(world, "b", dying, every_s=6, phase_s=2)
        await eventually(lambda: protected(world) == {True}, within_s=21)
        offered = sum(
            world[name].cluster.statistics().replicators[url].rounds.repaired
            for name in "abc"
            for url in world[name].cluster.replicators
        )
        with trio.move_on_after(CEILING_S - 20):
            while True:
                await trio.sleep(1)
                assert counts(world) == {200}
        await eventually(lambda: counts(world) == {140}, within_s=25)
        since_s = trio.current_time()
        while trio.current_time() < since_s + CEILING_S:
            await trio.sleep(1)
            assert counts(world) == {140}
            assert protected(world) == {False}
        assert world.agree()
        assert offered == sum(
            world[name].cluster.statistics().replicators[url].rounds.repaired
            for name in "abc"
            for url in world[name].cluster.replicators
        )
        nursery.cancel_scope.cancel()


async def test_what_a_peer_has_judged_dead_is_not_kept_here_out_of_doubt(autojump_clock: MockClock) -> None:
    """One node doubts for ten minutes, another does not: they do not answer differently for ten minutes."""
    async with open_world("a", "b", start=False) as world, trio.open_nursery() as nursery:
        world.start("a", preservation=PreservationSettings(ceiling_s=600))
        world.start("b", preservation=PreservationSettings(threshold=0.5))
        await all_up(world)
        await eventually(world.is_meshed)
        living, dying = [f"l{n}" for n in range(70)], [f"d{n}" for n in range(30)]
        world["a"].register(*(instance("svc", name) for name in living + dying))
        nursery.start_soon(lambda: agent(world, "a", living, every_s=5, phase_s=1))
        with trio.move_on_after(30):
            await agent(world, "a", dying, every_s=5, phase_s=1)
        await trio.sleep(20.5)
        assert len(world["b"].names("svc")) == 70
        assert world["a"].registry.is_protected()
        await eventually(lambda: counts(world) == {70}, within_s=31)
        assert world["a"].changes.kinds("svc").count("delete") == 30
        assert world.agree()
        await trio.sleep(60)
        assert counts(world) == {70}
        nursery.cancel_scope.cancel()


async def test_a_peer_that_has_just_started_is_no_witness(autojump_clock: MockClock) -> None:
    """It does not hold what is doubted because it never knew it: that proves nothing."""
    async with open_world("a", "b", preservation=SHORT) as world, trio.open_nursery() as nursery:
        living, dying = [f"l{n}" for n in range(70)], [f"d{n}" for n in range(30)]
        world["a"].register(*(instance("svc", name) for name in living + dying))
        nursery.start_soon(lambda: agent(world, "a", living, every_s=5, phase_s=1))
        with trio.move_on_after(30):
            await agent(world, "a", dying, every_s=5, phase_s=1)
        await eventually(lambda: protected(world) == {True}, within_s=21)
        await world.kill("b")
        world.start("b", preservation=SHORT)
        await all_up(world)
        await trio.sleep(CEILING_S - 30)
        assert len(world["a"].names("svc")) == 100
        await trio.sleep(40)
        assert counts(world) == {70}
        nursery.cancel_scope.cancel()


async def test_a_node_that_starts_takes_over_what_its_peers_doubt(autojump_clock: MockClock) -> None:
    """Whoever renewed it, and whether anything is left on its disk: it serves and ends what they do, when they do."""
    for hearing, keeps_its_disk in (("a", False), ("a", True), ("b", False), ("b", True)):
        async with open_world("a", "b", "c", preservation=SHORT) as world, trio.open_nursery() as nursery:
            living, dying = [f"l{n}" for n in range(70)], [f"d{n}" for n in range(30)]
            world["a"].register(*(instance("svc", name) for name in living))
            world[hearing].register(*(instance("svc", name) for name in dying))
            nursery.start_soon(partial(agent, world, "a", living, every_s=5, phase_s=1))
            with trio.move_on_after(30):
                await agent(world, hearing, dying, every_s=5, phase_s=1)
            await eventually(lambda: protected(world) == {True}, within_s=21)
            remains = world["b"].remains() if keeps_its_disk else None
            await world.kill("b")
            await trio.sleep(25)
            world.start("b", preservation=SHORT, remains=remains)
            await all_up(world, ["b"])
            assert len(world["b"].names("svc")) == 100, "the first answer after it says that it is up"
            with trio.move_on_after(CEILING_S - 50):
                while True:
                    await trio.sleep(1)
                    assert counts(world) == {100}
            assert protected(world) == {True}
            await eventually(lambda: counts(world) == {70}, within_s=30)
            assert world["b"].changes.kinds("svc").count("delete") == 30
            nursery.cancel_scope.cancel()


async def test_what_was_taken_over_and_doubted_by_nobody_here_ends_after_a_lease(autojump_clock: MockClock) -> None:
    """The peer had its reason, which may be unknown here; and nothing is kept for ever because of it."""
    async with open_world("a", "b", start=False) as world, trio.open_nursery() as nursery:
        world.start("a", preservation=PreservationSettings(ceiling_s=600))
        await all_up(world)
        living, dying = [f"l{n}" for n in range(70)], [f"d{n}" for n in range(30)]
        world["a"].register(*(instance("svc", name) for name in living + dying))
        nursery.start_soon(partial(agent, world, "a", living, every_s=5, phase_s=1))
        await trio.sleep(40)
        world.start("b", preservation=PreservationSettings(threshold=0.5))
        await all_up(world)
        await trio.sleep(19)
        assert counts(world) == {100}
        await eventually(lambda: len(world["b"].names("svc")) == 70, within_s=3)
        nursery.cancel_scope.cancel()
