"""A link that carries less than it is given: what is old when it arrives must not cost anybody his life."""

from pathlib import Path
from typing import Final

from ...contract.waiting import eventually
from .clients import REGISTER, Client, instance, open_fleet, request_of
from .clusters import ANTI_ENTROPY_S, LEASE_S, RealCluster, open_real, while_time_passes
from .observers import GRACE_S, knows, open_observers

SERVICE: Final = "real.late"
KEYS: Final = 400
CHANGES: Final = 12


async def test_heartbeats_that_arrive_late_do_not_expire_anybody(tmp_path: Path) -> None:
    """Pitfall 1: the node at the end of the slow link hears its peer all the time, but what it hears is old."""
    settings = {"registry": {"self_preservation": False}}
    async with (
        open_real(tmp_path, 2, settings=settings) as cluster,
        open_fleet(SERVICE, 20, [cluster["a"]]) as fleet,
        open_observers(fleet, [cluster["b"]], following=[cluster["b"]]) as observers,
    ):
        cluster.launcher.network.apply(lambda table: table.slow({("a", "b")}, delay_s=0.1, bytes_per_s=20 * 1024))
        await _more_news_than_fits(cluster)
        await while_time_passes(2 * LEASE_S)
        cluster.heal()
        await eventually(cluster.has_converged, LEASE_S + ANTI_ENTROPY_S + GRACE_S)
        observers.judge()
        assert await knows(cluster["b"], fleet)


async def _more_news_than_fits(cluster: RealCluster) -> None:
    client = Client([cluster["a"]])
    for change in range(CHANGES):
        everything = [
            {**instance("real.restless", f"i{n}"), "metadata": {"artemis.lease-ttl-ms": "600000", "n": str(change)}}
            for n in range(KEYS)
        ]
        await client.call(request_of(REGISTER, {"instances": everything}))
    client.close()
