"""The database: the data directory of one node, with its lock, its journal, and its snapshot.

Two files, because SQLite has one writer per file and a management write must not wait for instances:

    artemis.db     records, audits, identity     the journal     every commit reaches the disk before it returns
    instances.db   the registry                  the snapshot    behind the scenes

Whatever is wrong with them is a `DatabaseProblem` when the database is opened: a node never begins empty because it
could not read what it knew.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import apsw

from .journal import Journal
from .lock import LOCK_NAME, DirectoryLock
from .migrations import INSTANCES, MANAGEMENT, Schema, migrate, verify
from .private import create_private, keep_private
from .snapshot import Snapshot
from .sqlite import (
    CHECK_S,
    MEMORY,
    DatabaseProblem,
    OpenFile,
    Synchronous,
    check,
    connect,
    explained,
    sync_directory,
)

MANAGEMENT_NAME: Final = "artemis.db"
INSTANCES_NAME: Final = "instances.db"

NEW_SUFFIX: Final = ".new"
"""A file in the making. It gets its name when it is complete, so a file that is empty is a damaged one."""


UNCHECKED: Final = (
    "{file} is so large that its check for damage was not finished in {seconds:g} s; the node starts without it."
    " `artemis backup` checks artemis.db completely; so does `sqlite3 FILE 'PRAGMA quick_check'` for either file"
)


class Database:
    """Open from construction by `open_database` until `close`."""

    def __init__(
        self,
        journal: Journal,
        snapshot: Snapshot,
        *,
        directory: Path | None,
        lock: DirectoryLock | None,
        remarks: Sequence[str] = (),
    ) -> None:
        self.journal = journal
        self.snapshot = snapshot
        self.remarks = remarks
        """What the operator should be told, though the database can be used."""
        self.directory = directory
        """None when everything is kept in memory."""
        self._lock = lock

    def close(self) -> None:
        """Close both files, then let the next process have the directory."""
        try:
            self.snapshot.close()
            self.journal.close()
        finally:
            if self._lock is not None:
                self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(path: Path | str) -> Database:
    """Open a data directory, made if it is not there, or `:memory:`; raises `DatabaseProblem`.

    The process holds the directory until the database is closed.
    """
    if str(path) == MEMORY:
        journal = OpenFile(_open(MEMORY, MANAGEMENT, "FULL", []), Path(MEMORY))
        snapshot = OpenFile(_open(MEMORY, INSTANCES, "NORMAL", []), Path(MEMORY))
        return Database(Journal(journal), Snapshot(snapshot), directory=None, lock=None)
    directory = Path(path)
    lock = DirectoryLock(directory)
    opened: list[OpenFile] = []
    try:
        _refuse_if_incomplete(directory)
        remarks = keep_private(directory, [MANAGEMENT_NAME, INSTANCES_NAME, LOCK_NAME])
        for name, schema, synchronous in _FILES:
            file = directory / name
            opened.append(OpenFile(_open_or_create(file, schema, synchronous, remarks), file))
        return Database(Journal(opened[0]), Snapshot(opened[1]), directory=directory, lock=lock, remarks=remarks)
    except BaseException:
        for file_opened in opened:
            file_opened.close()
        lock.close()
        raise


_FILES: Final[tuple[tuple[str, Schema, Synchronous], ...]] = (
    (MANAGEMENT_NAME, MANAGEMENT, "FULL"),
    (INSTANCES_NAME, INSTANCES, "NORMAL"),
)
"""In the order in which they come to be."""


def _refuse_if_incomplete(directory: Path) -> None:
    """A file that is missing beside traces of it was lost, not never there."""
    management, instances = directory / MANAGEMENT_NAME, directory / INSTANCES_NAME
    for file in (management, instances):
        log = file.with_name(f"{file.name}-wal")
        if log.exists() and not file.exists():
            raise DatabaseProblem(
                file,
                f"the file is missing, but {log.name}, which belongs to it, is there",
                f"Put the file back, or restore a backup; or remove {log.name} to begin with nothing",
            )
    if instances.exists() and not management.exists():
        raise DatabaseProblem(
            management,
            f"the file is missing, but {instances.name}, which is made after it, is there",
            f"Put the file back, or restore a backup; or remove {instances.name} to begin with nothing",
        )


def _open_or_create(file: Path, schema: Schema, synchronous: Synchronous, remarks: list[str]) -> apsw.Connection:
    if not file.exists():
        with explained(file):
            new = file.with_name(file.name + NEW_SUFFIX)
            for leftover in file.parent.glob(new.name + "*"):
                leftover.unlink()
            create_private(new)
            _open(new, schema, "FULL", remarks).close()
            new.rename(file)
            sync_directory(file.parent)
    elif file.is_file() and file.stat().st_size == 0:
        raise DatabaseProblem(
            file, "the file is empty: what was in it is lost", "Restore a backup, or remove it to begin with nothing"
        )
    return _open(file, schema, synchronous, remarks)


def _open(file: Path | str, schema: Schema, synchronous: Synchronous, remarks: list[str]) -> apsw.Connection:
    with explained(file):
        connection = connect(file, synchronous=synchronous)
        try:
            verify(connection, schema, file)
            if not check(connection, file):
                remarks.append(UNCHECKED.format(file=file, seconds=CHECK_S))
            migrate(connection, schema)
        except BaseException:
            connection.close()
            raise
        return connection
