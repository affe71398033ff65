"""Real nodes, real processes, a network that breaks: no instance that is alive is ever missing from an answer.

Leases are short so that each failure lasts longer than one. Time is real here, and nothing else would do.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from artemis.cluster.launcher import Cluster, open_cluster
from artemis.cluster.state import State
from artemis.cluster.topology import Topology, simple_topology

from .fleet import UNREGISTER, instance, open_fleet, post

LEASE_S = 4.0
BEAT_S = 1.0
LONGER_S = 1.75 * LEASE_S
"""How long a failure lasts: longer than a lease and the slack of a sweep."""

UP_S = 30.0
TEST_S = 90.0

SETTINGS = {
    "registry": {"lease_ttl_s": LEASE_S, "lease_ttl_min_s": 1.0},
    "cluster": {"anti_entropy_interval_s": 1.0},
}


@asynccontextmanager
async def open_three(directory: Path) -> AsyncGenerator[Cluster]:
    plans = simple_topology(3).nodes
    topology = Topology(tuple(replace(plan, settings=SETTINGS) for plan in plans))
    with trio.fail_after(TEST_S):
        async with open_cluster(topology, State(directory / "state"), secret="correct horse battery") as cluster:
            await cluster.wait_until_up(UP_S)
            yield cluster


async def test_a_node_that_is_killed_under_load_takes_no_instance_along(tmp_path: Path) -> None:
    async with (
        open_three(tmp_path) as cluster,
        open_fleet(cluster, count=60, interval_s=BEAT_S, look_at=["a", "c"], listen_to="a") as fleet,
    ):
        cluster.kill("b")
        await trio.sleep(LONGER_S)
        await cluster.restart("b")
        await cluster.wait_until_up(UP_S)
        await fleet.settle(cluster.topology.names, UP_S)
        assert (fleet.missing, fleet.deletes) == ([], [])
        assert fleet.looks > 50


async def test_a_node_that_was_paused_for_longer_than_a_lease_evicts_nobody(tmp_path: Path) -> None:
    async with (
        open_three(tmp_path) as cluster,
        open_fleet(cluster, count=60, interval_s=BEAT_S, look_at=["a", "b", "c"], listen_to="b") as fleet,
    ):
        cluster.pause("b")
        await trio.sleep(LONGER_S)
        cluster.resume("b")
        await trio.sleep(LEASE_S)
        await fleet.settle(cluster.topology.names, UP_S)
        assert (fleet.missing, fleet.deletes) == ([], [])


async def test_both_sides_of_a_partition_keep_everything_and_agree_after_it(tmp_path: Path) -> None:
    """Heartbeats reach the node next to them only: the other side hears nothing of them for longer than a lease."""
    async with (
        open_three(tmp_path) as cluster,
        open_fleet(cluster, count=60, interval_s=BEAT_S, look_at=["a", "b", "c"], listen_to="c") as fleet,
    ):
        cluster.network.apply(lambda table: table.cut(table.select("a,b|c")))
        await trio.sleep(LONGER_S)
        assert (fleet.missing, fleet.deletes) == ([], [])
        fleet.gone.add("i0")
        await post(fleet.address("a"), UNREGISTER, {"instances": [instance(0)]})
        cluster.network.apply(lambda table: table.heal())
        await fleet.settle(cluster.topology.names, UP_S)
        await trio.sleep(LEASE_S)
        await fleet.settle(cluster.topology.names, UP_S)
        assert fleet.missing == []
        assert set(fleet.deletes) == {"i0"}, "an acknowledged unregister is never undone, and nobody else left"


async def test_all_nodes_restart_one_after_the_other_under_500_heartbeats_a_second(tmp_path: Path) -> None:
    async with (
        open_three(tmp_path) as cluster,
        open_fleet(cluster, count=500, interval_s=BEAT_S, look_at=["a", "b", "c"], listen_to="a") as fleet,
    ):
        for name in cluster.topology.names:
            await cluster.restart(name)
            await cluster.wait_until_up(UP_S, names=[name])
            await trio.sleep(BEAT_S)
        await trio.sleep(LEASE_S)
        await fleet.settle(cluster.topology.names, UP_S)
        assert (fleet.missing, fleet.deletes) == ([], [])
