"""What commands print: tables for people, JSON for scripts."""

import sys
from collections.abc import Iterable, Mapping, Sequence

import click
import msgspec

from artemis.store.instances import Instance, encode_instance

STATUS_STYLES: Mapping[str, str] = {
    "up": "green",
    "starting": "yellow",
    "draining": "yellow",
    "suspect": "yellow",
    "down": "red",
    "unknown": "dim",
}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows below headings: in colours and wrapped on a terminal, one line a row for everybody else."""
    texts = [[_text(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, texts)
        return
    widths = [max(len(row[index]) for row in [columns, *texts]) for index in range(len(columns))]
    for row in [columns, *texts]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def styled(text: str, colour: str | None) -> str:
    """The text in a colour; click drops it again where nobody could see it."""
    return click.style(_printable(text), fg=colour)


def print_json(value: object) -> None:
    """One JSON document, on one line when it is nested in a stream, readable otherwise."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_json_line(value: object) -> None:
    """One JSON document on one line, for a stream of them."""
    click.echo(msgspec.json.encode(value).decode())


def as_json(instance: Instance) -> msgspec.Raw:
    """An instance with the names of the API, as a part of a JSON document."""
    return msgspec.Raw(encode_instance(instance))


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # costs more than the answer of a node, and scripts do not need it
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text, style=STATUS_STYLES.get(text, "")) for text in row))
    Console(highlight=False).print(table)


def _text(value: object) -> str:
    return "-" if value is None or value == "" else _printable(str(value))


def _printable(text: str) -> str:
    """What somebody registered must not be able to move the cursor of who looks at it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
