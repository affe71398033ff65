"""All three nodes restarted one after the other under load: nobody who looks on notices anything."""

from pathlib import Path

import trio

from ...pace import PACE
from .clients import open_fleet
from .clusters import HEARTBEAT_S, LEASE_S, open_real, while_time_passes
from .observers import knows, open_observers

SERVICE = "real.rolls"
HEARTBEATS_PER_S = 500 / PACE
"""Enough to keep everybody busy, and no more than this machine can carry: this is no test of speed."""
GOING_AWAY = 1001


async def test_a_rolling_restart_under_load_is_noticed_by_nobody(tmp_path: Path) -> None:
    count = round(HEARTBEATS_PER_S * HEARTBEAT_S)
    async with open_real(tmp_path) as cluster:
        places = list(cluster.places.values())
        async with (
            open_fleet(SERVICE, count, places) as fleet,
            open_observers(fleet, places, following=places) as observers,
        ):
            begun_s, before = trio.current_time(), fleet.heartbeats
            for name in cluster.places:
                assert await cluster.stop(name) == 0, "a node that is told to stop does so in good order"
                for other in cluster.without(name):
                    await cluster.says(other.name, f"{name} ({cluster.url(name)}) left: this node is stopping")
                    peer = (await cluster.convergence(other.name))["peers"][cluster.url(name)]
                    assert peer["state"] == "down", "nobody waits for a node that said goodbye"
                cluster.begin(name)
                await cluster.up(name)
                assert await knows(cluster[name], fleet), f"{name} was up without knowing everybody"
                observers.judge()
            rolled_s = trio.current_time() - begun_s
            rate = (fleet.heartbeats - before) / rolled_s
            await while_time_passes(LEASE_S)
            observers.judge()
            for follower in observers.followers:
                assert follower.picture.keys() == fleet.alive
                assert follower.connects > 1
                assert {code for code, _ in follower.goodbyes} == {GOING_AWAY}, follower.goodbyes
            silences_s = [max(b - a for a, b in zip(s.heard_s, s.heard_s[1:], strict=False)) for s in fleet.services]
            print(f"{rate:.0f} heartbeats/s, rolled in {rolled_s:.1f} s, longest silence {max(silences_s):.2f} s")
            assert max(silences_s) < LEASE_S
