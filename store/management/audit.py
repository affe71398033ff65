"""The audit log: who changed what, when, from where. Appended, replicated, bounded, and never rewritten."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ..acceptance import VALUE_BYTES_MAX
from .records import Audit

Field = str | int | bool | None

INDEXED: Final = frozenset(
    {"serviceId", "instanceId", "serverId", "groupId", "routeRuleId", "name", "zoneId", "appId", "operation"}
)
"""Fields by which entries are found without looking at all of their kind."""


NOTHING: Final = msgspec.Raw(b"null")


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What one write did to one thing."""

    kind: str
    """What was written: the kind of record, or `canary-ips` for the RPC operation that writes several kinds at once."""
    target: str
    """The thing in words, e.g. svc.a/lab/i1."""
    operation: str = ""
    operator_id: str = ""
    token: str = ""
    reason: str | None = None
    extensions: str = "{}"
    complete: bool = False
    """The operation ended: it was removed from its target."""
    address: str = ""
    """Where the request came from."""
    node_id: str = ""
    """The node that took the write."""
    fields: dict[str, Field] = {}
    """What the log endpoints of the RPC API show beside this, by their names."""
    before: msgspec.Raw = NOTHING
    """JSON of the thing before the write; null when it did not exist."""
    after: msgspec.Raw = NOTHING


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """How much is kept. What exceeds either is forgotten, oldest first, here and on disk."""

    age_ms: int = 90 * 24 * 3600 * 1000
    count: int = 100_000


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Everything that is given must hold; texts match regardless of case."""

    kinds: frozenset[str] = frozenset()
    """Empty: any."""
    operator_id: str | None = None
    target: str | None = None
    complete: bool | None = None
    fields: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    """`operation` is one of them."""
    since_ms: int | None = None
    until_ms: int | None = None
    before_id: int | None = None
    """Only entries older than the one with this id: the next page."""
    limit: int = 100


Order = tuple[int, int, int]


class AuditRow:
    """An audit in the log."""

    __slots__ = ("audit", "id", "order")

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self.id = audit.audit_id
        self.order: Order = (audit.time_ms, audit.origin, audit.sequence)

    def entry(self) -> AuditEntry:
        return _decoder.decode(self.audit.payload)


class _Seen:
    """Which sequence numbers of one origin are held: all up to `mark` (as far as anybody kept them), and some more."""

    __slots__ = ("beyond", "mark")

    def __init__(self) -> None:
        self.mark = 0
        self.beyond: set[int] = set()

    def holds(self, sequence: int) -> bool:
        return sequence <= self.mark or sequence in self.beyond

    def add(self, sequence: int) -> None:
        self.beyond.add(sequence)
        self.raise_to(self.mark)

    def raise_to(self, mark: int) -> None:
        """Everything up to `mark` that still exists is held."""
        self.mark = max(self.mark, mark)
        while self.mark + 1 in self.beyond:
            self.mark += 1
        if self.beyond:
            self.beyond = {sequence for sequence in self.beyond if sequence > self.mark}


class AuditLog:
    """The newest audits of all nodes, in one order, with lists by kind, operator, target and fields."""

    def __init__(self, limits: AuditLimits) -> None:
        self.limits = limits
        self._rows: list[AuditRow] = []
        self._lists: dict[str, list[AuditRow]] = {}
        self._by_id: dict[int, AuditRow] = {}
        self._seen: dict[int, _Seen] = {}
        self._by_origin: dict[int, dict[int, Audit]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    # Writing

    def next_sequence(self, origin: int) -> int:
        """The number of the next audit of an origin, one above all that were seen."""
        seen = self._seen.get(origin)
        return 1 if seen is None else max(seen.beyond, default=seen.mark) + 1

    def add(self, audits: Iterable[Audit]) -> list[Audit]:
        """Append what is not in the log yet. Returns that.

        Raises `msgspec.MsgspecError` or UnicodeDecodeError for a payload that is none, and has then appended nothing.
        """
        fresh: list[Audit] = []
        for audit, entry in [(audit, _decoder.decode(audit.payload)) for audit in audits if not self._holds(audit)]:
            seen = self._seen.setdefault(audit.origin, _Seen())
            if seen.holds(audit.sequence):
                continue
            seen.add(audit.sequence)
            row = AuditRow(audit)
            self._insert(row, entry)
            fresh.append(audit)
        return fresh

    def _holds(self, audit: Audit) -> bool:
        seen = self._seen.get(audit.origin)
        return seen is not None and seen.holds(audit.sequence)

    def restore(self, audits: Iterable[Audit]) -> None:
        """Take over what was stored, before anything else is added: older numbers were forgotten, not missed."""
        for audit in sorted(audits, key=lambda audit: (audit.origin, audit.sequence)):
            if audit.origin not in self._seen:
                self._seen[audit.origin] = seen = _Seen()
                seen.raise_to(audit.sequence - 1)
            self.add([audit])

    def forget(self, *, now_ms: int) -> list[Audit]:
        """Drop what exceeds the limits. Returns it."""
        count = max(0, len(self._rows) - self.limits.count)
        oldest: Order = (now_ms - self.limits.age_ms, 0, 0)
        count = max(count, bisect_left(self._rows, oldest, key=_order))
        gone = self._rows[:count]
        del self._rows[:count]
        heads: dict[str, int] = {}
        for row in gone:
            del self._by_id[row.id]
            del self._by_origin[row.audit.origin][row.audit.sequence]
            for name in _lists_of(row.entry()):
                heads[name] = heads.get(name, 0) + 1
        for name, length in heads.items():
            del self._lists[name][:length]  # the oldest of all are the oldest of each list
            if not self._lists[name]:
                del self._lists[name]
        return [row.audit for row in gone]

    def _insert(self, row: AuditRow, entry: AuditEntry) -> None:
        self._by_id[row.id] = row
        self._by_origin.setdefault(row.audit.origin, {})[row.audit.sequence] = row.audit
        _append(self._rows, row)
        for name in _lists_of(entry):
            _append(self._lists.setdefault(name, []), row)

    # Reading

    def rows(self) -> Iterator[AuditRow]:
        """Everything, oldest first."""
        return iter(self._rows)

    def find(self, audit_id: int) -> AuditRow | None:
        return self._by_id.get(audit_id)

    def query(self, query: AuditQuery) -> list[tuple[AuditRow, AuditEntry]]:
        """The newest entries that match, newest first, at most `limit`."""
        rows = self._shortest(query)
        end = len(rows)
        if query.until_ms is not None:
            end = bisect_left(rows, (query.until_ms + 1, 0, 0), key=_order)
        if query.before_id is not None:
            row = self._by_id.get(query.before_id)
            end = 0 if row is None else min(end, bisect_left(rows, row.order, key=_order))
        found: list[tuple[AuditRow, AuditEntry]] = []
        for position in range(end - 1, -1, -1):
            row = rows[position]
            if len(found) >= query.limit or (query.since_ms is not None and row.order[0] < query.since_ms):
                break
            entry = row.entry()
            if _matches(query, entry):
                found.append((row, entry))
        return found

    def _shortest(self, query: AuditQuery) -> list[AuditRow]:
        """The shortest list that holds everything the query can match."""
        names = [f"kind={next(iter(query.kinds))}"] if len(query.kinds) == 1 else []
        if query.operator_id is not None:
            names.append(f"operator={query.operator_id.lower()}")
        if query.target is not None:
            names.append(f"target={query.target.lower()}")
        names += [f"{name}={str(value).lower()}" for name, value in query.fields.items() if name in INDEXED]
        return min((self._lists.get(name, []) for name in names), key=len, default=self._rows)

    # Towards other nodes

    def vector(self) -> dict[int, int]:
        """Per origin, the number up to which nothing is missing here."""
        return {origin: seen.mark for origin, seen in self._seen.items()}

    def after(self, vector: Mapping[int, int], limit: int) -> list[Audit]:
        """What somebody with this vector lacks, in order per origin, at most `limit`; only what is complete here."""
        found: list[Audit] = []
        for origin, seen in self._seen.items():
            known = vector.get(origin, 0)
            if known >= seen.mark:
                continue
            held = self._by_origin.get(origin, {})
            missing = sorted(sequence for sequence in held if known < sequence <= seen.mark)
            found.extend(held[sequence] for sequence in missing[: limit - len(found)])
            if len(found) >= limit:
                break
        return found

    def merge(self, audits: Iterable[Audit], *, complete: bool = False) -> list[Audit]:
        """Take over audits of other nodes. Returns those that were new.

        `complete` says that this is a peer's whole answer to `after(our vector)`: numbers left out of it were
        forgotten everywhere, and are not waited for.
        """
        arrived = sorted(audits, key=lambda audit: (audit.origin, audit.sequence))
        fresh = self.add(arrived)
        if complete:
            for audit in arrived:
                self._seen[audit.origin].raise_to(audit.sequence)
        return fresh


def audit_problem(audit: Audit) -> str | None:
    """Why this cannot be an audit that another node sends; None when it can."""
    if audit.origin <= 0 or audit.sequence <= 0:
        return "it has no origin or no number"
    if len(audit.payload) > VALUE_BYTES_MAX:
        return f"it has {len(audit.payload)} bytes, at most {VALUE_BYTES_MAX} are allowed"
    try:
        _decoder.decode(audit.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return f"not an audit: {error}"
    return None


def _order(row: AuditRow) -> Order:
    return row.order


def _append(rows: list[AuditRow], row: AuditRow) -> None:
    if not rows or rows[-1].order < row.order:
        rows.append(row)
    else:
        insort(rows, row, key=_order)


def _lists_of(entry: AuditEntry) -> list[str]:
    names = [f"kind={entry.kind}", f"operator={entry.operator_id.lower()}", f"target={entry.target.lower()}"]
    names.append(f"operation={entry.operation.lower()}")
    names += [
        f"{name}={str(value).lower()}" for name, value in entry.fields.items() if name in INDEXED and value is not None
    ]
    return names


def _matches(query: AuditQuery, entry: AuditEntry) -> bool:
    if query.kinds and entry.kind not in query.kinds:
        return False
    if query.complete is not None and entry.complete != query.complete:
        return False
    if query.operator_id is not None and entry.operator_id.lower() != query.operator_id.lower():
        return False
    if query.target is not None and entry.target.lower() != query.target.lower():
        return False
    for name, wanted in query.fields.items():
        value = entry.operation if name == "operation" else entry.fields.get(name)
        if value is None or str(value).lower() != str(wanted).lower():
            return False
    return True


_decoder = msgspec.json.Decoder(AuditEntry)
