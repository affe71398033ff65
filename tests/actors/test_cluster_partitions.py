"""Partitions: each side serves on, nothing that lives is lost, and what was removed stays removed."""

import trio
from trio.testing import MockClock

from artemis.store.instances import decode_instance
from artemis.store.management.kinds import GROUP, Group

from .cluster_world import SkewedClock, World, all_up, eventually, instance, open_world


async def beat(world: World, node: str, service: str, name: str, *, every_s: float = 5.0) -> None:
    """A client that heartbeats for ever."""
    while True:
        await trio.sleep(every_s)
        world[node].heartbeat(service, name)


def state_of_b(world: World) -> str:
    return world["a"].cluster.membership.members["http://b:8080"].state.value


async def test_a_partition_longer_than_a_lease_loses_no_instance_on_either_side(autojump_clock: MockClock) -> None:
    """Pitfall 1: a node that merely stops hearing doubts itself, and tells nobody to delete anything."""
    async with open_world("a", "b", "c") as world, trio.open_nursery() as nursery:
        world["a"].register(instance("svc", "at-a"))
        world["b"].register(instance("svc", "at-b"))
        nursery.start_soon(beat, world, "a", "svc", "at-a")
        nursery.start_soon(beat, world, "b", "svc", "at-b")
        await trio.sleep(5)
        world.network.partition(["a"], ["b", "c"])
        for _ in range(90):
            await trio.sleep(1)
            assert all(world[name].names("svc") == ["at-a", "at-b"] for name in "abc")
        assert world["b"].registry.overdue_count == 1
        world.network.heal()
        for _ in range(60):
            await trio.sleep(1)
            assert all(world[name].names("svc") == ["at-a", "at-b"] for name in "abc")
        assert world["b"].registry.overdue_count == 0
        assert all("delete" not in world[name].changes.kinds("svc") for name in "abc")
        nursery.cancel_scope.cancel()


async def test_a_one_way_partition_loses_no_instance(autojump_clock: MockClock) -> None:
    """The half that still arrives must not make the node believe that everything does."""
    async with open_world("a", "b") as world, trio.open_nursery() as nursery:
        world["a"].register(instance("svc", "at-a"))
        nursery.start_soon(beat, world, "a", "svc", "at-a")
        await trio.sleep(5)
        world.network.cut([("a", "b")])
        for _ in range(60):
            await trio.sleep(1)
            assert world["b"].names("svc") == ["at-a"]
        world.network.heal()
        for _ in range(60):
            await trio.sleep(1)
            assert world["b"].names("svc") == ["at-a"]
        nursery.cancel_scope.cancel()


async def test_an_instance_that_died_during_a_partition_is_gone_everywhere_after_the_heal(
    autojump_clock: MockClock,
) -> None:
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "at-a"))
        await trio.sleep(5)
        world.network.partition(["a"], ["b"])
        await trio.sleep(60)
        assert world["a"].names("svc") == []
        assert world["b"].names("svc") == ["at-a"]
        world.network.heal()
        await eventually(lambda: world["b"].names("svc") == [], within_s=20 + 6 + 1)


async def test_a_removal_during_a_partition_is_not_undone_by_the_heal(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world, trio.open_nursery() as nursery:
        world["a"].register(instance("svc", "i1"))
        nursery.start_soon(beat, world, "a", "svc", "i1")
        await trio.sleep(5)
        world.network.partition(["a"], ["b", "c"])
        await trio.sleep(20)
        world["a"].unregister(("svc", "i1"))
        await trio.sleep(20)
        world.network.heal()
        await eventually(lambda: all(world[name].names("svc") == [] for name in "abc"), within_s=10)
        for _ in range(60):
            await trio.sleep(1)
            assert all(world[name].names("svc") == [] for name in "abc")
        nursery.cancel_scope.cancel()


async def test_both_sides_take_writes_and_agree_after_the_heal(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        await trio.sleep(5)
        world.network.partition(["a"], ["b", "c"])
        for n in range(50):
            world["a"].register(instance("svc", f"a{n}"), instance("svc", f"both{n}", port=1))
            world["b"].register(instance("svc", f"b{n}"), instance("svc", f"both{n}", port=2))
        await trio.sleep(15)
        world.network.heal()
        await eventually(lambda: world.agree() and len(world["a"].names("svc")) == 150, within_s=10)


async def test_a_half_open_link_is_noticed_by_pings(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        await trio.sleep(5)
        world.network.partition(["a"], ["b"])
        await trio.sleep(4)
        assert state_of_b(world) == "suspect"
        await trio.sleep(4)
        assert world["a"].cluster.conversations() == []
        await trio.sleep(5)
        assert state_of_b(world) == "down"
        world.network.heal()
        await eventually(world.is_meshed, within_s=10)
        assert state_of_b(world) == "up"


async def test_a_killed_node_leaves_suspects_until_its_clients_have_moved(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world, trio.open_nursery() as nursery:
        world["a"].register(instance("svc", "moves"), instance("svc", "dies"))
        await trio.sleep(5)
        await world.kill("a", silently=True)
        nursery.start_soon(beat, world, "b", "svc", "moves")
        for _ in range(60):
            await trio.sleep(1)
            assert world["b"].names("svc") == ["dies", "moves"]
        world.network.heal()
        world.start("a")
        await eventually(lambda: world["b"].names("svc") == ["moves"], within_s=30)
        await eventually(lambda: world["a"].names("svc") == ["moves"], within_s=1)
        nursery.cancel_scope.cancel()


async def test_a_link_that_breaks_again_and_again_keeps_no_dead_instance(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(1)
        for _ in range(11):
            await trio.sleep(2)
            world.network.reset("a", "b")
        assert world["b"].names("svc") == []


async def test_clocks_that_differ_by_seconds_do_no_harm(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a", clock=SkewedClock(14_000))
        world.start("b", clock=SkewedClock(-14_000))
        await all_up(world)
        await eventually(world.is_meshed)
        world["a"].register(instance("svc", "i1", port=1))
        await trio.sleep(0.1)
        world["b"].register(instance("svc", "i1", port=2))
        await trio.sleep(0.1)
        entry = world["a"].registry.find("svc", "i1")
        assert entry is not None
        assert b'"port":2' in entry.json
        world["b"].unregister(("svc", "i1"))
        await trio.sleep(0.1)
        assert world["a"].names("svc") == []


def statuses(world: World, service: str, name: str) -> set[str | None]:
    """What the nodes show of an instance."""
    found: set[str | None] = set()
    for node in world.nodes.values():
        entry = node.registry.find(service, name)
        found.add(None if entry is None or not entry.live else decode_instance(entry.json).status)
    return found


async def test_of_two_acknowledged_registrations_the_later_one_holds(autojump_clock: MockClock) -> None:
    """Also where it changes nothing: B does not know that A was told something else in between."""
    async with open_world("a", "b", "c") as world:
        world["a"].register(instance("svc", "i1", status="up"))
        await eventually(lambda: statuses(world, "svc", "i1") == {"up"})
        world.network.partition(["a"], ["b", "c"])
        world["a"].register(instance("svc", "i1", status="starting"))
        await trio.sleep(0.0005)
        world["b"].register(instance("svc", "i1", status="up"))
        await trio.sleep(1)
        assert statuses(world, "svc", "i1") == {"starting", "up"}
        world.network.heal()
        await eventually(lambda: world.is_meshed() and world.agree(), within_s=15)
        assert statuses(world, "svc", "i1") == {"up"}
        assert world["b"].changes.kinds("svc") == world["c"].changes.kinds("svc") == ["new"]


async def test_back_and_forth_within_a_millisecond_ends_with_the_last_word(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        names = [f"i{number}" for number in range(60)]
        world["a"].register(*(instance("svc", name, status="up") for name in names))
        await eventually(world.agree)
        for number, name in enumerate(names):
            first, second = ("a", "b") if number % 2 else ("b", "a")
            world[first].register(instance("svc", name, status="starting"))
            await trio.sleep(0.0001)
            world[second].register(instance("svc", name, status="up"))
            await trio.sleep(0.0001)
        await eventually(world.agree)
        assert all(statuses(world, "svc", name) == {"up"} for name in names)


async def test_news_of_what_changed_nothing_is_told_at_once_as_a_state(autojump_clock: MockClock) -> None:
    """Not as a renewal, to which the peer could only answer that it wants the state."""
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "i1"))
        await eventually(world.agree)
        await trio.sleep(1)
        pushed = world["b"].changes.kinds("svc")
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(0.05)
        here, there = world["a"].registry.find("svc", "i1"), world["b"].registry.find("svc", "i1")
        assert here is not None
        assert there is not None
        assert here.version == there.version
        assert world["b"].changes.kinds("svc") == pushed == ["new"]


async def test_a_removal_by_id_holds_for_what_the_node_had_not_heard_of(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        world.network.partition(["a"], ["b", "c"])
        group = Group(service_id="svc", region_id="lab", zone_id="z", name="g1")
        world["a"].plan(lambda draft: draft.put(GROUP, group))
        await trio.sleep(0.001)
        world["b"].plan(lambda draft: draft.remove_id(GROUP, group.group_id))
        await trio.sleep(1)
        world.network.heal()
        await eventually(lambda: world.is_meshed() and world.agree(), within_s=15)
        assert [list(node.management.tables[GROUP].values) for node in world.nodes.values()] == [[], [], []]
        tombstone, range_tombstone = sorted(world["c"].management.tables.records(), key=lambda record: record.kind)
        assert (tombstone.key, tombstone.version) == ("svc\nlab\nz\ng1", range_tombstone.version)
