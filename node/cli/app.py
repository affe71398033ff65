"""The group `artemis`: finds commands by name and imports only the one that is asked for."""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from .commands import COMMANDS, PLUGIN_AREA, PLUGIN_GROUP, Command
from .exits import Failure

HELP = """A service registry: register, heartbeat, discover, watch.

\b
Run a node, look around, follow a service:
    artemis serve
    artemis register orders --at http://127.0.0.1:9000/
    artemis instances orders
    artemis watch orders

Commands that ask a node find it by --url or ARTEMIS_URL (http://127.0.0.1:8080 if neither is given).

\b
Exit codes: 0 done, 1 the answer is no (not found, not ready), 2 wrong usage or configuration,
3 no node reachable, 4 the node refused, 5 the node could not run, 130 interrupted.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [command.name for command in COMMANDS] + sorted(plugins())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for command in COMMANDS:
            if command.name == cmd_name:
                return _load(command)
        plugin = plugins().get(cmd_name)
        return None if plugin is None else _checked(plugin.load(), plugin.value)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            for line in failure.lines:
                click.echo(f"artemis: {line}", err=True)
            ctx.exit(failure.code)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By area, and from the list: no command is imported for the overview."""
        for area in dict.fromkeys(command.area for command in COMMANDS):
            rows = [(command.name, command.summary) for command in COMMANDS if command.area == area]
            _write_area(formatter, area, rows)
        rows = [(name, _summary(point)) for name, point in sorted(plugins().items())]
        if rows:
            _write_area(formatter, PLUGIN_AREA, rows)


def plugins() -> dict[str, EntryPoint]:
    """Commands that other parts of the installation offer, by name."""
    return {point.name: point for point in entry_points(group=PLUGIN_GROUP)}


@click.group(
    cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="artemis-registry", prog_name="artemis")
def artemis() -> None:
    pass


def _load(command: Command) -> click.Command:
    module = import_module(f".{command.module}", package=__package__)
    return _checked(getattr(module, command.attribute), command.module)


def _summary(plugin: EntryPoint) -> str:
    """What a plug-in says of itself; one that is broken does not take the overview with it."""
    try:
        return _checked(plugin.load(), plugin.value).get_short_help_str(90)
    except (ImportError, AttributeError) as error:
        return f"(cannot be loaded: {error})"


def _checked(found: Any, where: str) -> click.Command:
    assert isinstance(found, click.Command), where
    return found


def _write_area(formatter: click.HelpFormatter, area: str, rows: Sequence[tuple[str, str]]) -> None:
    with formatter.section(area):
        formatter.write_dl(rows)
