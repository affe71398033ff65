"""The snapshot: what the registry held, on disk behind the scenes, so that a restart is warm.

It lags behind the registry by moments, and a power failure may cost the last of it; a kill of the process costs
nothing that was written. Nobody waits for it, and it never makes anybody wait: it has a file of its own
(docs/decisions/sqlite-layout.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from .sqlite import OpenFile, RowStatement, Value

CHUNK_ROWS: Final = 2_000
"""Rows that a load holds at a time, in addition to what the caller keeps."""

CHECKPOINT_PAGES: Final = 4_000
"""Pages in the write-ahead log before SQLite folds them into the file: rows of one slice may touch a page each."""

NOTE_MS: Final = 1_000
"""How often a run notes how long it has lasted. It is counted in advance, so that no run is too short to count."""

RUNS_MAX: Final = 1_000
"""Runs that are remembered. What was last heard in an earlier one has had its lease of grace."""

SPENT_MS: Final = 1 << 40
"""More than any lease of grace."""

_DELETE: Final = RowStatement("DELETE FROM instance WHERE full_key IN (VALUES ", "(?)", ")")

StoredInstance = tuple[str, int, bytes | None, int, int]
"""Full key, version, canonical JSON (None for a tombstone), wall time at which it was stored, and for how many
milliseconds the node has run since the run in which it was stored."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of the runs before this one."""

    alive_ms: int | None
    """Wall time at which the node was last known to run; None when it never was."""
    contacts: Mapping[str, int]
    """Wall time of the last contact with each peer, by node id."""


def _upsert(run: int) -> RowStatement:
    return RowStatement(
        "INSERT INTO instance (full_key, version, json, changed_ms, run) VALUES ",
        f"(?, ?, ?, ?, {run})",
        " ON CONFLICT (full_key) DO UPDATE SET version = excluded.version, json = excluded.json,"
        " changed_ms = excluded.changed_ms, run = excluded.run",
    )


class Snapshot:
    """The instances file. Any thread may call; calls take turns."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._run = 0
        self._upsert = _upsert(self._run)
        with self._file.use() as connection:
            connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)

    def begin_run(self) -> Past:
        """The node starts. What is stored from now on was heard in this run; returns what is known of earlier ones."""
        with self._file.write() as connection:
            last, alive_ms = connection.execute("SELECT max(number), max(alive_ms) FROM run").fetchone() or (None, None)
            self._run = cast(int, last or 0) + 1
            connection.execute("INSERT INTO run (number, ran_ms) VALUES (?, ?)", (self._run, NOTE_MS))
            connection.execute("DELETE FROM run WHERE number <= ?", (self._run - RUNS_MAX,))
            contacts = dict(cast(Iterator[tuple[str, int]], connection.execute("SELECT peer, met_ms FROM contact")))
        self._upsert = _upsert(self._run)
        return Past(cast(int | None, alive_ms), contacts)

    def note(self, *, ran_ms: int, alive_ms: int, contacts: Mapping[str, int]) -> None:
        """The node has run for so long, is alive at this wall time, and had these contacts."""
        with self._file.write() as connection:
            connection.execute(
                "UPDATE run SET ran_ms = ?, alive_ms = ? WHERE number = ?", (ran_ms + NOTE_MS, alive_ms, self._run)
            )
            connection.execute("DELETE FROM contact")
            for peer, met_ms in contacts.items():
                connection.execute("INSERT INTO contact (peer, met_ms) VALUES (?, ?)", (peer, met_ms))

    def write(self, gone: Sequence[str], values: Sequence[Value]) -> None:
        """Delete the rows of these full keys, then store rows; raises `DatabaseProblem` when that fails.

        `values` holds full key, version (`version_bytes`), JSON or None, and time in epoch milliseconds of each row,
        one after the other. Up to `ROWS_MAX` rows are one transaction; more are several.
        """
        with self._file.use() as connection:
            _DELETE.execute(connection, gone)
            self._upsert.execute(connection, values)

    def load_instances(self) -> Iterator[StoredInstance]:
        """Every instance and tombstone, in the order in which they were first stored."""
        spent_ms = self._spent_ms()
        statement = (
            "SELECT rowid, full_key, version, json, changed_ms, run FROM instance"
            " WHERE rowid > ? ORDER BY rowid LIMIT ?"
        )
        for page in self._file.pages(statement, (0,), CHUNK_ROWS):
            for row in cast(list[tuple[int, str, bytes, bytes | None, int, int]], page):
                _, full_key, version, json, changed_ms, run = row
                yield full_key, int.from_bytes(version, "big"), json, changed_ms, spent_ms.get(run, SPENT_MS)

    def _spent_ms(self) -> dict[int, int]:
        """By run: for how long the node has run after it, until this run began."""
        spent, total_ms = {self._run: 0}, 0
        with self._file.use() as connection:
            runs = connection.execute("SELECT number, ran_ms FROM run WHERE number < ?", (self._run,)).fetchall()
        for number, ran_ms in sorted(cast(list[tuple[int, int]], runs), reverse=True):
            spent[number] = total_ms
            total_ms += ran_ms
        spent.setdefault(0, total_ms)  # stored by a release that did not count
        return spent

    def forget_tombstones(self, *, before_ms: int) -> int:
        """Delete tombstones stored before a time, those of a registry that was not running to forget them itself.

        Returns how many.
        """
        with self._file.use() as connection:
            connection.execute("DELETE FROM instance WHERE json IS NULL AND changed_ms < ?", (before_ms,))
            return connection.changes()

    def tidy(self) -> None:
        """See that the file is there, and that its write-ahead log does not stay large."""
        self._file.tidy()

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()
