"""Measurements and the budgets they are held against: what a row of the table says, and when it fails."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

TOLERANCE = 0.2
"""A budget may be missed by this share before `--check` fails: machines differ, and so do their neighbours."""

Verdict = Literal["ok", "near", "missed", "-"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a measured value may be."""

    limit: float
    at_least: bool = False
    """The value has to reach the limit; otherwise it has to stay at or below it."""

    def verdict(self, value: float) -> Verdict:
        """`near` is a miss that `--check` forgives."""
        if math.isnan(value):
            return "missed"
        shortfall = self.limit / value if self.at_least and value else value / self.limit
        if self.at_least and not value:
            return "missed"
        if shortfall <= 1:
            return "ok"
        return "near" if shortfall <= 1 + TOLERANCE else "missed"

    def text(self, unit: str) -> str:
        return f"{'≥' if self.at_least else '≤'} {number(self.limit)} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row of the table."""

    row: str
    """The family it belongs to, as `--only` names it."""
    what: str
    unit: str
    value: float
    budget: Budget | None = None
    details: dict[str, float] = field(default_factory=dict[str, float])
    """Further values of the same measurement, named with their unit: `p50_ms`, `per_cpu_s`."""

    @property
    def verdict(self) -> Verdict:
        return self.budget.verdict(self.value) if self.budget is not None else "-"


def number(value: float) -> str:
    """A value as people read it: thousands apart, three significant digits below a hundred."""
    if math.isnan(value):
        return "?"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed; nan when there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median_of(rounds: Sequence[Measurement]) -> Measurement:
    """One measurement out of several rounds of it: the median of every value."""
    first = rounds[0]
    assert all(other.what == first.what for other in rounds)
    return replace(
        first,
        value=statistics.median(one.value for one in rounds),
        details={name: statistics.median(one.details.get(name, math.nan) for one in rounds) for name in first.details},
    )
