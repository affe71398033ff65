"""A hunt over many seeds goes on, whatever becomes of one of them."""

import json
import os
from typing import Any

import pytest

from artemis.cluster.simulation.nemesis import Nemesis
from artemis.cluster.simulation.scenario import Scenario
from artemis.cluster.simulation.seeds import failure_text, run_seeds, summary

SHORT = Scenario(trouble_s=3.0, clients=3, subscribers=1)


class Deadly(Scenario):
    """A scenario that ends the process it is sent to, at some of the times that it is sent."""

    deadly_times: range = range(0)
    times_sent = 0

    def __reduce__(self) -> Any:
        cls = type(self)
        cls.times_sent += 1
        if cls.times_sent - 1 in cls.deadly_times:
            return os._exit, (1,)
        return Scenario, (3, 3, 3, 1, 1, 3.0)


def test_a_seed_that_crashes_fails_like_any_other() -> None:
    async def crash(self: Nemesis) -> None:
        raise LookupError("nobody foresaw this")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Nemesis, "run", crash)
        first, second = run_seeds([1, 2], SHORT)
    for result in (first, second):
        assert not result.ok
        assert "nobody foresaw this" in failure_text(result, SHORT)
        told = json.loads(json.dumps(summary(result, SHORT), allow_nan=False))
        assert told["violations"][0]["checker"] == "Crash"
        assert told["violations"][0]["time"] is None


def test_a_seed_that_kills_its_process_is_told_and_the_others_run() -> None:
    class Once(Deadly):
        deadly_times = range(1, 2)

    assert {result.seed: result.ok for result in run_seeds(range(1, 6), Once(), jobs=2)} == dict.fromkeys(
        range(1, 6), True
    )

    class Always(Deadly):
        deadly_times = range(1000)

    results = list(run_seeds([7, 8, 9], Always(), jobs=2))
    assert sorted(result.seed for result in results) == [7, 8, 9]
    assert all("died without a word" in failure_text(result, SHORT) for result in results)
