"""How slow this machine is just now, and what follows for the times in tests.

Three kinds of times, each with a rule
* A **deadline** ends a test that hangs. Nobody waits for it unless something is wrong, so it is generous: `PATIENCE_S`.
* A time that is **in proportion** to others (the lease of a node, the interval of heartbeats, how soon a subscriber is
  told) is stretched on a slow machine: `paced(seconds)`.
* A **speed** is not for tests at all: budgets live in the bench (docs/performance.md).

`ARTEMIS_TEST_PACE=4` says how slow the machine is instead of measuring it, for one that becomes busy later on.
"""

import os
import time
from typing import Final

ROUNDS: Final = 1_000_000
ROUNDS_S: Final = 0.06
"""What that many rounds take on a machine of ordinary speed with a processor to spare."""
PACE_MAX: Final = 20.0


def _measure() -> float:
    """How many times as long as on an ordinary machine a computation takes here, with whoever else is computing."""
    began_s = time.perf_counter()
    total = 0
    for number in range(ROUNDS):
        total += number
    assert total
    return min(max(1.0, (time.perf_counter() - began_s) / ROUNDS_S), PACE_MAX)


PACE: Final = float(os.environ.get("ARTEMIS_TEST_PACE") or _measure())
"""1 on an ordinary machine, more on a slower or a busy one."""

PATIENCE_S: Final = 60.0 * PACE
"""The deadline of whatever should take a moment."""


def paced(seconds: float) -> float:
    """A time as long here as `seconds` are on an ordinary machine."""
    return seconds * PACE
