"""SIGSTOP for three leases: others go on, and the node that wakes up evicts nobody and declares nobody lost."""

from pathlib import Path

import trio

from ...contract.waiting import eventually
from .clients import open_fleet
from .clusters import ANTI_ENTROPY_S, HEARTBEAT_S, LEASE_S, open_real, while_time_passes
from .observers import GRACE_S, open_observers

SERVICE = "real.pauses"
PAUSE_S = 3 * LEASE_S
"""With the default lease: a minute."""


async def test_a_node_that_stood_still_for_three_leases_evicts_nobody(tmp_path: Path) -> None:
    """Pitfalls 1 and 13. Self-preservation is off: it is the node's doubt about itself that must protect."""
    settings = {"registry": {"self_preservation": False}}
    async with open_real(tmp_path, settings=settings) as cluster:
        everybody, others = list(cluster.places.values()), cluster.without("b")
        async with (
            open_fleet(SERVICE, 60, everybody) as fleet,
            open_observers(fleet, everybody, following=others) as observers,
            open_observers(fleet, [], following=[cluster["b"]]) as watching_b,
        ):
            cluster.launcher.pause("b")
            paused_s = trio.current_time()
            await eventually(lambda: all(service.heard_s[-1] > paused_s + 1 for service in fleet.services), LEASE_S)
            await while_time_passes(paused_s + PAUSE_S - trio.current_time())
            state = (await cluster.convergence("a"))["peers"][cluster.url("b")]
            assert state["state"] in ("suspect", "down"), state
            observers.judge()
            before = observers.probers["b"].answers

            cluster.launcher.resume("b")
            resumed_s = trio.current_time()
            await eventually(cluster.has_converged, 2 * HEARTBEAT_S + ANTI_ENTROPY_S + GRACE_S)
            converged_s = trio.current_time() - resumed_s
            # Whatever leases the node granted itself has run out now: who is still there was heard of since.
            await while_time_passes(resumed_s + LEASE_S - trio.current_time())
            observers.judge()
            watching_b.judge()
            assert observers.probers["b"].answers > before
            metrics = await cluster.metrics("b")
            assert metrics["artemis_instances"] == len(fleet.alive)
            assert (await cluster.leases("b"))["overdueCount"] == 0
            print(f"converged {converged_s:.2f} s after SIGCONT")
