"""`artemis cluster simulate`."""

import json
import os
import sys
import time
from typing import Self

import click

from .scenario import NODES_MAX, Scenario
from .seeds import SHOWN, Report, failure_text, reach_text, run_seeds, summary

FAILED = 1
"""Exit code when a promise was broken."""
FAILURES_MAX = 5
"""Transcripts that are printed; of further failures only the seeds are told."""


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=100, show_default=True, help="How many seeds to run.")
@click.option("--first", type=click.IntRange(0), default=1, show_default=True, help="The first of them.")
@click.option("--nodes", type=click.IntRange(2, NODES_MAX), default=3, show_default=True, help="Nodes of the cluster.")
@click.option("--minutes", type=click.FloatRange(0.1), default=0.75, show_default=True, help="Minutes of trouble.")
@click.option("--clients", type=click.IntRange(3, 200), default=9, show_default=True, help="Services that register.")
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: one per processor]")
@click.option("--events", "shown", type=int, default=SHOWN, show_default=True, help="Events shown of a failure.")
@click.option("--trace", is_flag=True, help="Show the last events of seeds that pass, too.")
@click.option("--reach", is_flag=True, help="Tell what occurred, and in how many seeds.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object per failed seed, and one in the end.")
def simulate(
    seeds: int,
    first: int,
    nodes: int,
    minutes: float,
    clients: int,
    jobs: int | None,
    shown: int,
    trace: bool,
    reach: bool,
    is_json: bool,
) -> None:
    """Simulate whole clusters in virtual time, break them, and check every promise.

    \b
    Each seed is one cluster: real nodes on a simulated network, clients, subscribers and operators;
    things go wrong for --minutes, then everything is healed and has to settle. The same seed always
    does the same. Exits with 1 when a promise was broken, and tells how to repeat that seed.
    """
    scenario = Scenario(nodes=nodes, trouble_s=60 * minutes, clients=clients)
    report, failures, began_s = Report(), list[int](), time.monotonic()
    jobs = min(jobs or os.cpu_count() or 1, seeds)
    with Progress(seeds, quiet=is_json) as progress:
        for result in run_seeds(range(first, first + seeds), scenario, jobs=jobs):
            report.add(result)
            progress.show(report)
            if is_json and not result.ok:
                click.echo(json.dumps(summary(result, scenario)))
            elif not result.ok and len(failures) < FAILURES_MAX:
                progress.clear()
                click.echo(failure_text(result, scenario, shown=shown) + "\n")
            elif trace:
                progress.clear()
                click.echo("\n".join(result.transcript[-shown:]))
            if not result.ok:
                failures.append(result.seed)
    if reach and not is_json:
        click.echo(reach_text(report))
    _conclude(report, sorted(failures), time.monotonic() - began_s, is_json=is_json)


def _conclude(report: Report, failures: list[int], wall_s: float, *, is_json: bool) -> None:
    if is_json:
        numbers = {
            "passed": report.passed,
            "failed": report.failed,
            "seconds": round(wall_s, 1),
            "seeds": failures,
            "situations": report.situations,
        }
        click.echo(json.dumps(numbers))
    else:
        click.echo(
            f"{report.passed} seeds passed, {report.failed} failed: {report.events} events in {wall_s:.1f} s"
            f" ({report.seconds / max(1, report.passed + report.failed):.2f} s of processor time per seed)"
        )
        if failures:
            click.echo(f"failed: {' '.join(map(str, failures))}")
    if failures:
        sys.exit(FAILED)


class Progress:
    """One line on a terminal that is written again and again; nothing elsewhere."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._shown = not quiet and sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, report: Report) -> None:
        if self._shown:
            done = report.passed + report.failed
            click.echo(f"\r{done}/{self._total} seeds, {report.failed} failed ", nl=False, err=True)

    def clear(self) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)
