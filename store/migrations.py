"""The schemas of our SQLite files, as lists of steps that are only ever added to, and how a file catches up.

A file's `user_version` counts the steps it has seen, its `application_id` says that it is ours and which of the two it
is. Each step and its bookkeeping are one transaction: a crash between steps leaves a file of an earlier version,
which the next start carries on with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from .sqlite import DatabaseProblem, transaction


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of file."""

    title: str
    application_id: int
    migrations: tuple[str, ...]
    """Append only: released steps are never edited. A test holds their digests."""


MANAGEMENT: Final = Schema(
    title="management",
    application_id=0x41525401,
    migrations=(
        """
        CREATE TABLE meta (
            name TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE record (
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            version BLOB NOT NULL CHECK (length(version) = 12),
            value BLOB,
            PRIMARY KEY (kind, key)
        ) STRICT;
        CREATE TABLE audit (
            origin INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            time_ms INTEGER NOT NULL,
            payload BLOB NOT NULL,
            PRIMARY KEY (origin, sequence)
        ) STRICT;
        """,
        "CREATE INDEX audit_by_time ON audit (time_ms);",
    ),
)
"""What operators decided, who decided it, and the identity of the node."""

INSTANCES: Final = Schema(
    title="instances",
    application_id=0x41525402,
    migrations=(
        """
        CREATE TABLE instance (
            full_key TEXT NOT NULL PRIMARY KEY,
            version BLOB NOT NULL CHECK (length(version) = 12),
            json BLOB,
            changed_ms INTEGER NOT NULL
        ) STRICT;
        """,
        """
        ALTER TABLE instance ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE run (
            number INTEGER PRIMARY KEY,
            ran_ms INTEGER NOT NULL,
            alive_ms INTEGER
        ) STRICT;
        CREATE TABLE contact (
            peer TEXT PRIMARY KEY,
            met_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
"""What the registry held: an instance's canonical JSON, or NULL for a tombstone, and the run of the node in which it
was heard; how long each run lasted; when every peer was last known to hold the same."""


def version_of(connection: apsw.Connection) -> int:
    """How many steps this file has seen."""
    version = connection.pragma("user_version")
    assert isinstance(version, int)
    return version


def verify(connection: apsw.Connection, schema: Schema, file: str | Path) -> None:
    """See that a file is of this schema, and of a version this program knows. A new file is everybody's."""
    application_id = connection.pragma("application_id")
    version = version_of(connection)
    if application_id == 0 and version == 0 and not _has_tables(connection):
        return
    if application_id != schema.application_id:
        raise DatabaseProblem(
            file,
            f"it is an SQLite database, but not the {schema.title} file of this program",
            "Check the path of the data directory; the file was not touched",
        )
    if version > len(schema.migrations):
        raise DatabaseProblem(
            file,
            f"it was written by a newer release (schema {version}, this one knows {len(schema.migrations)})",
            "Run that release or a later one, or restore a backup made by this one; the file was not touched",
        )


def migrate(connection: apsw.Connection, schema: Schema) -> int:
    """Take every step the file has not seen. Returns how many those were."""
    done = version_of(connection)
    for number, step in enumerate(schema.migrations[done:], start=done + 1):
        with transaction(connection):
            connection.execute(step)
            connection.pragma("application_id", schema.application_id)
            connection.pragma("user_version", number)
    return len(schema.migrations) - done


def _has_tables(connection: apsw.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
