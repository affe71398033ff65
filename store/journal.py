"""The journal: records, audits, and the node's identity on disk. What `write` returned from, no crash takes back."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import apsw

from .management.records import Audit, Record
from .sqlite import OpenFile, RowStatement, Value
from .versions import MILLISECOND_SHIFT

VERSION_BYTES: Final = 12
"""Versions are stored big-endian in this many bytes, so that comparing the bytes is comparing the versions."""

CHUNK_ROWS: Final = 2_000
"""Rows that a load holds at a time, in addition to what the caller keeps."""

PRUNE_ROWS: Final = 1_000
"""Rows that one step of retention deletes at most, so that a write never waits long for it."""

_RECORDS: Final = RowStatement(
    "INSERT INTO record (kind, key, version, value) VALUES ",
    "(?, ?, ?, ?)",
    " ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, value = excluded.value"
    " WHERE excluded.version > record.version",
)
_AUDITS: Final = RowStatement(
    "INSERT INTO audit (origin, sequence, time_ms, payload) VALUES ",
    "(?, ?, ?, ?)",
    " ON CONFLICT (origin, sequence) DO NOTHING",
)
_SINCE: Final = "remembers_since"
"""With the identity: a restored copy has another one, and a gap between then and now."""
_CONTACTS: Final = "contacts"
_NOT_LAST: Final = "sequence < (SELECT max(sequence) FROM audit AS newer WHERE newer.origin = audit.origin)"
"""The newest audit of an origin outlives every retention: it carries the sequence on."""


class Journal:
    """The management file. Any thread may call; calls take turns."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.identity, self.incarnation = self._begin()

    def write(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        """Store all of it in one transaction, durable on return; raises `DatabaseProblem` having stored nothing.

        A record older than the stored one changes nothing, and neither does an audit that is stored already, so a
        write may be repeated. A write of nothing at all finds out whether the disk takes anything.
        """
        record_values: list[Value] = []
        for record in records:
            record_values += (record.kind, record.key, version_bytes(record.version), record.value)
        audit_values: list[Value] = []
        for audit in audits:
            audit_values += (audit.origin, audit.sequence, audit.time_ms, audit.payload)
        with self._file.write() as connection:
            _RECORDS.execute(connection, record_values)
            _AUDITS.execute(connection, audit_values)
            if not record_values and not audit_values:
                _set_meta(connection, "probe", "")

    def redate(self, records: Sequence[Record]) -> None:
        """Give stored records these versions, which may be lower than those they have; durable on return."""
        with self._file.write() as connection:
            for record in records:
                connection.execute(
                    "UPDATE record SET version = ? WHERE kind = ? AND key = ?",
                    (version_bytes(record.version), record.kind, record.key),
                )

    def load_records(self) -> Iterator[Record]:
        """Every record, tombstones included, ordered by kind and key."""
        statement = "SELECT kind, key, version, value FROM record WHERE (kind, key) > (?, ?) ORDER BY kind, key LIMIT ?"
        for page in self._file.pages(statement, ("", ""), CHUNK_ROWS):
            for kind, key, version, value in cast(list[tuple[str, str, bytes, bytes | None]], page):
                yield Record(kind=kind, key=key, version=int.from_bytes(version, "big"), value=value)

    def load_audits(self) -> Iterator[Audit]:
        """Every audit, ordered by origin and sequence."""
        statement = (
            "SELECT origin, sequence, time_ms, payload FROM audit"
            " WHERE (origin, sequence) > (?, ?) ORDER BY origin, sequence LIMIT ?"
        )
        for page in self._file.pages(statement, (-1, -1), CHUNK_ROWS):
            for origin, sequence, time_ms, payload in cast(list[tuple[int, int, int, bytes]], page):
                yield Audit(origin=origin, sequence=sequence, time_ms=time_ms, payload=payload)

    def forget_audits(self, *, before_ms: int, keep: int, limit: int = PRUNE_ROWS) -> int:
        """Delete audits older than `before_ms`, and the oldest beyond the newest `keep`; at most `limit` of them.

        Returns how many were deleted; fewer than `limit` means that none is left to delete. The newest of each origin
        always stays, and so do those of the very millisecond in which the `keep` begin.
        """
        with self._file.write() as connection:
            oldest_kept_ms = connection.execute(
                "SELECT time_ms FROM audit ORDER BY time_ms DESC LIMIT 1 OFFSET ?", (max(1, keep) - 1,)
            ).get
            connection.execute(
                "DELETE FROM audit WHERE rowid IN (SELECT rowid FROM audit"
                f" WHERE time_ms < ? AND {_NOT_LAST} ORDER BY time_ms LIMIT ?)",
                (max(before_ms, cast(int, oldest_kept_ms or 0)), limit),
            )
            return connection.changes()

    def forget_tombstones(self, *, before_version: int) -> int:
        """Delete tombstones of records older than a version; returns how many."""
        with self._file.write() as connection:
            connection.execute(
                "DELETE FROM record WHERE value IS NULL AND version < ?", (version_bytes(before_version),)
            )
            return connection.changes()

    def meta(self, name: str) -> str | None:
        """A fact about this node that outlives the process."""
        with self._file.use() as connection:
            return cast(str | None, connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).get)

    def set_meta(self, name: str, value: str) -> None:
        """Keep a fact, durable on return."""
        with self._file.use() as connection:
            _set_meta(connection, name, value)

    def remembers_since(self, *, now_ms: int) -> int:
        """The wall time since when these data have no gap, as noted; from now on, if they are new or a restored copy.

        Data of a release that did not note it are taken to be complete.
        """
        identity, _, noted_ms = (self.meta(_SINCE) or "").partition(" ")
        if identity == self.identity:
            return int(noted_ms)
        since_ms = 0 if not identity and self.incarnation > 1 else now_ms
        self.set_meta(_SINCE, f"{self.identity} {since_ms}")
        return since_ms

    def contacts(self) -> dict[str, int]:
        """Wall time of the last contact with each peer, by node id, as noted."""
        return cast(dict[str, int], json.loads(self.meta(_CONTACTS) or "{}"))

    def note(self, *, since_ms: int, contacts: Mapping[str, int]) -> None:
        """Keep what `remembers_since` and `contacts` return, durable on return."""
        with self._file.write() as connection:
            _set_meta(connection, _SINCE, f"{self.identity} {since_ms}")
            _set_meta(connection, _CONTACTS, json.dumps(dict(contacts)))

    def tidy(self) -> None:
        """See that the file is there, and that its write-ahead log does not stay large."""
        self._file.tidy()

    def close(self) -> None:
        """Nothing more is written; SQLite folds its write-ahead log into the file."""
        self._file.close()

    def _begin(self) -> tuple[str, int]:
        """The identity of this data, and which run on it this is."""
        with self._file.write() as connection:
            facts = dict(cast(Iterator[tuple[str, str]], connection.execute("SELECT * FROM meta")))
            identity = facts.get("identity") or secrets.token_hex(8)
            incarnation = int(facts.get("incarnation", "0")) + 1
            _set_meta(connection, "identity", identity)
            _set_meta(connection, "incarnation", str(incarnation))
        return identity, incarnation


def version_bytes(version: int) -> bytes:
    """A version as it is stored."""
    return version.to_bytes(VERSION_BYTES, "big")


def version_at(time_ms: int) -> int:
    """The smallest version that can have been made at a time: what retention compares with."""
    return time_ms << MILLISECOND_SHIFT


def renew_identity(connection: apsw.Connection) -> None:
    """Give restored data a new identity: it must not number audits as the data did that it is a copy of, and does not
    remember what happened to those since."""
    _set_meta(connection, "identity", secrets.token_hex(8))
    _set_meta(connection, _SINCE, "of-the-copied-data 0")


def _set_meta(connection: apsw.Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
