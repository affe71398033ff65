"""Metrics: counted in plain Python where it is hot, turned into Prometheus families when somebody scrapes.

The registry of metrics belongs to the node, not to the process, so that many nodes can live in one. Nothing here
is called between two scrapes except `RequestMeter.request` and `Histogram.observe`; everything else is read from
the parts of the node at scrape time, by functions that the composition hands in.
"""

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

LATENCY_BOUNDS_S: Final = (
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency buckets: fine where the hot routes are, coarse where something is wrong."""

Labels = str | tuple[str, ...]
Read = Callable[[], float]
ReadMany = Callable[[], Mapping[Any, float]]
"""Keys are `Labels`; a mapping is invariant in its keys, so a narrower type would refuse half of its uses."""


class Histogram:
    """Counts by bucket. Observing costs a bisection and two additions."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        names = [*(str(bound) for bound in self._bounds), "+Inf"]
        return [(name, float(count)) for name, count in zip(names, accumulate(self.counts), strict=True)]


class RequestMeter:
    """Requests by operation and outcome, and how long they took. Implements transport.observation.Observer."""

    __slots__ = ("_latencies", "_outcomes")

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str], int] = {}
        self._latencies: dict[str, Histogram] = {}

    def request(self, name: str, status: int, outcome: str, seconds: float) -> None:
        """One request was answered. Called for every request: keep it cheap."""
        outcomes = self._outcomes
        key = (name, outcome)
        try:
            outcomes[key] += 1
            latency = self._latencies[name]
        except KeyError:
            outcomes[key] = 1
            latency = self._latencies.setdefault(name, Histogram())
        latency.counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        latency.sum += seconds

    def count(self, operation: str, outcome: str) -> int:
        """How many requests had this outcome."""
        return self._outcomes.get((operation, outcome), 0)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "artemis_requests", "Requests answered, by operation and outcome.", labels=("operation", "outcome")
        )
        for labels, count in self._outcomes.items():
            requests.add_metric(labels, count)
        yield requests
        seconds = HistogramMetricFamily(
            "artemis_request_seconds",
            "Time from the complete request to its answer, by operation.",
            labels=("operation",),
        )
        for operation, latency in self._latencies.items():
            seconds.add_metric((operation,), latency.buckets(), latency.sum)
        yield seconds


class Metrics(Collector):
    """The metrics of one node. Parts are added while the node is composed, and read at each scrape."""

    def __init__(self, *, node_id: str = "", region: str = "", zone: str = "") -> None:
        self.requests = RequestMeter()
        self._build = {
            "version": artemis_version(),
            "python": platform.python_version(),
            "node": node_id,
            "region": region,
            "zone": zone,
        }
        self._readers: dict[str, Callable[[], Metric]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def gauge(self, name: str, text: str, read: Read) -> None:
        """A value that goes up and down."""
        self._add(name, lambda: GaugeMetricFamily(name, text, value=read()))

    def counter(self, name: str, text: str, read: Read) -> None:
        """A value that only rises; the name is given without `_total`."""
        self._add(name, lambda: CounterMetricFamily(name, text, value=read()))

    def gauges(self, name: str, text: str, labels: Sequence[str], read: ReadMany) -> None:
        """A gauge for each label value (or tuple of them) that `read` returns."""
        self._add_labelled("gauge", name, text, labels, read)

    def counters(self, name: str, text: str, labels: Sequence[str], read: ReadMany) -> None:
        """A counter for each label value (or tuple of them) that `read` returns; the name is without `_total`."""
        self._add_labelled("counter", name, text, labels, read)

    def histogram(self, name: str, text: str, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> Histogram:
        """A histogram of our own, to be observed."""
        histogram = Histogram(bounds)
        self._add(name, lambda: HistogramMetricFamily(name, text, histogram.buckets(), histogram.sum))
        return histogram

    def collect(self) -> Iterator[Metric]:
        """All families, read now. Called by prometheus_client."""
        yield InfoMetricFamily("artemis_build", "What runs here.", value=self._build)
        yield from self.requests.collect()
        for read in self._readers.values():
            yield read()

    def expose(self, accept: str | None = None) -> tuple[bytes, str]:
        """The page for a scraper, and its content type: the Prometheus text format, or OpenMetrics when accepted."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self._registry), content_type

    def _add_labelled(
        self, kind: Literal["gauge", "counter"], name: str, text: str, labels: Sequence[str], read: ReadMany
    ) -> None:
        family_class = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily

        def read_family() -> Metric:
            family = family_class(name, text, labels=labels)
            for values, number in read().items():
                family.add_metric((values,) if isinstance(values, str) else values, number)
            return family

        self._add(name, read_family)

    def _add(self, name: str, read: Callable[[], Metric]) -> None:
        assert name not in self._readers, name
        self._readers[name] = read


def artemis_version() -> str:
    """The installed version; "unknown" in a checkout that is not installed."""
    try:
        return version("artemis-registry")
    except PackageNotFoundError:
        return "unknown"
