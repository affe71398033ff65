"""A peer that is slow, or stands still, delays nobody else, and what waits for it is bounded."""

from functools import partial
from pathlib import Path
from typing import Final

import trio

from ...contract.waiting import POLL_S, eventually
from ...pace import paced
from .clients import REGISTER, Client, instance, open_fleet, request_of
from .clusters import ANTI_ENTROPY_S, RealCluster, open_real
from .observers import GRACE_S, WatchFollower, open_observers

SERVICE: Final = "real.slow"
FLEET: Final = 10
KEYS: Final = 200
SPREADS: Final = 30
CHANGES: Final = 15
"""How often each instance changes while the peer cannot follow."""
SPREAD_S: Final = paced(0.1)
LATE_S: Final = paced(1.0)


async def test_a_slow_peer_and_one_that_stands_still_delay_nobody_else(tmp_path: Path) -> None:
    """Pitfall 6."""
    async with (
        open_real(tmp_path) as cluster,
        open_fleet(SERVICE, FLEET, cluster.without("c")) as fleet,
        open_observers(fleet, cluster.without("c"), following=[cluster["b"]]) as observers,
    ):
        watch = next(follower for follower in observers.followers if isinstance(follower, WatchFollower))
        well = await _spread(cluster, watch, "well")

        slow_flows = "a>c"
        cluster.launcher.network.apply(
            lambda table: table.slow(table.select(slow_flows), delay_s=0.5, bytes_per_s=20 * 1024)
        )
        slow = await _spread(cluster, watch, "slow")
        await _outbox_stays_bounded(cluster)
        await eventually(cluster.has_converged, paced(15))
        cluster.heal()

        cluster.launcher.pause("c")
        stopped = await _spread(cluster, watch, "stopped")
        await _outbox_stays_bounded(cluster)
        observers.judge()
        cluster.launcher.resume("c")
        await eventually(cluster.has_converged, ANTI_ENTROPY_S + GRACE_S + paced(2))
        for name in ("b", "c"):
            await eventually(partial(_is_told, cluster, name), GRACE_S + paced(2))
        for what, delays_s in (("all well", well), ("one slow", slow), ("one stopped", stopped)):
            print(f"register on a, push on b, {what}: median {delays_s[len(delays_s) // 2] * 1000:.0f} ms", end="")
            print(f", worst {delays_s[-1] * 1000:.0f} ms")
            assert delays_s[len(delays_s) // 2] < SPREAD_S
            assert delays_s[-1] < LATE_S
        for name in cluster.places:
            await eventually(partial(_holds_everything, cluster, name), GRACE_S + paced(2))


async def _spread(cluster: RealCluster, watch: WatchFollower, phase: str) -> list[float]:
    """From registering on one node to the push on another, sorted."""
    client, delays_s = Client([cluster["a"]]), []
    for number in range(SPREADS):
        news = {**instance(SERVICE, f"{phase}-{number}"), "metadata": {"artemis.lease-ttl-ms": "600000"}}
        began_s = trio.current_time()
        await client.call(request_of(REGISTER, {"instances": [news]}))
        while news["instanceId"] not in watch.picture:
            assert trio.current_time() < began_s + 10 * LATE_S
            await trio.sleep(POLL_S / 5)
        delays_s.append(trio.current_time() - began_s)
    client.close()
    return sorted(delays_s)


async def _outbox_stays_bounded(cluster: RealCluster) -> None:
    """However often things change, only their newest state waits."""
    client = Client([cluster["a"]])
    deepest = 0.0
    for change in range(CHANGES):
        everything = [
            {**instance("real.restless", f"i{n}"), "metadata": {"artemis.lease-ttl-ms": "600000", "n": str(change)}}
            for n in range(KEYS)
        ]
        await client.call(request_of(REGISTER, {"instances": everything}))
        deepest = max(deepest, (await _depths(cluster))["c"])
    client.close()
    depths = await _depths(cluster)
    assert 0 < deepest <= FLEET + KEYS + 3 * SPREADS, f"{deepest} keys waited for the slow peer"
    await eventually(partial(_is_told, cluster, "b"), GRACE_S)
    print(f"{KEYS * CHANGES} changes, at most {deepest:.0f} keys waiting for c, now {depths}")


async def _depths(cluster: RealCluster) -> dict[str, float]:
    """By name of peer: how many keys wait for it at a."""
    metrics = await cluster.metrics("a")
    return {name: metrics[f'artemis_outbox_depth{{peer="{cluster.url(name)}"}}'] for name in ("b", "c")}


async def _holds_everything(cluster: RealCluster, name: str) -> bool:
    return (await cluster.metrics(name))["artemis_instances"] == FLEET + KEYS + 3 * SPREADS


async def _is_told(cluster: RealCluster, name: str) -> bool:
    return (await _depths(cluster))[name] == 0
