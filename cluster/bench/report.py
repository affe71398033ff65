"""What the bench prints: a table for people, JSON for scripts, Markdown for docs/performance.md."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from .measurements import Measurement, Verdict, number

STYLES: dict[Verdict, str] = {"ok": "green", "near": "yellow", "missed": "bold red", "-": "dim"}

_UNITS = {"_ms": "ms", "_s": "/s", "_mb": "MB", "_percent": "%"}


def table(measurements: Sequence[Measurement]) -> Table:
    """The table of a terminal."""
    result = Table("what", "budget", "measured", "verdict", "details", title=machine(), title_justify="left")
    for one in measurements:
        style = STYLES[one.verdict]
        verdict = f"[{style}]{one.verdict}[/]"
        result.add_row(one.what, _budget(one), f"{number(one.value)} {one.unit}", verdict, details(one))
    return result


def markdown(measurements: Sequence[Measurement]) -> str:
    """The same table for a document."""
    lines = ["| what | budget | measured | verdict | details |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.what} | {_budget(one)} | {number(one.value)} {one.unit} | {one.verdict} | {details(one)} |"
        for one in measurements
    ]
    return "\n".join(lines)


def as_json(measurements: Sequence[Measurement]) -> str:
    """Everything, for scripts."""
    rows = [
        {
            "row": one.row,
            "what": one.what,
            "unit": one.unit,
            "value": one.value,
            "budget": None if one.budget is None else one.budget.limit,
            "verdict": one.verdict,
            "details": one.details,
        }
        for one in measurements
    ]
    return json.dumps({"machine": machine(), "measurements": rows}, indent=2)


def details(one: Measurement) -> str:
    """The further values of a measurement, in words."""
    return ", ".join(f"{_name(name)} {number(value)} {_unit(name)}".rstrip() for name, value in one.details.items())


def machine() -> str:
    """What this ran on."""
    return f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _budget(one: Measurement) -> str:
    return "-" if one.budget is None else one.budget.text(one.unit)


def _name(name: str) -> str:
    if name == "per_cpu_s":
        return "per CPU second"
    return name.rpartition("_")[0].replace("_", " ").replace(" per", "").replace("p50", "P50").replace("p99", "P99")


def _unit(name: str) -> str:
    if name == "per_cpu_s":
        return ""
    return next(unit for suffix, unit in _UNITS.items() if name.endswith(suffix))
