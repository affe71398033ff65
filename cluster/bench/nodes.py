"""Nodes under measurement: real processes with a configuration of their own, each pinned to a core."""

import os
import select
import shutil
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..processes import Child, free_ports, node_command
from ..topology import NodePlan, Topology, encode_toml, node_settings
from ..watch import read_metrics
from .http import Address, BenchFailed, Connection
from .population import REGION, ZONES

READY_S = 60.0
POLL_S = 0.005

LEASE_S = 3600.0
"""Nobody heartbeats a prepared population, and it must not expire meanwhile."""

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "rate_limits": {"enabled": False},
    "registry": {"lease_ttl_s": LEASE_S},
    "logging": {"level": "warning"},
}
"""What every node of the bench runs with: no limit on the rate that is measured; all else is the default."""

Cores = tuple[int, int]
"""Where the node runs, and where the load."""


def choose_cores() -> Cores:
    """Two different cores of those we may use, or one twice."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def pin(core: int) -> None:
    """Keep this process on one core."""
    os.sched_setaffinity(0, {core})


@dataclass(slots=True)
class BenchNode:
    """One running node."""

    name: str
    address: Address
    child: Child
    directory: Path

    def connect(self) -> Connection:
        return Connection(self.address)

    def cpu_s(self) -> float:
        """Processor time the node has used so far."""
        fields = (Path("/proc") / str(self._pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_s(self) -> float:
        """Time the node could have run, and another process had its core: what neighbours cost a measurement."""
        return int((Path("/proc") / str(self._pid) / "schedstat").read_text().split()[1]) / 1e9

    def resident_bytes(self) -> int:
        """Memory of the node that is in RAM."""
        pages = int((Path("/proc") / str(self._pid) / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def metrics(self) -> dict[str, float]:
        """The node's own metrics: by name, and by name{labels}."""
        with self.connect() as connection:
            return read_metrics(connection.call("GET", "/metrics").body.decode())

    def kill(self) -> None:
        self.child.kill()

    def start_again(self) -> float:
        """Start the killed node on the same data; how many seconds until it was ready."""
        started_s = time.perf_counter()
        self.child.start()
        wait_until_ready(self)
        return time.perf_counter() - started_s

    def log(self) -> str:
        """The end of what the node wrote."""
        return self.child.log_file.read_text(errors="replace")[-2000:]

    @property
    def _pid(self) -> int:
        pid = self.child.pid
        if pid is None:
            raise BenchFailed(f"node {self.name} ended with {self.child.exit_code}:\n{self.log()}")
        return pid


def pause(seconds: float) -> None:
    """Wait without using the core: the bench is a plain program, and has nothing else to do."""
    select.select([], [], [], seconds)


def wait_until_ready(node: BenchNode, *, timeout_s: float = READY_S) -> None:
    """Return when the node takes traffic."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            with Connection(node.address, timeout_s=2.0) as connection:
                if connection.call("GET", "/health/ready").status == 200:
                    return
        except (OSError, BenchFailed):
            pass
        if node.child.pid is None:
            raise BenchFailed(f"node {node.name} ended with {node.child.exit_code}:\n{node.log()}")
        pause(POLL_S)
    raise BenchFailed(f"node {node.name} was not ready within {timeout_s:g} s:\n{node.log()}")


def make_node(topology: Topology, name: str, directory: Path, *, core: int | None, in_memory: bool) -> BenchNode:
    """Configure one node of a topology, without starting it."""
    home = directory / name
    home.mkdir()
    data = ":memory:" if in_memory else str(home / "data")
    config_file = home / "artemis.toml"
    config_file.write_text(encode_toml(node_settings(topology, name, data_directory=data)), encoding="utf-8")
    plan = topology.node(name)
    cores = frozenset(range(os.cpu_count() or 1) if core is None else [core])
    child = Child(node_command(config_file), home / "node.log", cores=cores)
    return BenchNode(name, (plan.host, plan.port), child, home)


@contextmanager
def open_node(
    *, core: int | None, in_memory: bool = False, settings: Mapping[str, Mapping[str, object]] | None = None
) -> Generator[BenchNode]:
    """One node without peers, ready; gone afterwards with all its files."""
    with open_nodes(1, core=core, in_memory=in_memory, settings=settings) as nodes:
        yield nodes[0]


@contextmanager
def open_nodes(
    count: int,
    *,
    core: int | None = None,
    in_memory: bool = False,
    started: int | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> Generator[list[BenchNode]]:
    """A cluster of nodes of which the first `started` (all, unless said) are ready; gone afterwards."""
    merged = {**SETTINGS, **{section: {**SETTINGS.get(section, {}), **v} for section, v in (settings or {}).items()}}
    names = [f"n{i}" for i in range(count)]
    topology = Topology(
        tuple(
            NodePlan(name=name, region=REGION, zone=ZONES[0], port=port, settings=merged)
            for name, port in zip(names, free_ports(count), strict=True)
        )
    )
    directory = Path(tempfile.mkdtemp(prefix="artemis-bench-"))
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
        nodes = [make_node(topology, name, directory, core=core, in_memory=in_memory) for name in names]
        for node in nodes:
            cleanup.callback(node.kill)
        for node in nodes[: count if started is None else started]:
            node.child.start()
        for node in nodes[: count if started is None else started]:
            wait_until_ready(node)
        yield nodes
