"""Many seeds, over several processes, in order, and the report about them."""

import multiprocessing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from .scenario import Scenario
from .simulation import Result, simulate

SHOWN = 60
"""Events of a transcript that are printed unless more are wanted."""


def run_seeds(seeds: Iterable[int], scenario: Scenario, *, jobs: int = 1) -> Iterator[Result]:
    """The results of all seeds, in the order in which they finish."""
    work = partial(simulate, scenario=scenario)
    if jobs == 1:
        yield from map(work, seeds)
        return
    # A seed means the same in a process that has run others before; fresh ones share nothing with this process.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, seeds)


@dataclass(slots=True)
class Report:
    """What came of the seeds so far."""

    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Processor time."""
    events: int = 0

    def add(self, result: Result) -> None:
        self.passed += result.ok
        self.failed += not result.ok
        self.seconds += result.seconds
        self.events += result.events


def command_for(seed: int, scenario: Scenario) -> str:
    """The command that repeats one seed, with everything that is not as by default."""
    default = Scenario()
    words = [f"artemis cluster simulate --seeds 1 --first {seed}"]
    if scenario.nodes != default.nodes:
        words.append(f"--nodes {scenario.nodes}")
    if scenario.trouble_s != default.trouble_s:
        words.append(f"--minutes {scenario.trouble_s / 60:g}")
    if scenario.clients != default.clients:
        words.append(f"--clients {scenario.clients}")
    return " ".join(words)


def failure_text(result: Result, scenario: Scenario, *, shown: int = SHOWN) -> str:
    """Everything that somebody needs who has to find out why a seed failed."""
    lines = [
        f"seed {result.seed} failed",
        *(f"  {violation}" for violation in result.violations),
        "",
        f"its last {min(shown, len(result.transcript))} events (virtual seconds, who, what):",
        *result.transcript[-shown:],
        "",
        "repeat it with:",
        f"  {command_for(result.seed, scenario)}",
    ]
    return "\n".join(lines)


def summary(result: Result, scenario: Scenario) -> dict[str, object]:
    """A result for scripts."""
    return {
        "seed": result.seed,
        "ok": result.ok,
        "violations": [
            {"checker": each.checker, "time": round(each.time_s, 3), "text": each.text} for each in result.violations
        ],
        "transcript": list(result.transcript),
        "fingerprint": result.fingerprint,
        "events": result.events,
        "command": command_for(result.seed, scenario),
    }
