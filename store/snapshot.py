"""The snapshot: what the registry held, on disk behind the scenes, so that a restart is warm.

It lags behind the registry by moments, and a power failure may cost the last of it; a kill of the process costs
nothing that was written. Nobody waits for it, and it never makes anybody wait: it has a file of its own
(docs/decisions/sqlite-layout.md).
"""

from collections.abc import Iterator, Sequence
from typing import Final, cast

from .sqlite import OpenFile, RowStatement, Value

CHUNK_ROWS: Final = 2_000
"""Rows that a load holds at a time, in addition to what the caller keeps."""

CHECKPOINT_PAGES: Final = 4_000
"""Pages in the write-ahead log before SQLite folds them into the file: rows of one slice may touch a page each."""

_UPSERT: Final = RowStatement(
    "INSERT INTO instance (full_key, version, json, changed_ms) VALUES ",
    "(?, ?, ?, ?)",
    " ON CONFLICT (full_key) DO UPDATE SET"
    " version = excluded.version, json = excluded.json, changed_ms = excluded.changed_ms",
)
_DELETE: Final = RowStatement("DELETE FROM instance WHERE full_key IN (VALUES ", "(?)", ")")

StoredInstance = tuple[str, int, bytes | None]
"""Full key, version, canonical JSON (None for a tombstone)."""


class Snapshot:
    """The instances file. Any thread may call; calls take turns."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        with self._file.use() as connection:
            connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)

    def write(self, gone: Sequence[str], values: Sequence[Value]) -> None:
        """Delete the rows of these full keys, then store rows; raises `DatabaseProblem` when that fails.

        `values` holds full key, version (`version_bytes`), JSON or None, and time in epoch milliseconds of each row,
        one after the other. Up to `ROWS_MAX` rows are one transaction; more are several.
        """
        with self._file.use() as connection:
            _DELETE.execute(connection, gone)
            _UPSERT.execute(connection, values)

    def load_instances(self) -> Iterator[StoredInstance]:
        """Every instance and tombstone, in the order in which they were first stored."""
        statement = "SELECT rowid, full_key, version, json FROM instance WHERE rowid > ? ORDER BY rowid LIMIT ?"
        for page in self._file.pages(statement, (0,), CHUNK_ROWS):
            for _, full_key, version, json in cast(list[tuple[int, str, bytes, bytes | None]], page):
                yield full_key, int.from_bytes(version, "big"), json

    def forget_tombstones(self, *, before_ms: int) -> int:
        """Delete tombstones stored before a time, those of a registry that was not running to forget them itself.

        Returns how many.
        """
        with self._file.use() as connection:
            connection.execute("DELETE FROM instance WHERE json IS NULL AND changed_ms < ?", (before_ms,))
            return connection.changes()

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()
