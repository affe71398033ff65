"""The tables of records: by key, by id and by term, with digests that are kept up to date."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, TypeVar, cast

from ..digests import BUCKETS, Digests, bucket_of
from .kinds import KINDS, Kind, Value
from .ranges import RANGE, id_in, of_id, range_key, range_of
from .records import Record, split_full_key

V = TypeVar("V", bound=Value)


class Table(Generic[V]):
    """All records of one kind, tombstones included, and the values of those that live."""

    __slots__ = ("index", "keys_by_id", "kind", "records", "values")

    def __init__(self, kind: Kind[V]) -> None:
        self.kind = kind
        self.records: dict[str, Record] = {}
        self.values: dict[str, V] = {}
        self.keys_by_id: dict[int, str] = {}
        self.index: dict[str, dict[str, None]] = {}
        """Term to keys; a term without keys is not in here."""

    def put(self, record: Record, value: V | None) -> V | None:
        """Replace the record of a key. Returns the value it had."""
        key = record.key
        old = self._unlist(key)
        self.records[key] = record
        if value is not None:
            self.values[key] = value
            self.keys_by_id[self.kind.id_of(key)] = key
            for term in self.kind.terms(value):
                self.index.setdefault(term, {})[key] = None
        return old

    def drop(self, key: str) -> None:
        """Forget a tombstone."""
        assert key not in self.values, key
        del self.records[key]

    def find(self, term: str) -> list[V]:
        """The values listed under a term, oldest first."""
        keys = self.index.get(term)
        if not keys:
            return []
        values = [self.values[key] for key in keys]
        return sorted(values, key=_by_age) if len(values) > 1 else values

    def all(self) -> list[V]:
        """All values, oldest first."""
        return sorted(self.values.values(), key=_by_age)

    def _unlist(self, key: str) -> V | None:
        old = self.values.pop(key, None)
        if old is None:
            return None
        del self.keys_by_id[self.kind.id_of(key)]
        for term in self.kind.terms(old):
            keys = self.index[term]
            del keys[key]
            if not keys:
                del self.index[term]
        return old


def _by_age(value: Value) -> int:
    return value.created


class Tables:
    """One table per kind. Records of kinds that this version does not know, found on the disk of a newer one, are kept
    and passed on as they are."""

    def __init__(self) -> None:
        self._tables: Final[dict[str, Table[Any]]] = {kind.name: Table(kind) for kind in KINDS}
        self._foreign: dict[str, Record] = {}
        """By full key: records of kinds that only newer nodes understand."""
        self._digests = Digests()
        self._buckets: list[dict[str, int]] = [{} for _ in range(BUCKETS)]
        """Full key to version, per bucket."""

    def __getitem__(self, kind: Kind[V]) -> Table[V]:
        return cast("Table[V]", self._tables[kind.name])

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def named(self, kind: str) -> Table[Any] | None:
        """The table of a kind by name; None for a kind that this version does not know."""
        return self._tables.get(kind)

    def record(self, full_key: str) -> Record | None:
        """The record of a full key, a tombstone perhaps."""
        kind, key = split_full_key(full_key)
        table = self._tables.get(kind)
        return self._foreign.get(full_key) if table is None else table.records.get(key)

    def records(self) -> Iterator[Record]:
        """Every record, tombstones included."""
        for table in self._tables.values():
            yield from table.records.values()
        yield from self._foreign.values()

    def put(self, record: Record, value: Value | None) -> Value | None:
        """Store a record and its decoded value. Returns the value it replaces."""
        full_key = record.full_key
        bucket = self._buckets[bucket_of(full_key)]
        self._digests.replace(full_key, bucket.get(full_key, 0), record.version)
        bucket[full_key] = record.version
        table = self._tables.get(record.kind)
        if table is None:
            self._foreign[full_key] = record
            return None
        old: Value | None = table.put(record, value)
        return old

    def removed_at(self, record: Record, value: Value) -> int:
        """The version of the newest range tombstone over a value; 0 when there is none."""
        kind = self._tables[record.kind].kind
        terms = (*kind.terms(value), of_id(kind.id_of(record.key)))
        found = [self._foreign.get(f"{RANGE}\n{range_key(kind, term)}") for term in terms]
        return max((each.version for each in found if each is not None), default=0)

    def remains(self, tombstone: Record) -> list[Record]:
        """The tombstones to be left by a range tombstone, one for each older value that is listed under its term."""
        kind, term = range_of(tombstone)
        table = self._tables.get(kind)
        if table is None:
            return []
        id_ = id_in(term)
        own = None if id_ is None else table.keys_by_id.get(id_)
        keys = list(table.index.get(term, ())) if own is None else [own]
        older = [key for key in keys if table.records[key].version < tombstone.version]
        return [Record(kind, key, tombstone.version, None) for key in older]

    def forget_tombstones(self, before_version: int) -> list[Record]:
        """Drop tombstones older than a version. Returns them."""
        old = [record for record in self.records() if record.value is None and record.version < before_version]
        for record in old:
            full_key = record.full_key
            del self._buckets[bucket_of(full_key)][full_key]
            self._digests.replace(full_key, record.version, 0)
            table = self._tables.get(record.kind)
            if table is None:
                del self._foreign[full_key]
            else:
                table.drop(record.key)
        return old

    # Towards other nodes

    def digests(self) -> list[int]:
        """One number per bucket; equal numbers mean equal keys and versions."""
        return self._digests.values()

    def versions(self, bucket: int) -> list[tuple[str, int]]:
        """Full key and version of everything in a bucket, tombstones included."""
        return list(self._buckets[bucket].items())

    def all_versions(self, buckets: Iterable[int]) -> Iterator[tuple[int, str, int]]:
        """Bucket, full key and version of everything in these buckets; a caller may interrupt the pass."""
        for bucket in sorted(set(buckets)):
            for full_key, version in list(self._buckets[bucket].items()):
                yield bucket, full_key, version

    def states(self, keys: Iterable[str]) -> list[tuple[str, int, bytes | None]]:
        """Full key, version and value of these keys; unknown keys are left out."""
        found = [(key, self.record(key)) for key in keys]
        return [(key, record.version, record.value) for key, record in found if record is not None]
