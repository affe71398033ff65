"""The table of a cluster: one row per node, and the faults that are in force below it."""

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .watch import NodeView

STYLES = {
    "up": "green",
    "running": "green",
    "starting": "yellow",
    "draining": "yellow",
    "paused": "yellow",
    "suspect": "yellow",
    "unknown": "dim",
    "silent": "dim",
}

WIDTH = 140
"""Columns of a table that goes to a file or a pipe."""


def make_console() -> Console:
    """Standard output, wide enough for the table where nobody says how wide it is."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    return console


def cluster_table(views: Sequence[NodeView], faults: Mapping[str, str], *, width: int | None = None) -> RenderableType:
    """What `artemis cluster status` shows."""
    with_region = len({view.region for view in views}) > 1
    table = Table(box=None, pad_edge=False, header_style="bold", width=width)
    for heading in ("node", *(["region"] if with_region else []), "zone", "url", "process", "status", "peer links"):
        table.add_column(heading, no_wrap=heading != "peer links")
    table.add_column("instances", justify="right", no_wrap=True)
    table.add_column("lag", justify="right", no_wrap=True)
    for view in views:
        process = f"{view.process} ({view.pid})" if view.pid is not None else view.process
        table.add_row(
            view.name,
            *([view.region] if with_region else []),
            view.zone,
            view.url,
            Text(process, style=STYLES.get(view.process, "red")),
            Text(view.status, style=STYLES.get(view.status, "red")),
            peers_text(view),
            "" if view.instances is None else f"{view.instances:,}",
            "" if view.lag_ms is None else f"{view.lag_ms:.0f} ms",
        )
    lines = [Text(f"{view.name}: {view.reason}", style="red") for view in views if view.reason]
    if lines:
        lines.insert(0, Text())
    if faults:
        lines += [Text(), Text("faults", style="bold"), *(Text(f"  {flow}: {fault}") for flow, fault in faults.items())]
    return Group(table, *lines) if lines else table


def peers_text(view: NodeView) -> Text:
    """The peers of a node, each in the colour of what the node thinks of it."""
    text = Text()
    for name, status in sorted(view.peers.items()):
        if text:
            text.append("  ")
        text.append(name if status == "up" else f"{name} {status}", style=STYLES.get(status, "red"))
    return text
