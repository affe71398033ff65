"""What one node's clients do reaches the other nodes: at once, in the right order, and once."""

import trio
from trio.testing import MockClock

from artemis.actors.cluster_settings import LinkSettings

from .cluster_world import eventually, instance, open_world


async def test_a_registration_is_on_every_node_within_a_round_trip(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(0.05)
        assert world["b"].names("svc") == world["c"].names("svc") == ["i1"]
        assert world["b"].changes.kinds("svc") == ["new"]


async def test_an_unregistration_is_on_every_node_within_a_round_trip(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(0.05)
        world["a"].unregister(("svc", "i1"))
        await trio.sleep(0.05)
        assert world["b"].names("svc") == []
        assert world["b"].changes.kinds("svc") == ["new", "delete"]


async def test_unregister_and_register_in_one_breath_end_as_they_did_at_the_origin(autojump_clock: MockClock) -> None:
    """Pitfall 5: what travels is the newest state with its version, not commands sorted by type."""
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(0.05)
        world["a"].unregister(("svc", "i1"))
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(0.05)
        assert world["b"].names("svc") == ["i1"]
        world["a"].register(instance("svc", "i1", port=1))
        world["a"].unregister(("svc", "i1"))
        await trio.sleep(0.05)
        assert world["b"].names("svc") == []
        assert world.agree()


async def test_heartbeats_at_one_node_keep_the_instance_alive_on_all(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        world["a"].register(instance("svc", "i1"))
        for _ in range(20):
            await trio.sleep(5)
            assert world["a"].heartbeat("svc", "i1")
            assert world["b"].names("svc") == world["c"].names("svc") == ["i1"]
        assert world["b"].changes.kinds("svc") == ["new"]


async def test_an_instance_that_falls_silent_is_gone_everywhere_one_lease_later(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(10)
        world["a"].heartbeat("svc", "i1")
        await trio.sleep(19)
        assert world["a"].names("svc") == world["b"].names("svc") == ["i1"]
        await trio.sleep(1.5)
        assert world["a"].names("svc") == world["b"].names("svc") == []


async def test_heartbeats_leave_as_one_frame_per_interval_whatever_their_rate(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        world["a"].register(*[instance("svc", f"i{n}") for n in range(300)])
        await trio.sleep(1)
        before = world["a"].cluster.replicators["http://b:8080"].statistics().teller
        for _ in range(100):
            for n in range(300):
                assert world["a"].heartbeat("svc", f"i{n}")
            await trio.sleep(0.01)
        await trio.sleep(0.2)
        after = world["a"].cluster.replicators["http://b:8080"].statistics().teller
        assert 9 <= after.renewal_frames - before.renewal_frames <= 11
        assert after.largest_batch == 300


async def test_news_of_one_moment_leaves_in_one_frame(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        await trio.sleep(5)
        before = world["a"].cluster.replicators["http://b:8080"].statistics().teller
        for n in range(200):
            world["a"].register(instance("svc", f"i{n}"))
        await trio.sleep(0.1)
        after = world["a"].cluster.replicators["http://b:8080"].statistics().teller
        assert after.state_frames - before.state_frames <= 2
        assert len(world["b"].names("svc")) == 200


async def test_a_heartbeat_for_an_instance_the_peer_does_not_know_brings_it_there(autojump_clock: MockClock) -> None:
    """Pitfall 4: the peer asks for what it does not know."""
    async with open_world("a", "b", links=LinkSettings(anti_entropy_s=3600)) as world:
        await trio.sleep(5)
        node = world["a"]
        # The registration is kept from the peer, as if it had been lost.
        node.registry.register([instance("svc", "i1")], now_s=node.clock.now_s(), now_ms=node.clock.now_ms())
        await trio.sleep(1)
        assert world["b"].names("svc") == []
        assert node.heartbeat("svc", "i1")
        await trio.sleep(0.2)
        assert world["b"].names("svc") == ["i1"]


async def test_what_came_from_a_peer_is_not_passed_on(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c", links=LinkSettings(anti_entropy_s=3600)) as world:
        await trio.sleep(5)
        world.network.partition(["a"], ["c"])
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(1)
        assert world["b"].names("svc") == ["i1"]
        assert world["c"].names("svc") == []


async def test_the_receiver_measures_the_lag_from_the_origin(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        await trio.sleep(5)
        world.network.slow([("a", "b")], delay_s=0.2)
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(1)
        lags = [lag for c in world["b"].cluster.conversations() for lag in c.statistics.lag_ms]
        assert 200 <= max(lags) <= 220


async def test_what_was_not_acknowledged_is_sent_again_after_reconnecting(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=LinkSettings(anti_entropy_s=3600)) as world:
        await trio.sleep(5)
        world.network.slow([("a", "b")], delay_s=0.5)
        world["a"].register(instance("svc", "i1"))
        await trio.sleep(0.1)
        world.network.heal()
        assert world.network.reset("a", "b") > 0
        assert world["b"].names("svc") == []
        await trio.sleep(0.4)
        assert world["b"].names("svc") == ["i1"]


async def test_one_slow_peer_delays_nobody(autojump_clock: MockClock) -> None:
    """Pitfall 6: one task and one bounded outbox per peer."""
    async with open_world("a", "b", "c") as world:
        await trio.sleep(5)
        world.network.cut([("a", "c")])
        for n in range(200):
            world["a"].register(instance("svc", f"i{n}", metadata={"filler": "x" * 5000}))
            await trio.sleep(0.01)
            assert f"i{n - 1}" in world["b"].names("svc") or n == 0
        waiting = world["a"].cluster.replicators["http://c:8080"].statistics().teller.outbox
        assert waiting.waiting + waiting.flights > 0
        world.network.heal()
        await eventually(lambda: len(world["c"].names("svc")) == 200)


async def test_an_outbox_that_overflows_is_made_good_by_a_reconciliation(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", links=LinkSettings(anti_entropy_s=3600, outbox_keys=50)) as world:
        await trio.sleep(5)
        world["a"].register(*[instance("svc", f"i{n}") for n in range(300)])
        statistics = world["a"].cluster.replicators["http://b:8080"].statistics()
        assert statistics.teller.outbox.overflows == 1
        await eventually(lambda: len(world["b"].names("svc")) == 300)
        assert world.agree()
