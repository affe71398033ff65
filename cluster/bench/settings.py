"""How thorough a run of the bench is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .measurements import Measurement
from .nodes import Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """What every family of rows is told."""

    cores: Cores
    rounds: int = 3
    duration_s: float = 4.0
    connections: int = 100
    population: int = 100_000
    """Instances that a node holds where a row asks for many."""
    subscribers: int = 2000
    news: int = 300
    """Registrations of which each is followed to a subscriber of another node."""
    watched_s: float = 10.0
    """How long the traffic between nodes is watched."""
    management_share: float = 1.0
    """How much of the groups, rules, canaries and operations are loaded that the budgets speak of."""
    million: bool = False
    wrk: str | None = None
    """The program that makes the load where rates are measured; our own generator where there is none."""
    progress: Callable[[str], None] = lambda text: None


Family = Callable[[BenchSettings], Iterator[Measurement]]
"""Measures rows that belong together, each as soon as it is known."""


def quick(settings: BenchSettings) -> BenchSettings:
    """For a first look, and for CI: one short round, a tenth of the instances."""
    return replace(settings, rounds=1, duration_s=1.5, population=10_000, subscribers=200, news=100, watched_s=5.0)
