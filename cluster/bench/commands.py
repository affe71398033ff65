"""`artemis bench`: measure, print, and fail when a budget is missed."""

import resource
import sys

import click
from rich.console import Console

from .families import FAMILIES, measure
from .http import BenchFailed
from .measurements import TOLERANCE, Measurement, number
from .nodes import choose_cores, pin
from .report import as_json, markdown, table
from .settings import BenchSettings, quick
from .wrk import find_wrk

TABLE_WIDTH = 150
"""Columns; a table that is broken into narrow ones is no table."""


def _choose(_: click.Context, __: click.Parameter, text: str | None) -> list[str]:
    names = list(FAMILIES) if text is None else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FAMILIES:
            raise click.BadParameter(f"there are no rows {name!r}; choose from: {', '.join(FAMILIES)}")
    return names


@click.command()
@click.option("--check", is_flag=True, help=f"Exit with 1 when a budget is missed by more than {TOLERANCE:.0%}.")
@click.option("--quick", "is_quick", is_flag=True, help="One short round with a tenth of the instances.")
@click.option("--million", is_flag=True, help="Also fill a node with a million instances; takes minutes.")
@click.option("--only", "names", metavar="ROWS", callback=_choose, help=f"Of {', '.join(FAMILIES)}; comma-separated.")
@click.option(
    "--generator",
    type=click.Choice(["auto", "own"]),
    default="auto",
    show_default=True,
    help="What makes the load: wrk where it is installed, or always the generator of the bench.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", "is_markdown", is_flag=True, help="Print the table of docs/performance.md.")
def bench(
    check: bool,
    is_quick: bool,
    million: bool,
    names: list[str],
    generator: str,
    is_json: bool,
    is_markdown: bool,
) -> None:
    """Measure what a node does, against its budgets.

    Starts nodes of its own, pinned to one core, and loads them from this process on another. Whole requests
    are counted, their answers checked; a table follows at the end, or with --json everything for scripts.
    """
    progress = Console(stderr=True)
    cores = choose_cores()
    _raise_file_limit()
    with progress.status("starting") as status:
        settings = BenchSettings(
            cores=cores,
            million=million,
            wrk=find_wrk() if generator == "auto" else None,
            progress=status.update,
        )
        if is_quick:
            settings = quick(settings)
        pin(cores[1])
        measurements, failure = _measure(settings, names, progress)
    if is_json:
        click.echo(as_json(measurements))
    elif is_markdown:
        click.echo(markdown(measurements))
    else:
        console = Console()
        console.width = max(console.width, TABLE_WIDTH)
        console.print(table(measurements))
    if failure is not None:
        progress.print(f"[red]the bench failed:[/] {failure}", highlight=False)
        sys.exit(2)
    if check and any(one.verdict == "missed" for one in measurements):
        sys.exit(1)


def _measure(
    settings: BenchSettings, names: list[str], progress: Console
) -> tuple[list[Measurement], BenchFailed | None]:
    """Measure until the end, or the first failure; what was measured before it is not lost."""
    measurements: list[Measurement] = []
    try:
        for one in measure(settings, names):
            measurements.append(one)
            progress.print(f"{one.what}: {number(one.value)} {one.unit} ({one.verdict})", highlight=False)
    except BenchFailed as error:
        return measurements, error
    return measurements, None


def _raise_file_limit() -> None:
    """Thousands of subscribers are thousands of files, here and in the nodes, which inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
