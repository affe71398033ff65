"""Rows about rates: heartbeats, look-ups, and registrations per second, and their latency at half of the budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import wrk
from .http import Address, prepare
from .load import LoadResult, closed_loop, open_loop
from .measurements import Budget, Measurement, median_of
from .nodes import BenchNode, open_node
from .population import HEARTBEAT, HEARTBEAT_BY_KEY, LOOKUP, REGISTER, body_of, keys_of, lookup_body, make_instances
from .settings import BenchSettings

Scripts = Sequence[Sequence[bytes]]
"""The requests of each connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """A request that is repeated as fast as the node answers."""

    row: str
    what: str
    budget: float
    unit: str = "requests/s"
    per_request: int = 1
    """How many units one request counts for."""


def heartbeat(settings: BenchSettings) -> Iterator[Measurement]:
    """Ten instances a request, and one, whole and by key; and the latency at half of the budget's rate."""
    with open_node(core=settings.cores[0]) as node:
        ten = _heartbeats(node, settings.connections, 10)
        one = _heartbeats(node, settings.connections, 1)
        row = RateRow(row="heartbeat", what="heartbeat, 10 instances a request", budget=12_000)
        yield highest_rate(settings, node, row, ten)
        yield from latency_at(settings, node, ten, rate=6_000, what="heartbeat of 10", row="heartbeat")
        row = RateRow(row="heartbeat", what="heartbeat, 1 instance a request", budget=15_000)
        yield highest_rate(settings, node, row, one)
        by_key = _heartbeats(node, settings.connections, 10, by_key=True)
        row = RateRow(row="heartbeat", what="heartbeat by key, 10 keys a request", budget=12_000)
        yield highest_rate(settings, node, row, by_key)


def lookup(settings: BenchSettings) -> Iterator[Measurement]:
    """A service of 20 instances, and one of 200."""
    with open_node(core=settings.cores[0]) as node:
        for size, budget in ((20, 15_000), (200, 12_000)):
            service = f"bench.lookup-{size}"
            with node.connect() as connection:
                connection.expect("POST", REGISTER, body_of(make_instances(0, size, service)))
            request = prepare("POST", LOOKUP, lookup_body(service), address=node.address)
            row = RateRow(row="lookup", what=f"look-up of a service with {size} instances", budget=budget)
            yield highest_rate(settings, node, row, [[request]] * settings.connections)


def register(settings: BenchSettings) -> Iterator[Measurement]:
    """New data in every request, so that each one is a change and not a renewal."""
    with open_node(core=settings.cores[0]) as node:
        ones = RateRow(row="register", what="register, 1 instance a request", budget=6_000)
        yield highest_rate(settings, node, ones, _registrations(node.address, settings.connections, 1, 50))
        many = RateRow(
            row="register",
            what="register, 100 instances a request",
            budget=40_000,
            unit="instances/s",
            per_request=100,
        )
        yield highest_rate(settings, node, many, _registrations(node.address, 10, 100, 10))


def highest_rate(settings: BenchSettings, node: BenchNode, row: RateRow, scripts: Scripts) -> Measurement:
    """The median of several rounds in a closed loop."""
    rounds: list[Measurement] = []
    for number in range(settings.rounds):
        settings.progress(f"{row.what}: round {number + 1} of {settings.rounds}")
        cpu_s, waited_s = node.cpu_s(), node.waited_s()
        result = _load(settings, node.address, scripts)
        cpu_s, waited_s = node.cpu_s() - cpu_s, node.waited_s() - waited_s
        rounds.append(
            Measurement(
                row=row.row,
                what=row.what,
                unit=row.unit,
                value=result.requests_per_s * row.per_request,
                budget=Budget(row.budget, at_least=True),
                details={
                    "p50_ms": result.latency_ms(50),
                    "p99_ms": result.latency_ms(99),
                    "per_cpu_s": result.requests * row.per_request / cpu_s if cpu_s else 0.0,
                    "kept_waiting_percent": 100 * waited_s / result.elapsed_s,
                },
            )
        )
    return median_of(rounds)


def _load(settings: BenchSettings, address: Address, scripts: Scripts) -> LoadResult:
    if settings.wrk is None:
        return closed_loop(address, scripts, duration_s=settings.duration_s, warmup_s=0.0)
    core = settings.cores[1]
    return wrk.closed_loop(settings.wrk, address, scripts, duration_s=settings.duration_s, core=core)


def latency_at(
    settings: BenchSettings, node: BenchNode, scripts: Scripts, *, rate: float, what: str, row: str
) -> Iterator[Measurement]:
    """P50 and P99 in an open loop: latency counts from the moment a request was due."""
    rounds: list[tuple[LoadResult, float]] = []
    for number in range(settings.rounds):
        waited_s = node.waited_s()
        settings.progress(f"{what} at {rate:,.0f}/s: round {number + 1} of {settings.rounds}")
        result = open_loop(node.address, scripts, rate=rate, duration_s=settings.duration_s)
        rounds.append((result, 100 * (node.waited_s() - waited_s) / settings.duration_s))
    for percent, limit_ms in ((50, 0.3), (99, 2.0)):
        yield median_of(
            [
                Measurement(
                    row=row,
                    what=f"{what} at {rate:,.0f} requests/s: P{percent}",
                    unit="ms",
                    value=result.latency_ms(percent),
                    budget=Budget(limit_ms),
                    details={"requests_per_s": result.requests_per_s, "kept_waiting_percent": waited_percent},
                )
                for result, waited_percent in rounds
            ]
        )


def _heartbeats(node: BenchNode, connections: int, size: int, *, by_key: bool = False) -> Scripts:
    """One heartbeat per connection, each for instances of its own, which are registered here."""
    scripts: list[list[bytes]] = []
    with node.connect() as connection:
        for number in range(connections):
            instances = make_instances(number * size, size)
            connection.expect("POST", REGISTER, body_of(instances))
            path, body = (HEARTBEAT_BY_KEY, keys_of(instances)) if by_key else (HEARTBEAT, body_of(instances))
            scripts.append([prepare("POST", path, body, address=node.address)])
    return scripts


def _registrations(address: Address, connections: int, size: int, variants: int) -> Scripts:
    """Per connection, instances of its own that change their data with every request."""
    scripts: list[list[bytes]] = []
    for number in range(connections):
        requests: list[bytes] = []
        for variant in range(variants):
            instances = make_instances(number * size, size, f"bench.register-{size}-{number}")
            for instance in instances:
                instance["metadata"] = {"version": f"1.{variant}", "weight": "5"}
            requests.append(prepare("POST", REGISTER, body_of(instances), address=address))
        scripts.append(requests)
    return scripts
