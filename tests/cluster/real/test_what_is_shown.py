"""What operators see of a cluster of real nodes: status, convergence, metrics, and the commands that break it."""

import json
import select
import subprocess
import sys
import time
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import trio
from click.testing import CliRunner

from artemis.cluster.commands import cluster as cluster_command
from artemis.cluster.processes import is_alive

from ...contract.waiting import eventually
from ...contract.wire import RPC, get
from ...pace import PATIENCE_S, paced
from .clients import open_fleet
from .clusters import HEARTBEAT_S, REGION, RealCluster, open_real, while_time_passes
from .observers import GRACE_S, knows

SERVICE: Final = "real.shown"
COUNT: Final = 200
FRAME_S: Final = 0.1
"""Heartbeats leave at most so often, for each peer."""


async def test_status_and_metrics_tell_how_nodes_get_along(tmp_path: Path) -> None:
    async with open_real(tmp_path) as cluster:
        places = list(cluster.places.values())
        async with open_fleet(SERVICE, COUNT // 2, places, each=2) as fleet:
            for place in places:
                await eventually(partial(knows, place, fleet))
            await eventually(cluster.sees_equality)
            for name in cluster.places:
                await _status_is_complete(cluster, name)
            before = {name: await cluster.metrics(name) for name in cluster.places}
            heartbeats, began_s = fleet.heartbeats * 2, trio.current_time()
            await while_time_passes(4 * HEARTBEAT_S)
            heartbeats, elapsed_s = fleet.heartbeats * 2 - heartbeats, trio.current_time() - began_s
            after = {name: await cluster.metrics(name) for name in cluster.places}
            frames = renewals = 0.0
            for name in cluster.places:
                sent, told = _metrics_are_sane(cluster, name, before[name], after[name], elapsed_s)
                frames, renewals = frames + sent, renewals + told
            for one, other in combinations(cluster.places, 2):
                rounds = [_rounds(cluster, after, one, other), _rounds(cluster, after, other, one)]
                assert sum(rounds) >= 1, "whichever of the two began"
            assert renewals >= 2 * heartbeats * 0.8, "each heartbeat is told to both peers"
            print(f"{heartbeats} heartbeats in {elapsed_s:.1f} s: {frames:.0f} frames to 2 peers of each of 3 nodes")
            cluster.launcher.kill("c")
            await eventually(partial(_shows, cluster, "a", "c", {"suspect", "down"}), paced(5))
            rows = {row["node"]["url"]: row["status"] for row in (await cluster.standing("a"))["nodesStatus"]}
            assert rows == {cluster.url("a"): "up", cluster.url("b"): "up", cluster.url("c"): rows[cluster.url("c")]}
            assert rows[cluster.url("c")] in ("unknown", "down"), "nodes that are down are listed, too"
            nodes = await get(cluster["a"], f"{RPC}/cluster/up-registry-nodes.json?regionId={REGION}")
            assert {node["url"] for node in nodes["nodes"]} == {cluster.url("a"), cluster.url("b")}


async def _status_is_complete(cluster: RealCluster, name: str) -> None:
    status = await cluster.standing(name)
    assert status["nodeCount"] == len(cluster.places)
    assert {row["status"] for row in status["nodesStatus"]} == {"up"}
    assert all(row["canServiceRegistry"] and row["canServiceDiscovery"] for row in status["nodesStatus"])
    block = status["convergence"]
    assert block["digests"].keys() >= {"instances", "records", "audits"}
    assert block["peers"].keys() == {cluster.url(other.name) for other in cluster.without(name)}
    for peer in block["peers"].values():
        assert (peer["state"], peer["status"], peer["equal"], peer["problem"]) == ("up", "up", True, None)
        assert peer["tables"] == dict.fromkeys(block["digests"], True)
        assert peer["links"] == ["from", "to"]
        assert peer["instances"] == COUNT


async def _shows(cluster: RealCluster, name: str, peer: str, states: set[str]) -> bool:
    state: str = (await cluster.convergence(name))["peers"][cluster.url(peer)]["state"]
    return state in states


def _metrics_are_sane(
    cluster: RealCluster, name: str, before: dict[str, float], after: dict[str, float], elapsed_s: float
) -> tuple[float, float]:
    """Frames and renewals that this node sent meanwhile."""
    frames = renewals = 0.0
    for other in cluster.without(name):
        peer = f'peer="{cluster.url(other.name)}"'
        sent = _grown(before, after, f"artemis_renewal_frames_total{{{peer}}}")
        told = _grown(before, after, f"artemis_replicated_renewals_total{{{peer}}}")
        assert 0 < sent <= elapsed_s / FRAME_S + 2, "one frame for all heartbeats of 100 ms"
        assert told > sent
        frames, renewals = frames + sent, renewals + told
        assert after[f"artemis_renewal_batch_largest{{{peer}}}"] > 1
        assert after[f"artemis_outbox_depth{{{peer}}}"] == 0
        median_s, max_s = (after[f"artemis_replication_lag_{what}seconds{{{peer}}}"] for what in ("", "max_"))
        assert 0 < median_s <= max_s < GRACE_S, (median_s, max_s)
        assert after[f"artemis_anti_entropy_failed_total{{{peer}}}"] == 0
        assert 0 <= after[f"artemis_anti_entropy_last_seconds{{{peer}}}"] < GRACE_S
        assert after[f'artemis_peer_state{{{peer},state="up"}}'] == 1
        for direction in ("to", "from"):
            assert after[f'artemis_peer_links{{direction="{direction}",{peer}}}'] == 1
    for direction in ("sent", "received"):
        assert _grown(before, after, f'artemis_peer_frames_{direction}_total{{kind="renewals"}}') > 0
        assert _grown(before, after, f"artemis_peer_bytes_{direction}_total") > 0
    return frames, renewals


def _rounds(cluster: RealCluster, metrics: dict[str, dict[str, float]], name: str, peer: str) -> float:
    return metrics[name][f'artemis_anti_entropy_rounds_total{{peer="{cluster.url(peer)}"}}']


def _grown(before: dict[str, float], after: dict[str, float], name: str) -> float:
    return after[name] - before[name]


def test_the_commands_run_real_nodes_and_leave_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"

    def artemis(command: str, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cluster_command, [command, *arguments, "--state", str(state)])
        assert result.exit_code == code, result.output
        return result.output

    def nodes() -> dict[str, dict[str, Any]]:
        return {node["name"]: node for node in json.loads(artemis("status", "--json"))["nodes"]}

    def peers_of_a() -> str:
        peers: dict[str, str] = nodes()["a"]["peers"]
        return peers["b"]

    try:
        up = [sys.executable, "-m", "artemis.node", "cluster", "up", "--nodes", "2", "--detach", "--state", str(state)]
        subprocess.run(up, check=True, capture_output=True, timeout=PATIENCE_S)
        found = nodes()
        assert {name: node["status"] for name, node in found.items()} == {"a": "up", "b": "up"}
        assert found["a"]["peers"] == {"b": "up"}
        artemis("partition", "a|b")
        deadline_s = time.monotonic() + PATIENCE_S
        while peers_of_a() != "unknown":
            assert time.monotonic() < deadline_s, "a never noticed that b is cut off"
            select.select([], [], [], 0.5)  # nodes answer few of these questions
        artemis("heal")
        artemis("kill", "b")
        assert "killed by SIGKILL" in artemis("status", code=1)
        artemis("restart", "b")
        assert nodes()["b"]["status"] == "up"
    finally:
        artemis("down")
    assert not state.exists()
    assert not any(is_alive(node["pid"]) for node in found.values())
