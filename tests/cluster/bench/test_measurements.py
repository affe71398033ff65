"""Verdicts, percentiles and medians: the arithmetic of the bench."""

import math

import pytest

from artemis.cluster.bench.measurements import Budget, Measurement, Verdict, median_of, number, percentile
from artemis.cluster.bench.report import as_json, details, markdown


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(12_001, "ok"), (12_000, "ok"), (11_999, "near"), (10_000, "near"), (9_999, "missed"), (0, "missed")],
)
def test_a_rate_may_fall_short_by_a_fifth(value: float, verdict: Verdict) -> None:
    assert Budget(12_000, at_least=True).verdict(value) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(2.0, "ok"), (2.4, "near"), (2.41, "missed"), (math.nan, "missed")])
def test_a_time_may_exceed_by_a_fifth(value: float, verdict: Verdict) -> None:
    assert Budget(2.0).verdict(value) == verdict


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))


def test_the_median_of_rounds_is_taken_value_by_value() -> None:
    rounds = [
        Measurement(row="r", what="w", unit="ms", value=value, details={"p99_ms": value * 10})
        for value in (3.0, 1.0, 2.0)
    ]
    assert median_of(rounds).value == 2.0
    assert median_of(rounds).details == {"p99_ms": 20.0}


def test_numbers_are_short() -> None:
    assert [number(value) for value in (12345.6, 99.96, 0.3, 1.0, math.nan)] == ["12,346", "100", "0.3", "1", "?"]


def test_the_reports_name_everything_that_was_measured() -> None:
    one = Measurement(
        row="heartbeat",
        what="heartbeat of 10",
        unit="requests/s",
        value=13_000,
        budget=Budget(12_000, at_least=True),
        details={"p50_ms": 0.25, "per_cpu_s": 13_500.0, "resident_mb": 12.0, "heartbeats_per_s": 5.0},
    )
    assert details(one) == "P50 0.25 ms, per CPU second 13,500, resident 12 MB, heartbeats 5 /s"
    assert "| heartbeat of 10 | ≥ 12,000 requests/s | 13,000 requests/s | ok |" in markdown([one])
    assert '"verdict": "ok"' in as_json([one])
