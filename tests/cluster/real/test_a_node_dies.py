"""kill -9 under load: clients turn elsewhere, nobody is lost or declared lost, and the node comes back knowing."""

from pathlib import Path

import trio

from ...contract.waiting import eventually
from ...pace import PATIENCE_S, paced
from .clients import open_fleet
from .clusters import ANTI_ENTROPY_S, HEARTBEAT_S, LEASE_S, RealCluster, open_real, while_time_passes
from .observers import GRACE_S, ids_at, open_observers

SERVICE = "real.dies"


async def first_readiness(cluster: RealCluster, name: str, seen: list[str]) -> None:
    """Ask a node that starts until it is ready, and note what it says of itself meanwhile."""
    while True:
        try:
            code, health = await cluster.health(name)
        except OSError:
            await trio.sleep(0.005)
            continue
        assert (code == 200) == (health["status"] == "up"), health
        seen.append(str(health["status"]))
        if code == 200:
            return
        assert await ids_at(cluster[name], SERVICE) is None or (await cluster.health(name))[0] == 200


async def test_killing_a_node_under_load_loses_nobody_and_declares_nobody_lost(tmp_path: Path) -> None:
    async with open_real(tmp_path) as cluster:
        everybody, others = list(cluster.places.values()), cluster.without("b")
        async with (
            open_fleet(SERVICE, 60, everybody) as fleet,
            open_observers(fleet, others, following=others) as observers,
        ):
            dead, *_ = fleet.services
            cluster.launcher.kill("b")
            killed_s = trio.current_time()
            await eventually(lambda: all(service.heard_s[-1] > killed_s for service in fleet.services), LEASE_S)
            moved_s = trio.current_time() - killed_s
            # One dies while the node is down; whoever remembers it must not bring it back.
            fleet.die(dead)
            await while_time_passes(killed_s + 1.5 * LEASE_S - trio.current_time())
            for place in others:
                assert await ids_at(place, SERVICE) == fleet.alive
            observers.judge()

            late = fleet.services[1]
            await fleet.unregister(late)
            cluster.begin("b")
            seen: list[str] = []
            with trio.fail_after(PATIENCE_S):
                await first_readiness(cluster, "b", seen)
            assert await ids_at(cluster["b"], SERVICE) is not None
            found = await ids_at(cluster["b"], SERVICE)
            assert found is not None
            assert found >= fleet.alive, "ready without having synchronised"
            assert not found & late.ids, "what was unregistered meanwhile is back"
            cluster_says = await cluster.says("b", "this node is up")
            assert "synchronised with" in cluster_says["message"]
            assert await cluster.says("b", "restored")
            # The restarted node gives one lease of grace to the dead, which the others do not take over.
            await eventually(cluster.has_converged, LEASE_S + ANTI_ENTROPY_S + GRACE_S)
            observers.judge()
            for place in everybody:
                assert not (await ids_at(place, SERVICE) or set()) & (dead.ids | late.ids), "the dead came back"
            for follower in observers.followers:
                assert not follower.picture.keys() & (dead.ids | late.ids)
            print(f"all clients of the killed node were heard elsewhere after {moved_s:.2f} s")
            assert moved_s < HEARTBEAT_S + GRACE_S + paced(1.5)
            assert observers.answers() > 50
