"""What holds for every test of the suite. The policies of the folders stand in their own conftest.py.

* Tests do not depend on the speed of the machine: see `pace.py`.
* Examples of Hypothesis have no deadline each, for the same reason, and are the same in each run; a hunt for new ones
  is `pytest --hypothesis-profile=hunt`.
* What a test leaves open is told of that test, also when it has failed for another reason.
* Programs that tests start can be interrupted, wherever the suite itself was started.
"""

import gc
import signal
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow]
"""Of the machine, not of the strategy."""

settings.register_profile("artemis", deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("hunt", deadline=None, max_examples=2_000, suppress_health_check=SLOW)
settings.load_profile("artemis")

# The background jobs of a script ignore Ctrl-C, and whatever they start inherits that. A handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Let go of the frames of a failed test, and so of what it left open, while warnings are still about this test.

    Pytest keeps the last exception until the next test begins. What hangs on it would be found missing then, or when
    garbage happens to be collected, and fail a test that has nothing to do with it.
    """
    if item.stash.get(_failed, False):
        for name in ("last_exc", "last_value", "last_traceback", "last_type"):
            sys.__dict__.pop(name, None)
        gc.collect()
