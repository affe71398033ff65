"""`artemis export`, `apply`: groups, rules and canaries as a file under version control."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from artemis.store.management.configuration import Configuration

from .asking import asks_a_node
from .documents import read_file, write_document
from .exits import NEGATIVE, USAGE, Failure
from .managing import Rest, ask_rest, operates
from .output import print_json, styled

CONFIGURATION: Final = "/api/routing/configuration"

COLOURS: Final = {"+": "green", "~": "yellow", "-": "red", "?": "cyan"}


@click.command()
@click.option("--service", help="Only what concerns this service.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file, instead of the screen.")
@asks_a_node
def export(service: str | None, output: Path | None, urls: Sequence[str], as_json: bool) -> None:
    """Write groups, tags, members, rules and canaries as a TOML file that `artemis apply` reads.

    Pull-outs are not in it, nor are instances.

    \b
    Examples:
        artemis export -o registry.toml
        artemis export --service orders
    """

    async def work(rest: Rest) -> Any:
        return await rest.get(CONFIGURATION, serviceId=service)

    found = ask_rest(urls, work)
    if as_json:
        print_json(found)
        return
    text = write_document(msgspec.convert(found, Configuration))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(USAGE, f"{output}: {error.strerror}") from None
    click.echo(f"exported to {output}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Show the difference, change nothing; exit with 1 when there is one.")
@click.option("--prune", is_flag=True, help="Also remove what the services in FILE have beyond it.")
@operates
@asks_a_node
def apply(
    file: Path,
    dry_run: bool,
    prune: bool,
    operator: str,
    reason: str | None,
    urls: Sequence[str],
    as_json: bool,
) -> None:
    """Bring groups, tags, members, rules and canaries to what FILE says: all of it at once, or nothing.

    Shows what differed: + created, ~ changed, - removed, ? not in FILE. What is as FILE says stays so, and applying
    a file twice changes nothing. Services that FILE does not mention are not looked at.

    \b
    Examples:
        artemis apply registry.toml --dry-run
        artemis apply registry.toml --reason "release 42"
        artemis apply registry.toml --prune
        artemis export | artemis apply - --url http://another:8080
    """
    stdin = sys.stdin.buffer.read() if str(file) == "-" else None
    configuration = read_file(file, stdin)
    body: dict[str, Any] = {**msgspec.to_builtins(configuration), "dryRun": dry_run, "prune": prune}

    async def work(rest: Rest) -> dict[str, Any]:
        return dict(await rest.send("POST", CONFIGURATION, {**body, "operatorId": operator, "reason": reason}))

    done = ask_rest(urls, work)
    differences = done["differences"]
    changing = [each for each in differences if each["sign"] != "?"]
    if as_json:
        print_json(done)
    else:
        for difference in differences:
            click.echo(styled(_line(difference), COLOURS[difference["sign"]]))
        click.echo(_summary(changing, dry_run=dry_run))
    if dry_run and changing:
        raise SystemExit(NEGATIVE)


def _line(difference: dict[str, Any]) -> str:
    text = f"{difference['sign']} {difference['kind']} {difference['target']}"
    changes = [
        f"{name}: {_shown(after)}" if before is None else f"{name}: {_shown(before)} -> {_shown(after)}"
        for name, (before, after) in difference.get("changes", {}).items()
    ]
    hint = "  (not in the file; --prune removes it)" if difference["sign"] == "?" else ""
    return text + (f"  {', '.join(changes)}" if changes else "") + hint


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list():
            return "[" + " ".join(map(str, value)) + "]"
        case _:
            return str(value)


def _summary(changing: Sequence[dict[str, Any]], *, dry_run: bool) -> str:
    if not changing:
        return "no difference"
    signs = [each["sign"] for each in changing]
    tense = "would be " if dry_run else ""
    counts = [(signs.count("+"), "created"), (signs.count("~"), "changed"), (signs.count("-"), "removed")]
    return ", ".join(f"{count} {tense}{word}" for count, word in counts if count)
