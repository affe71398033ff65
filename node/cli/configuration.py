"""`artemis config`, and the flags by which commands are given a configuration."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..config import Config
from ..keys import all_keys, show
from ..reference import configuration_reference
from ..sources import ConfigError, load
from .exits import USAGE, Failure
from .output import print_json, print_table

F = TypeVar("F", bound=Callable[..., Any])

FLAGS: Final[Mapping[str, tuple[str, str, str]]] = {
    "host": ("node.host", "ADDRESS", "Address to listen on; 0.0.0.0 for every network interface."),
    "port": ("node.port", "PORT", "Port to listen on; 0 takes a free one."),
    "region": ("node.region", "NAME", "Region served by this node."),
    "zone": ("node.zone", "NAME", "Zone this node stands in."),
    "advertise": ("node.url", "URL", "Address that peers and clients are told."),
    "data": ("data.directory", "DIRECTORY", "Where the database is; :memory: keeps nothing on disk."),
    "cluster": ("cluster.nodes", "NODES", "All nodes, as zone1:url,url;zone2:url."),
    "log-format": ("logging.format", "FORMAT", "console or json."),
    "log-level": ("logging.level", "LEVEL", "debug, info, warning or error."),
}
"""Shortcuts of `artemis serve`: flag -> key, what to write, help. Every other key has --set."""


def takes_configuration(command: F) -> F:
    """The configuration flags; `loaded` makes a configuration of their values."""
    for flag, (key, metavar, text) in reversed(list(FLAGS.items())):
        option = click.option(f"--{flag}", key.replace(".", "_"), metavar=metavar, help=text)
        command = option(command)
    command = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key; repeatable.")(
        command
    )
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="ARTEMIS_CONFIG",
        help="A TOML file. Also ARTEMIS_CONFIG.",
    )(command)


def loaded(file: Path | None, settings: Sequence[str], flags: Mapping[str, str | None]) -> Config:
    """The configuration of defaults, file, environment and flags; what is wrong with it ends the command."""
    names = {key: f"--{flag}" for flag, (key, _, _) in FLAGS.items()}
    values: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise Failure(USAGE, f"--set: {setting!r} does not look like SECTION.KEY=VALUE")
        values[key.strip()] = value
        names[key.strip()] = "--set"
    for flag, (key, _, _) in FLAGS.items():
        given = flags.get(key.replace(".", "_"))
        if given is not None:
            values[key] = given
            names[key] = f"--{flag}"
    try:
        return load(file=file, flags=values, flag_names=names)
    except ConfigError as error:
        raise Failure(USAGE, *error.problems) from None


@click.command()
@takes_configuration
@click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of a table.")
@click.option("--help-keys", is_flag=True, help="Describe every key instead: what it is for and what is allowed.")
@click.option("--markdown", is_flag=True, hidden=True, help="The tables of docs/reference/configuration.md.")
def config(
    file: Path | None,
    settings: Sequence[str],
    as_json: bool,
    help_keys: bool,
    markdown: bool,
    **flags: str | None,
) -> None:
    """Show every setting that `artemis serve` with the same flags would use, and where it comes from.

    Sources in rising priority: defaults, the file, ARTEMIS_* variables, flags.

    \b
    Examples:
        artemis config
        artemis config --config /etc/artemis/artemis.toml --set registry.lease_ttl_s=30
        artemis config --help-keys
    """
    if markdown:
        click.echo(configuration_reference(), nl=False)
        return
    if help_keys:
        print_table(
            ("KEY", "ALLOWED", "DEFAULT", "PURPOSE"),
            [(key.name, key.allowed, show(key, key.default), key.description) for key in all_keys().values()],
        )
        return
    effective = loaded(file, settings, flags)
    rows = [(key, key.value_in(effective), effective.sources.get(key.name, "default")) for key in all_keys().values()]
    if as_json:
        print_json(
            {
                key.name: {"value": show(key, value) if key.secret else value, "source": source}
                for key, value, source in rows
            }
        )
    else:
        print_table(("KEY", "VALUE", "SOURCE"), [(key.name, show(key, value), source) for key, value, source in rows])
