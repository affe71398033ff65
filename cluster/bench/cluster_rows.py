"""Rows about several nodes: how fast news spreads, how few frames heartbeats need, how a new node catches up."""

import time
from collections.abc import Iterator

from .http import BenchFailed, prepare
from .load import open_loop
from .measurements import Budget, Measurement, percentile
from .nodes import BenchNode, open_nodes, pause
from .population import HEARTBEAT, REGISTER, body_of, make_instance, make_instances
from .population_rows import INSTANCES_METRIC, fill, metric, wait_for_metric
from .settings import BenchSettings
from .subscribers import arrivals_s, open_subscribers

FRAMES_METRIC = "artemis_renewal_frames_total"

SERVICE = "bench.spread"
HEARTBEATING = 10_000
HEARTBEAT_S = 5.0
PER_REQUEST = 10
SYNC_S = 60.0


def spread(settings: BenchSettings) -> Iterator[Measurement]:
    """Register on one node; a subscriber of another one is told."""
    with open_nodes(2) as (here, there), here.connect() as connection:
        connection.expect("POST", REGISTER, body_of([make_instance(0, SERVICE)]))
        wait_for_metric(there, INSTANCES_METRIC, at_least=1)
        settings.progress("register on one node, push on another")
        delays_ms: list[float] = []
        with open_subscribers(there.address, SERVICE, 1) as subscribers:
            for number in range(1, settings.news + 1):
                instance = make_instance(number, SERVICE)
                marker = f'"{instance["instanceId"]}"'.encode()
                sent_s = time.perf_counter()
                connection.expect("POST", REGISTER, body_of([instance]))
                delays_ms.append((arrivals_s(subscribers, marker)[0] - sent_s) * 1000)
        yield Measurement(
            row="spread",
            what="register on one node, push on another: P99",
            unit="ms",
            value=percentile(delays_ms, 99),
            budget=Budget(100.0),
            details={"p50_ms": percentile(delays_ms, 50)},
        )


def frames(settings: BenchSettings) -> Iterator[Measurement]:
    """10,000 instances heartbeat every five seconds: how many frames each peer gets for it."""
    count = min(HEARTBEATING, settings.population)
    rate = count / PER_REQUEST / HEARTBEAT_S
    with open_nodes(3) as nodes:
        node, *others = nodes
        fill(settings, node, count)
        for other in others:
            wait_for_metric(other, INSTANCES_METRIC, at_least=count)
        bodies = [body_of(make_instances(first, PER_REQUEST)) for first in range(0, count, PER_REQUEST)]
        requests = [prepare("POST", HEARTBEAT, body, address=node.address) for body in bodies]
        connections = 10
        scripts = [requests[i::connections] for i in range(connections)]
        settings.progress(f"{count:,} instances heartbeating every {HEARTBEAT_S:g} s")
        before = metric(node.metrics(), FRAMES_METRIC)
        result = open_loop(node.address, scripts, rate=rate, duration_s=settings.watched_s, warmup_s=0.0)
        sent = (metric(node.metrics(), FRAMES_METRIC) - before) / len(others)
    yield Measurement(
        row="frames",
        what=f"frames to each peer, {count:,} instances heartbeating every {HEARTBEAT_S:g} s",
        unit="frames/s",
        value=sent / result.elapsed_s,
        budget=Budget(10.0),
        details={"heartbeats_per_s": result.requests_per_s * PER_REQUEST},
    )
    yield Measurement(
        row="frames",
        what="share of heartbeat requests for which no frame was sent",
        unit="%",
        value=100 * (1 - sent / result.requests),
        budget=Budget(90.0, at_least=True),
    )


def sync(settings: BenchSettings) -> Iterator[Measurement]:
    """A third node joins two that hold 100,000 instances, while they are asked."""
    count = settings.population
    with open_nodes(3, started=2) as nodes:
        first, second, new = nodes
        fill(settings, first, count)
        wait_for_metric(second, INSTANCES_METRIC, at_least=count, timeout_s=SYNC_S)
        settings.progress(f"a new node takes over {count:,} instances")
        probe = prepare("POST", "/artemis/api/status/node.json", {}, address=first.address)
        longest_ms = 0.0
        started_s = time.perf_counter()
        new.child.start()
        with first.connect() as connection:
            while not _is_ready(new):
                asked_s = time.perf_counter()
                connection.exchange(probe)
                longest_ms = max(longest_ms, (time.perf_counter() - asked_s) * 1000)
                if asked_s - started_s > SYNC_S:
                    raise BenchFailed(f"the new node was not ready within {SYNC_S:g} s:\n{new.log()}")
                pause(0.005)
        elapsed_s = time.perf_counter() - started_s
        if (found := metric(new.metrics(), INSTANCES_METRIC)) < count:
            raise BenchFailed(f"ready with {found:,.0f} of {count:,} instances")
    yield Measurement(
        row="sync",
        what=f"full synchronisation of a new node, {count:,} instances, start included",
        unit="s",
        value=elapsed_s,
        budget=Budget(10.0),
        details={"others_longest_ms": longest_ms},
    )


def _is_ready(node: BenchNode) -> bool:
    try:
        with node.connect() as connection:
            return connection.call("GET", "/health/ready").status == 200
    except (OSError, BenchFailed):
        return False
