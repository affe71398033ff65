"""The draft: a view of the tables in which several writes are planned, one after the other, before any is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from ..versions import HybridClock
from .audit import AuditEntry
from .errors import Refused
from .kinds import Kind, Value
from .ranges import RANGE, of_id, range_key
from .records import ID_BITS, Record
from .tables import Tables

V = TypeVar("V", bound=Value)
T = TypeVar("T")

Plan = Callable[["Draft"], T]
"""A write: reads and changes the draft, or raises Refused and leaves no trace."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What a draft will store under a key."""

    record: Record
    value: Value | None


class Draft:
    """Sees the tables with the planned changes on top. Nobody else sees these before they are committed.

    Whatever is put or removed gets a version of its own, also when it changes nothing here: at another node it may, and
    of two decisions that were acknowledged the later one holds.
    """

    def __init__(self, tables: Tables, *, clock: HybridClock, now_ms: float) -> None:
        self._tables = tables
        self._clock = clock
        self.now_ms = now_ms
        self._staged: dict[str, dict[str, Staged]] = {}
        """By kind, then by key."""
        self._staged_ids: dict[tuple[str, int], str] = {}
        """(kind, id) to key, of everything that is or was staged."""
        self._undo: list[tuple[str, str, Staged | None]] = []
        self.audits: list[AuditEntry] = []

    # Reading

    def get(self, kind: Kind[V], key: str) -> V | None:
        """The value of a key in lower case."""
        staged = self._staged.get(kind.name, {}).get(key)
        if staged is not None:
            return cast("V | None", staged.value)
        return self._tables[kind].values.get(key)

    def by_id(self, kind: Kind[V], id_: int) -> V | None:
        """The value of an id."""
        key = self._key(kind, id_)
        return None if key is None else self.get(kind, key)

    def find(self, kind: Kind[V], term: str) -> list[V]:
        """The values listed under a term, oldest first."""
        staged = self._staged.get(kind.name)
        if not staged:
            return self._tables[kind].find(term)
        table = self._tables[kind]
        found = [table.values[key] for key in table.index.get(term, ()) if key not in staged]
        for change in staged.values():
            value = cast("V | None", change.value)
            if value is not None and term in kind.terms(value):
                found.append(value)
        return sorted(found, key=lambda value: value.created)

    def all(self, kind: Kind[V]) -> list[V]:
        """All values, oldest first."""
        staged = self._staged.get(kind.name, {})
        found = [value for key, value in self._tables[kind].values.items() if key not in staged]
        changes = [cast("V | None", change.value) for change in staged.values()]
        found += [value for value in changes if value is not None]
        return sorted(found, key=lambda value: value.created)

    def version(self, kind: Kind[V], key: str) -> int:
        """The version of what is, or was, under a key; 0 when nothing ever was."""
        record = self._record(kind, key)
        return 0 if record is None else record.version

    # Writing

    def put(self, kind: Kind[V], value: V) -> V:
        """Store a value under its key. One with `created` 0 keeps the place of the value it replaces, or gets the last
        one.
        """
        key = kind.key(value)
        version = self._next_version(kind, key)
        if value.created == 0:
            current = self.get(kind, key)
            value = msgspec.structs.replace(value, created=version if current is None else current.created)
        self._staged_ids[kind.name, kind.id_of(key)] = key
        self._stage(kind.name, key, Staged(Record(kind.name, key, version, kind.encode(value)), value))
        return value

    def remove(self, kind: Kind[V], key: str) -> V | None:
        """Leave a tombstone under a key, whatever is there. Returns the value that was."""
        current = self.get(kind, key)
        self._stage(kind.name, key, Staged(Record(kind.name, key, self._next_version(kind, key), None), None))
        return current

    def remove_id(self, kind: Kind[V], id_: int) -> V | None:
        """The same by id, also of what only other nodes know."""
        key = self._key(kind, id_)
        if key is not None:
            return self.remove(kind, key)
        if 0 < id_ < 1 << ID_BITS:
            self.remove_unknown(kind, of_id(id_))
        return None

    def remove_all(self, kind: Kind[V], term: str) -> list[V]:
        """Remove everything that is listed under a term, here or elsewhere. Returns what was here."""
        self.remove_unknown(kind, term)
        found = self.find(kind, term)
        for value in found:
            self.remove(kind, kind.key(value))
        return found

    def remove_unknown(self, kind: Kind[V], term: str) -> None:
        """Remove what other nodes list under a term and has not come here. The caller goes on with what did: each of it
        must be removed, or put again.
        """
        key = range_key(kind, term)
        self._stage(RANGE, key, Staged(Record(RANGE, key, self.next_version(), None), None))

    def next_version(self) -> int:
        """A version for a value that must tell its order among others."""
        return self._clock.next(self.now_ms)

    def _key(self, kind: Kind[Any], id_: int) -> str | None:
        return self._staged_ids.get((kind.name, id_)) or self._tables[kind].keys_by_id.get(id_)

    def _next_version(self, kind: Kind[Any], key: str) -> int:
        record = self._record(kind, key)
        return self._clock.next(self.now_ms, above=0 if record is None else record.version)

    def _record(self, kind: Kind[Any], key: str) -> Record | None:
        staged = self._staged.get(kind.name, {}).get(key)
        return self._tables[kind].records.get(key) if staged is None else staged.record

    def _stage(self, kind: str, key: str, staged: Staged) -> None:
        by_key = self._staged.setdefault(kind, {})
        self._undo.append((kind, key, by_key.get(key)))
        by_key[key] = staged

    # All or nothing

    def attempt(self, plan: Plan[T]) -> T:
        """Let a plan work on the draft; when it refuses, the draft is as before."""
        mark, audited = len(self._undo), len(self.audits)
        try:
            return plan(self)
        except Refused:
            while len(self._undo) > mark:
                kind, key, before = self._undo.pop()
                if before is None:
                    del self._staged[kind][key]
                else:
                    self._staged[kind][key] = before
            del self.audits[audited:]
            raise

    def records(self) -> list[Record]:
        """What is to be stored, one record per key."""
        return [staged.record for by_key in self._staged.values() for staged in by_key.values()]
