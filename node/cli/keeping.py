"""`artemis backup`, `restore`: the decisions of operators in one file."""

from pathlib import Path

import click

from artemis.store.backup import backup as make_backup
from artemis.store.backup import restore as restore_backup
from artemis.store.sqlite import DatabaseProblem

from ..config import IN_MEMORY
from .configuration import loaded
from .exits import NEGATIVE, USAGE, Failure

_FILE = click.Path(path_type=Path, dir_okay=False)
_data = click.option("--data", metavar="DIRECTORY", help="The data directory; that of the configuration unless given.")
_config = click.option("--config", type=_FILE, envvar="ARTEMIS_CONFIG", help="A TOML file. Also ARTEMIS_CONFIG.")


@click.command()
@click.argument("file", type=_FILE)
@_data
@_config
@click.option("--force", is_flag=True, help="Overwrite FILE if it is there.")
def backup(file: Path, data: str | None, config: Path | None, *, force: bool) -> None:
    """Copy everything that operators decided, and the audit log, to FILE.

    The node may be running: it is neither stopped nor slowed down, and every write that it has answered is in the
    copy. Instances are not: the living ones register themselves. To be run on the machine of the node.

    \b
    Examples:
        artemis backup /backups/artemis-2026-01-31.db
        artemis backup artemis.db --data /var/lib/artemis
    """
    directory = _directory(data, config)
    try:
        make_backup(directory, file, overwrite=force)
    except DatabaseProblem as problem:
        raise Failure(NEGATIVE, str(problem)) from None
    click.echo(f"backed up {directory} to {file}")


@click.command()
@click.argument("file", type=_FILE)
@_data
@_config
def restore(file: Path, data: str | None, config: Path | None) -> None:
    """Make a data directory hold what the backup FILE holds. The node must be stopped.

    What was there before is kept beside it, with the suffix .replaced. In a cluster restore all nodes, or none: those
    that were not restored tell the others what has happened since.

    \b
    Example:
        artemis restore /backups/artemis-2026-01-31.db --data /var/lib/artemis
    """
    directory = _directory(data, config)
    try:
        restore_backup(file, directory)
    except DatabaseProblem as problem:
        raise Failure(NEGATIVE, str(problem)) from None
    click.echo(f"restored {file} to {directory}")


def _directory(data: str | None, config: Path | None) -> str:
    directory = loaded(config, (), {"data_directory": data}).data.directory
    if directory == IN_MEMORY:
        raise Failure(USAGE, "this node keeps nothing on disk; see --data")
    return directory
