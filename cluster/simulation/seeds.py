"""Many seeds, over several processes, in order, and the report about them."""

import multiprocessing
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice

from .scenario import Scenario
from .simulation import Result, crashed, simulate
from .situations import Situation

SHOWN = 60
"""Events of a transcript that are printed unless more are wanted."""


def run_seeds(seeds: Iterable[int], scenario: Scenario, *, jobs: int = 1) -> Iterator[Result]:
    """The results of all seeds, in the order in which they finish.

    A seed that ends its process (out of memory, a crash of an extension) fails like any other, and the rest goes on.
    """
    if jobs == 1:
        yield from (simulate(seed, scenario) for seed in seeds)
        return
    waiting = iter(seeds)
    while lost := (yield from _run_until_a_process_dies(waiting, scenario, jobs=jobs)):
        for seed in lost:  # one of them is to blame; alone, each shows whether it is
            if (yield from _run_until_a_process_dies(iter([seed]), scenario, jobs=1)):
                yield crashed(seed, "the process that ran this seed died without a word")


def _run_until_a_process_dies(
    seeds: Iterator[int], scenario: Scenario, *, jobs: int
) -> Generator[Result, None, list[int]]:
    """Run seeds until there are no more, or a process dies. Returns the seeds whose results were lost with it."""
    # A seed means the same in a process that has run others before; fresh ones share nothing with this process.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[Result], int] = {}
        lost: list[int] = []
        while True:
            for seed in () if lost else islice(seeds, 2 * jobs - len(running)):
                running[pool.submit(simulate, seed, scenario)] = seed
            if not running:
                return lost
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                seed = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(seed)
                else:
                    yield future.result()


@dataclass(slots=True)
class Report:
    """What came of the seeds so far."""

    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Processor time."""
    events: int = 0
    situations: dict[Situation, int] = field(default_factory=lambda: dict.fromkeys(Situation, 0))
    """In how many seeds each occurred."""

    def add(self, result: Result) -> None:
        self.passed += result.ok
        self.failed += not result.ok
        self.seconds += result.seconds
        self.events += result.events
        for situation in result.situations:
            self.situations[situation] += 1


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


def reach_text(report: Report) -> str:
    """Which situations occurred, in how many of the seeds."""
    lines = [f"{count:7}  {situation}" for situation, count in report.situations.items()]
    return "\n".join([f"of {report.passed + report.failed} seeds", *lines])


def summary(result: Result, scenario: Scenario) -> dict[str, object]:
    """A result for scripts."""
    return {
        "seed": result.seed,
        "ok": result.ok,
        "violations": [
            {"checker": each.checker, "time": each.time_s and round(each.time_s, 3), "text": each.text}
            for each in result.violations
        ],
        "transcript": list(result.transcript),
        "fingerprint": result.fingerprint,
        "events": result.events,
        "situations": list(result.situations),
        "command": command_for(result.seed, scenario),
    }
