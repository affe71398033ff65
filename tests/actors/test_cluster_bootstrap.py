"""Starting and stopping: nobody hands out a picture that is half there, and nobody is left waiting."""

import logging
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from artemis.actors.cluster_settings import Forced, LinkSettings
from artemis.actors.ports import Dialer, DialFailed, Link

from .cluster_world import SkewedClock, all_up, eventually, instance, open_world


class CannotDial:
    """A node behind a firewall that lets nothing out."""

    async def dial(self, peer: str, *, answered: Callable[[], None]) -> Link:
        await trio.lowlevel.checkpoint()
        raise DialFailed("no route to host")


def cannot_dial(dialer: Dialer) -> Dialer:
    return CannotDial()


async def test_a_lone_node_is_up_at_once(autojump_clock: MockClock) -> None:
    async with open_world("a", start=False) as world:
        world.start("a")
        await all_up(world)
        assert trio.current_time() == 0


async def test_nodes_that_refuse_connections_are_not_waited_for(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        world.start("a")
        await all_up(world)
        assert trio.current_time() < 0.1


async def test_a_node_that_can_reach_nobody_waits_a_bounded_time(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.network.partition(["a"], ["b"])
        world.start("a")
        await all_up(world)
        assert 4 <= trio.current_time() < 4.5


async def test_a_newcomer_is_not_up_before_it_has_everything(autojump_clock: MockClock) -> None:
    """Pitfall 2: a node that starts empty does not hand out empty lists."""
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        await all_up(world)
        world["a"].register(*[instance("svc", f"i{n}") for n in range(2000)])
        world.network.slow([("a", "b"), ("b", "a")], delay_s=0.5)
        newcomer = world.start("b")
        await trio.sleep(3)
        assert newcomer.status == "starting"
        await newcomer.cluster.up.wait()
        assert len(newcomer.names("svc")) == 2000


async def test_a_slow_synchronisation_is_waited_for_longer_than_silence(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        await all_up(world)
        world["a"].register(*[instance("svc", f"i{n}") for n in range(5000)])
        world.network.slow([("a", "b"), ("b", "a")], delay_s=0.6)
        newcomer = world.start("b")
        await newcomer.cluster.up.wait()
        assert trio.current_time() > 5
        assert len(newcomer.names("svc")) == 5000


async def test_nodes_that_start_together_wait_for_each_other_but_not_for_ever(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        for name in "abc":
            world.start(name)
        await all_up(world)
        assert trio.current_time() < 1


async def test_a_node_that_cannot_dial_learns_everything_over_the_link_of_a_peer(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        await all_up(world)
        world["a"].register(*[instance("svc", f"i{n}") for n in range(500)])
        newcomer = world.start("b", dialer=cannot_dial)
        await newcomer.cluster.up.wait()
        assert len(newcomer.names("svc")) == 500
        newcomer.register(instance("svc", "of-b"))
        await trio.sleep(0.1)
        assert "of-b" in world["a"].names("svc")
        for _ in range(10):
            await trio.sleep(5)
            newcomer.heartbeat("svc", "of-b")
            assert "of-b" in world["a"].names("svc")


async def test_a_goodbye_makes_the_peer_down_at_once_and_its_leases_ordinary(autojump_clock: MockClock) -> None:
    """Pitfall 25: a node that stops tells its peers, and empties its outboxes."""
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(5)
        world["a"].register(instance("svc", "i2"))
        world["a"].cluster.drain()
        await world["a"].cluster.flush()
        assert world["b"].names("svc") == ["i1", "i2"]
        await trio.sleep(0.1)
        member = world["b"].cluster.membership.members["http://a:8080"]
        assert member.word is not None
        assert member.word.status == "draining"
        await world["a"].cluster.goodbye("maintenance")
        await trio.sleep(0.1)
        assert member.state.value == "down"
        await world.kill("a")
        await eventually(lambda: world["b"].names("svc") == [], within_s=20.5)


async def test_a_node_that_left_and_came_back_is_up_again(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        world["a"].cluster.drain()
        await world["a"].cluster.goodbye("update")
        await world.kill("a")
        await trio.sleep(30)
        world.start("a")
        await all_up(world)
        await eventually(world.is_meshed, within_s=10)
        assert world["b"].cluster.membership.members["http://a:8080"].state.value == "up"


async def test_two_nodes_of_one_name_are_kept_apart_with_a_reason(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        world.start("b", node_id="a")
        await trio.sleep(1)
        problem = world.nodes["a"].cluster.membership.members["http://b:8080"].problem
        assert "are both called a" in problem


async def test_a_peer_whose_clock_is_far_off_is_refused_with_a_reason(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        world.start("b", clock=SkewedClock(31_000))
        await trio.sleep(1)
        assert world["a"].cluster.conversations() == []
        assert "31.0 s apart" in world["a"].cluster.membership.members["http://b:8080"].problem


async def test_a_peer_with_another_secret_is_refused_with_a_reason(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        world.start("b", secrets=("another secret of the tests",))
        await trio.sleep(1)
        assert world["a"].cluster.conversations() == []
        assert "secret is not the same" in world["a"].cluster.membership.members["http://b:8080"].problem


OLD, NEW = "the secret until today", "the secret from today on"


async def test_the_secret_is_changed_without_a_moment_in_which_two_nodes_are_apart(autojump_clock: MockClock) -> None:
    """As docs/how-to/run-in-production.md has it: three rounds, one node after the other."""
    async with open_world("a", "b", "c", secrets=(OLD,)) as world:
        for secrets in ((OLD, NEW), (NEW, OLD), (NEW,)):
            for name in "abc":
                await world.kill(name)
                world.start(name, secrets=secrets)
                await all_up(world)
                await eventually(world.is_meshed)
                await trio.sleep(10)
                assert world.is_meshed(), (secrets, name)
        world["a"].register(instance("svc", "i1"))
        await eventually(lambda: world["c"].names("svc") == ["i1"], within_s=0.2)


async def test_to_change_the_secret_in_one_step_splits_the_cluster(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", secrets=(OLD,)) as world:
        await world.kill("a")
        world.start("a", secrets=(NEW, OLD))
        await trio.sleep(10)
        assert not world.is_meshed()


async def test_a_node_that_its_peers_refuse_stays_starting_and_says_why(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        for name in "ab":
            world.start(name)
        await all_up(world, "ab")
        stranger = world.start("c", secrets=("another secret of the tests",))
        await trio.sleep(300)
        assert stranger.status == "starting"
        assert not stranger.cluster.up.is_set()
        reason = stranger.cluster.convergence()["reason"]
        assert isinstance(reason, str)
        assert "http://a:8080: refused by the peer: the cluster secret is not the same" in reason
        assert world["a"].cluster.convergence()["reason"] is None
        not_ready = [record for record in caplog.records if "this node is not ready" in record.getMessage()]
        assert len(not_ready) == 1
        assert len([record for record in caplog.records if "was not accepted" in record.getMessage()]) <= 3 * 2
        await world.kill("c")
        world.start("c")
        await all_up(world)


async def test_one_node_with_a_wrong_secret_does_not_keep_the_others_from_starting(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        for name, secret in (("a", OLD), ("b", OLD), ("c", NEW)):
            world.start(name, secrets=(secret,))
        await all_up(world, "ab")
        await trio.sleep(60)
        assert [world[name].status for name in "abc"] == ["up", "up", "starting"]


async def test_nodes_that_start_together_on_slow_machines_wait_for_each_other(autojump_clock: MockClock) -> None:
    """Not one of them goes up alone: what each knew before is known to all when the first is up."""
    async with open_world("a", "b", "c", start=False) as world:
        world.network.slow([(near, far) for near in "abc" for far in "abc" if near != far], delay_s=0.6)
        for name in "abc":
            world.start(name).register(instance("svc", f"of-{name}"))
        await eventually(lambda: any(node.status == "up" for node in world.nodes.values()), within_s=30)
        assert trio.current_time() > 4
        for node in world.nodes.values():
            if node.status == "up":
                assert node.names("svc") == ["of-a", "of-b", "of-c"]
        await all_up(world)
        assert trio.current_time() < 30


async def test_a_black_hole_is_waited_for_no_longer_than_half_a_minute(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        hole = world.network.listen("b")  # takes every connection, and never says a word
        node = world.start("a")
        await trio.sleep(29)
        assert node.status == "starting"
        assert "waiting for http://b:8080" in node.cluster.membership.reason
        await all_up(world)
        assert trio.current_time() < 31
        hole.close()


async def test_two_nodes_of_one_name_do_not_take_turns(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        for name in "ab":
            world.start(name)
        await all_up(world)
        twin = world.start("c", node_id="a")
        await trio.sleep(60)
        assert (world["a"].status, world["b"].status, twin.status) == ("up", "up", "starting")
        for node, other in ((world["a"], "http://c:8080"), (twin, "http://a:8080"), (twin, "http://b:8080")):
            problem = node.cluster.membership.members[other].problem
            assert "are both called a; give one of them another node.id" in problem, (node.name, other)
        assert twin.cluster.conversations() == []
        await world.kill("a")
        await trio.sleep(20)
        assert world["b"].cluster.conversations() == [], "the name is not given away"
        world.start("a")
        await all_up(world, "ab")
        await trio.sleep(10)
        assert {peer.peer.url for peer in world["b"].cluster.conversations()} == {"http://a:8080"}
        assert twin.status == "starting"


async def test_of_two_nodes_of_one_name_the_one_that_is_up_is_taken(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        world.start("a")
        await all_up(world)
        world.network.partition(["a"], ["b", "c"])
        not_listed = {"zone1": ["http://a:8080", "http://b:8080"]}  # so it never is up
        twin = world.start("c", node_id="a", nodes=not_listed)
        world.start("b")
        await all_up(world, "b")
        assert {peer.peer.url for peer in world["b"].cluster.conversations()} == {"http://c:8080"}
        world.network.heal()
        await trio.sleep(20)
        assert {peer.peer.url for peer in world["b"].cluster.conversations()} == {"http://a:8080"}
        assert twin.status == "starting"


async def test_a_node_that_is_not_in_its_list_is_not_ready_and_says_so_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("b")
        await all_up(world)
        misnamed = world.start("a", url="http://alias-of-a:8080")
        await trio.sleep(60)
        assert misnamed.status == "starting"
        assert "cluster.nodes calls this node http://a:8080, but node.url is" in misnamed.cluster.membership.reason
        errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert len([text for text in errors if "cluster.nodes" in text]) == 1, errors


async def test_an_operator_may_force_a_node_up_or_down(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", start=False) as world:
        world.network.partition(["a"], ["b"], ["c"])
        up = world.start("a", forced=Forced(up=True))
        down = world.start("b", forced=Forced(down=True))
        half = world.start("c", forced=Forced(registry_up=True, discovery_down=True))
        await trio.sleep(1)
        assert (up.status, down.status, half.status) == ("up", "down", "starting")
        assert up.cluster.up.is_set()
        assert not down.cluster.up.is_set()
        assert (half.cluster.membership.can_register, half.cluster.membership.can_discover) == (True, False)
        await trio.sleep(10)
        assert down.status == "down"


async def test_a_crashed_replicator_is_rebuilt_and_misses_nothing(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=LinkSettings(anti_entropy_s=3600)) as world:
        await trio.sleep(5)
        broken = world["a"].cluster.replicators["http://b:8080"]

        def crash(conversation: object) -> None:
            raise RuntimeError("a bug")

        broken._reconciler.round = crash  # type: ignore[assignment,method-assign]
        broken.reconcile()
        await eventually(lambda: world["a"].cluster.replicators["http://b:8080"] is not broken)
        world["a"].register(instance("svc", "i1"))
        await eventually(lambda: world["b"].names("svc") == ["i1"])
