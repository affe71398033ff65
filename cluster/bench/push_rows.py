"""Rows about pushes: one change of a service, and the moment at which its last subscriber has it."""

import time
from collections.abc import Iterator

from .measurements import Budget, Measurement, median_of
from .nodes import open_node
from .population import REGISTER, body_of, make_instance
from .settings import BenchSettings
from .subscribers import arrivals_s, open_subscribers

SERVICE = "bench.pushed"
CHANGES = 5


def push(settings: BenchSettings) -> Iterator[Measurement]:
    """The subscribers are sockets of this process, so the last arrival includes reading 2,000 of them."""
    count = settings.subscribers
    with open_node(core=settings.cores[0]) as node, node.connect() as connection:
        connection.expect("POST", REGISTER, body_of([make_instance(0, SERVICE)]))
        settings.progress(f"connecting {count:,} subscribers")
        with open_subscribers(node.address, SERVICE, count) as subscribers:
            rounds: list[Measurement] = []
            for number in range(CHANGES):
                settings.progress(f"one change to {count:,} subscribers: round {number + 1} of {CHANGES}")
                marker = f"change-{number}"
                instance = make_instance(0, SERVICE) | {"metadata": {"version": marker}}
                sent_s = time.perf_counter()
                connection.expect("POST", REGISTER, body_of([instance]))
                arrived = arrivals_s(subscribers, marker.encode())
                rounds.append(
                    Measurement(
                        row="push",
                        what=f"one change to {count:,} subscribers, until the last has it",
                        unit="ms",
                        value=(arrived[-1] - sent_s) * 1000,
                        budget=Budget(300.0),
                        details={"first_ms": (arrived[0] - sent_s) * 1000},
                    )
                )
            yield median_of(rounds)
