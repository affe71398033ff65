"""Clusters of real nodes for these tests: everything that takes minutes by default takes seconds here, in proportion.

The policy of this folder
* Nodes are processes, links between them go through the launcher's proxies, clients ask over HTTP and WebSocket.
* Only what a user can see is judged: answers, pushes, status, metrics, logs.
* Every wait is a poll with a deadline. A node whose log holds an error at the end fails the test, unless expected.
"""

import json
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import trio

from artemis.cluster.launcher import Cluster, open_cluster
from artemis.cluster.state import State
from artemis.cluster.topology import Topology, simple_topology
from artemis.cluster.watch import read_metrics

from ...contract.waiting import eventually
from ...contract.wire import RPC, ask, get
from ...pace import PATIENCE_S, paced

Settings = Mapping[str, Mapping[str, object]]

LEASE_S: Final = paced(3.0)
"""About a seventh of the default, and so is what follows from it."""
HEARTBEAT_S: Final = paced(0.6)
ANTI_ENTROPY_S: Final = paced(2.0)
SWEEP_S: Final = 0.1

START_S: Final = PATIENCE_S
"""Several interpreters start on a machine that may be busy."""
TEST_S: Final = 3 * PATIENCE_S
"""No test of this folder takes so long; one that does has hung."""

SECRET: Final = "a secret for these tests"
REGION: Final = "lab"

SETTINGS: Final[Settings] = {
    "registry": {"lease_ttl_s": LEASE_S, "lease_ttl_min_s": LEASE_S},
    "cluster": {"anti_entropy_interval_s": ANTI_ENTROPY_S},
    "rate_limits": {"status": 1_000_000, "operations": {"status.get-leases": 1_000_000}},
    "logging": {"format": "json"},
}


async def while_time_passes(seconds: float) -> None:
    """For what must *not* happen within some time. Never to wait for something."""
    await trio.sleep(seconds)


def merged(*layers: Settings) -> dict[str, dict[str, object]]:
    """Settings over settings, key by key."""
    sections: dict[str, dict[str, object]] = {}
    for layer in layers:
        for section, values in layer.items():
            sections.setdefault(section, {}).update(values)
    return sections


@dataclass
class Place:
    """Where a node listens. Clients are not cut off by what happens between nodes."""

    name: str
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class RealCluster:
    """A cluster of the launcher, and how tests talk to it."""

    def __init__(self, cluster: Cluster) -> None:
        self.launcher = cluster
        self.places = {plan.name: Place(plan.name, plan.host, plan.port) for plan in cluster.topology.nodes}
        self._read: dict[str, int] = {}

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    def without(self, *names: str) -> list[Place]:
        return [place for place in self.places.values() if place.name not in names]

    def url(self, name: str) -> str:
        """By which the other nodes know this one."""
        return self.launcher.topology.node(name).url

    # What is done to nodes and to the network

    def cut(self, flows: str) -> None:
        """Partition silently, as in `a,b|c`."""
        self.launcher.network.apply(lambda table: table.cut(table.select(flows)))

    def heal(self) -> None:
        self.launcher.network.apply(lambda table: table.heal())

    async def up(self, *names: str) -> None:
        """Wait until these nodes, or all, are up."""
        await self.launcher.wait_until_up(START_S, names=names or None)

    def begin(self, name: str) -> None:
        """Start a node that does not run, without waiting for it."""
        self._read[name] = len(self.events(name))
        self.launcher.child(name).start()

    async def stop(self, name: str) -> int:
        """End a node as an operator does; its exit code."""
        child = self.launcher.child(name)
        await child.stop()
        assert child.exit_code is not None
        return child.exit_code

    def forget(self, name: str) -> None:
        """Take away everything that a node that does not run has on disk."""
        shutil.rmtree(self.launcher.state.data_directory(name), ignore_errors=True)

    # What nodes say

    async def health(self, name: str) -> tuple[int, dict[str, Any]]:
        """Readiness: the code that a load balancer sees, and the status."""
        answer = await ask(self[name], "GET", "/health/ready")
        return answer.status, answer.json

    async def standing(self, name: str) -> dict[str, Any]:
        """The cluster status of a node."""
        status: dict[str, Any] = await get(self[name], f"{RPC}/status/cluster.json")
        return status

    async def convergence(self, name: str) -> dict[str, Any]:
        """The `convergence` block of a node."""
        block: dict[str, Any] = (await self.standing(name))["convergence"]
        return block

    async def has_converged(self, *names: str) -> bool:
        """Whether these nodes, or all, have the same digests."""
        digests = [(await self.convergence(name))["digests"] for name in names or self.places]
        return all(each == digests[0] for each in digests)

    async def sees_equality(self) -> bool:
        """Whether every node says that every other one holds the same; words about that are a second old."""
        blocks = [await self.convergence(name) for name in self.places]
        return all(peer["equal"] for block in blocks for peer in block["peers"].values())

    async def metrics(self, name: str) -> dict[str, float]:
        answer = await ask(self[name], "GET", "/metrics")
        return read_metrics(answer.body.decode())

    async def leases(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = await get(self[name], f"{RPC}/status/leases.json")
        return status

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log of a node."""
        return read_events(self.launcher.state.log_file(name))

    async def says(self, name: str, text: str, within_s: float = 10.0) -> dict[str, Any]:
        """Wait until an event of a node's log, since it was begun, contains a text."""

        def find() -> dict[str, Any] | None:
            events = self.events(name)[self._read.get(name, 0) :]
            return next((event for event in events if text in event["message"]), None)

        await eventually(lambda: find() is not None, within_s)
        event = find()
        assert event is not None
        return event


def read_events(log_file: Path) -> list[dict[str, Any]]:
    """What a node wrote. A line that is no event is an error."""
    return [_event(line) for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines()]


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {"level": "error", "message": line}
    return event if isinstance(event, dict) else {"level": "error", "message": line}


def topology(count: int, settings: Settings, own: Mapping[str, Settings]) -> Topology:
    """`count` nodes a, b, c with these settings; `own` are those of single nodes."""
    plans = simple_topology(count, region=REGION).nodes
    return Topology(tuple(replace(plan, settings=merged(SETTINGS, settings, own.get(plan.name, {}))) for plan in plans))


@asynccontextmanager
async def open_real(
    directory: Path,
    count: int = 3,
    *,
    settings: Settings | None = None,
    own: Mapping[str, Settings] | None = None,
    secret: str = SECRET,
    later: Sequence[str] = (),
    expected_errors: Sequence[str] = (),
) -> AsyncGenerator[RealCluster, None]:
    """A cluster whose nodes are up, except those that are to be started `later`, which were never seen.

    Stops everything on leaving, and looks through the logs for errors without any of the expected texts.
    """
    with trio.fail_after(TEST_S):
        plan = topology(count, settings or {}, own or {})
        async with open_cluster(plan, State(directory / "state"), secret=secret, seed=1) as launcher:
            cluster = RealCluster(launcher)
            for name in later:
                launcher.kill(name)
                cluster.forget(name)
            await cluster.up(*(name for name in cluster.places if name not in later))
            yield cluster
        for name in cluster.places:
            errors = [event for event in cluster.events(name) if event["level"] in ("error", "critical")]
            errors = [event for event in errors if not any(text in event["message"] for text in expected_errors)]
            assert not errors, f"node {name} complained: {errors[:5]}"
