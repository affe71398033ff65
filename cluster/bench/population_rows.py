"""Rows about a node that holds 100,000 instances: memory, sweeps and pauses, warm restart; and a million."""

from collections.abc import Iterator

from .http import BenchFailed, prepare
from .load import open_loop
from .measurements import Budget, Measurement, median_of
from .nodes import BenchNode, open_node, pause
from .population import REGISTER, batches
from .settings import BenchSettings

INSTANCES_METRIC = "artemis_instances"
LONGEST_SWEEP_METRIC = "artemis_sweep_longest_seconds"
UNSAVED_METRIC = 'artemis_mailbox_depth{actor="persistence"}'

SAVED_S = 60.0
"""How long the node may take to have everything on disk."""

PROBE_RATE = 500.0
MILLION = 1_000_000


def population(settings: BenchSettings) -> Iterator[Measurement]:
    """Everything that is measured on one prepared node."""
    count = settings.population
    with open_node(core=settings.cores[0]) as node:
        empty_bytes = node.resident_bytes()
        fill(settings, node, count)
        yield _memory(node, count, empty_bytes)
        yield from _sweeps(settings, node, count)
        yield _restart(settings, node, count)


def million(settings: BenchSettings) -> Iterator[Measurement]:
    """A million instances in one node: only where asked for, it takes minutes."""
    if not settings.million:
        return
    with open_node(core=settings.cores[0]) as node:
        fill(settings, node, MILLION)
        yield Measurement(
            row="million",
            what="memory of a node with 1,000,000 instances",
            unit="GB",
            value=node.resident_bytes() / 1e9,
            budget=Budget(2.0),
        )


def fill(settings: BenchSettings, node: BenchNode, count: int) -> None:
    """Register `count` instances, and wait until they are counted and stored."""
    settings.progress(f"registering {count:,} instances")
    with node.connect() as connection:
        for body in batches(count):
            connection.expect("POST", REGISTER, body)
    wait_for_metric(node, INSTANCES_METRIC, at_least=count)
    wait_for_metric(node, UNSAVED_METRIC, at_most=0)


def wait_for_metric(
    node: BenchNode,
    name: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    timeout_s: float = SAVED_S,
) -> None:
    """Wait until the node reports a value in the range."""
    for _ in range(int(timeout_s / 0.1)):
        value = metric(node.metrics(), name)
        if (at_least is None or value >= at_least) and (at_most is None or value <= at_most):
            return
        pause(0.1)
    raise BenchFailed(f"{name} of node {node.name} did not settle within {timeout_s:g} s")


def metric(values: dict[str, float], name: str) -> float:
    """A metric of the node: the sum over its labels."""
    matching = [value for key, value in values.items() if key == name or key.startswith(name + "{")]
    if not matching:
        raise BenchFailed(f"the node has no metric {name}")
    return sum(matching)


def _memory(node: BenchNode, count: int, empty_bytes: int) -> Measurement:
    return Measurement(
        row="population",
        what=f"memory per instance at {count:,}",
        unit="KB",
        value=(node.resident_bytes() - empty_bytes) / count / 1000,
        budget=Budget(1.5),
        details={"resident_mb": node.resident_bytes() / 1e6, "empty_mb": empty_bytes / 1e6},
    )


def _sweeps(settings: BenchSettings, node: BenchNode, count: int) -> Iterator[Measurement]:
    """What the node says of its sweeps, and the longest pause that somebody outside can notice."""
    probe = prepare("POST", "/artemis/api/status/node.json", {}, address=node.address)
    rounds: list[Measurement] = []
    for number in range(settings.rounds):
        settings.progress(f"probing a node with {count:,} instances: round {number + 1} of {settings.rounds}")
        waited_s = node.waited_s()
        result = open_loop(node.address, [[probe]] * 4, rate=PROBE_RATE, duration_s=settings.duration_s)
        rounds.append(
            Measurement(
                row="population",
                what=f"longest pause of a node with {count:,} leases, seen from outside",
                unit="ms",
                value=result.latency_ms(100),
                budget=Budget(20.0),
                details={
                    "p50_ms": result.latency_ms(50),
                    "p99_ms": result.latency_ms(99),
                    "kept_waiting_percent": 100 * (node.waited_s() - waited_s) / settings.duration_s,
                },
            )
        )
    yield Measurement(
        row="population",
        what=f"longest sweep of {count:,} leases with nothing expired",
        unit="ms",
        value=metric(node.metrics(), LONGEST_SWEEP_METRIC) * 1000,
        budget=Budget(1.0),
    )
    yield median_of(rounds)


def _restart(settings: BenchSettings, node: BenchNode, count: int) -> Measurement:
    """kill -9, start, ready; and everything has to be there."""
    rounds: list[Measurement] = []
    for number in range(settings.rounds):
        settings.progress(f"warm restart with {count:,} instances: round {number + 1} of {settings.rounds}")
        node.kill()
        seconds = node.start_again()
        if (found := metric(node.metrics(), INSTANCES_METRIC)) != count:
            raise BenchFailed(f"{found:,.0f} of {count:,} instances after the restart")
        rounds.append(
            Measurement(
                row="population",
                what=f"warm restart with {count:,} instances, to ready",
                unit="s",
                value=seconds,
                budget=Budget(5.0),
            )
        )
    return median_of(rounds)
