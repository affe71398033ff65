"""`python -m tests.mutants`: plant every bug of the catalogue, one at a time, and say which ones no test noticed."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

from .mutant import FAILED, Mutant, Verdict, copy_of_the_source, judge, load, run_tests


def main() -> int:
    """Exit code 1 when a mutant survived, or its tests fail without it."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of those to plant; all without")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    arguments = parser.parse_args()
    mutants = [one for one in load() if not arguments.names or any(part in one.name for part in arguments.names)]
    problems = [f"{one.name}: {problem}" for one in mutants if (problem := one.problem()) is not None]
    if problems or not mutants:
        print("\n".join(problems) or "no mutant has such a name", file=sys.stderr)
        return 2
    began_s = monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copies = [copy_of_the_source(Path(directory, str(number))) for number in range(arguments.jobs)]
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, output = run_tests(tests, copies[0])
        if code != 0:
            print(f"the tests fail without any mutant:\n{output}", file=sys.stderr)
            return FAILED
        survivors = [verdict for verdict in _judge_all(mutants, copies) if not verdict.is_noticed]
    took_s = monotonic() - began_s
    print(f"{len(mutants) - len(survivors)} mutants noticed, {len(survivors)} survived, in {took_s:.0f} s")
    return FAILED if survivors else 0


def _judge_all(mutants: Sequence[Mutant], copies: Sequence[Path]) -> Iterator[Verdict]:
    """The verdicts in order, each printed as it comes; as many at a time as there are copies."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge_in_a_free_copy(mutant: Mutant) -> Verdict:
        copy = free.get()
        try:
            return judge(mutant, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as threads:
        for verdict in threads.map(judge_in_a_free_copy, mutants):
            print(f"{'noticed ' if verdict.is_noticed else 'SURVIVED'}  {verdict.mutant.name}", flush=True)
            yield verdict


if __name__ == "__main__":
    sys.exit(main())
