"""Management: everything operators have decided, in memory, with the answers that discovery and the APIs need."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..acceptance import VALUE_BYTES_MAX, number_problem
from ..contacts import Absence
from ..leases import ServiceTable
from ..versions import MILLISECOND_SHIFT, HybridClock, milliseconds
from .audit import AuditEntry, AuditLimits, AuditLog
from .decorations import NOTHING, Decoration, Decorations
from .draft import Draft
from .effects import Effect
from .impact import Impact
from .kinds import KINDS, Kind, Value
from .ranges import RANGE
from .records import Audit, Record, split_full_key
from .rules import NO_RULES, ServiceRules, rules_of
from .tables import Tables
from .visibility import Cause, Place, Visibility

TOMBSTONE_TTL_MS: Final = 7 * 24 * 3600 * 1000
"""How long a removal is remembered. A node that was away for longer takes its peers' word for what is gone."""

LISTED_SLICE: Final = 1000


@dataclass(slots=True)
class Applied:
    """What applying records did."""

    records: list[Record] = field(default_factory=list)
    """Those that were newer than what was held, and the tombstones that range tombstones left."""
    effect: Effect = field(default_factory=Effect)


class BadRecord(ValueError):
    """A record whose value is not what its kind says."""


class Management:
    """One node's picture of all records and audits. Synchronous; nothing is stored, sent or logged here."""

    name = "records"

    def __init__(
        self,
        *,
        region_id: str,
        clock: HybridClock,
        origin: int,
        node_id: str = "",
        audit_origin: int = 0,
        audit_limits: AuditLimits | None = None,
        tombstone_ttl_ms: int = TOMBSTONE_TTL_MS,
    ) -> None:
        """`clock` and `origin` are those of the registry: one node, one clock.

        `audit_origin` numbers audits; it stands for the data as well as for the node, so that a node whose data were
        lost or restored does not use numbers again. 0: the same as `origin`.
        """
        self.region_id = region_id
        self.region_key = region_id.lower()
        self.clock = clock
        self.origin = origin
        self.node_id = node_id
        self.audit_origin = audit_origin or origin
        self.tombstone_ttl_ms = tombstone_ttl_ms
        self.tables = Tables()
        self.audit = AuditLog(audit_limits or AuditLimits())
        self._visibility = Visibility(self.tables)
        self._decorations = Decorations(self._visibility, self.region_key)
        self.generation = 0
        """Rises whenever something here changes, and so may answers that are made of it."""
        self._rules: dict[str, ServiceRules] = {}
        """Only services about which there is something to say."""

    # What discovery asks

    def is_down(self, service_key: str, instance_key: str, ip: str, zone_key: str, group_key: str) -> bool:
        """Whether operators took this instance of our region out of discovery."""
        return self._visibility.keeps_out(self.region_key, service_key, instance_key, ip.lower(), zone_key, group_key)

    def is_down_at(self, place: Place) -> bool:
        """The same for an instance of any region."""
        return self._visibility.is_down(place)

    def causes(self, place: Place) -> list[Cause]:
        """Everything that keeps an instance at this place out of discovery."""
        return self._visibility.causes(place)

    def rules(self, service_key: str) -> ServiceRules:
        """The effective rules, logical instances and canary of a service; the same object until they change."""
        return self._rules.get(service_key, NO_RULES)

    def decorations(self, service_key: str, service: ServiceTable | None) -> Decoration:
        """Logical instances and route rules of a service as JSON; the same objects until they change."""
        rules = self._rules.get(service_key)
        return NOTHING if rules is None else self._decorations.of(rules, service_key, service)

    def services_with_logical_instances(self) -> set[str]:
        """Keys of the services that have instances nobody registers."""
        return {service_key for service_key, rules in self._rules.items() if rules.logical}

    def undisguised(self, service_key: str, table: ServiceTable | None) -> Decoration:
        """The same as operators see it: with everything that was pulled out."""
        return self._decorations.undisguised(self.rules(service_key), table)

    # Writing: a draft is planned, its records and audits are stored, then it is committed

    def draft(self, *, now_ms: float) -> Draft:
        """A view in which writes can be planned."""
        return Draft(self.tables, clock=self.clock, now_ms=now_ms)

    def seal(self, entries: Sequence[AuditEntry], *, now_ms: int) -> list[Audit]:
        """Number the audits of a draft. They must be stored and added, or this node must end."""
        first = self.audit.next_sequence(self.audit_origin)
        return [
            Audit(
                self.audit_origin,
                first + offset,
                now_ms,
                msgspec.json.encode(msgspec.structs.replace(entry, node_id=self.node_id)),
            )
            for offset, entry in enumerate(entries)
        ]

    def apply(self, records: Iterable[Record]) -> Applied:
        """Take over records that are newer than what is held. Raises BadRecord before anything has changed."""
        decoded = [(record, self._decode(record)) for record in records]
        applied = Applied()
        impact = Impact(self.tables, self._visibility, self.region_key)
        fresh: list[tuple[Record, Value | None]] = []

        def put(record: Record, value: Value | None) -> None:
            held = self.tables.record(record.full_key)
            if held is None or held.version < record.version:
                self.clock.witness(record.version)
                impact.before(record.kind, value)
                old = self.tables.put(record, value)
                impact.changed(record.kind, old, value)
                fresh.append((record, value))

        for record, value in decoded:
            removed_at = 0 if value is None else self.tables.removed_at(record, value)
            if removed_at > record.version:
                put(Record(record.kind, record.key, removed_at, None), None)
            else:
                put(record, value)
            if record.kind == RANGE:
                for tombstone in self.tables.remains(record):
                    put(tombstone, None)
        applied.records = [record for record, _ in fresh]
        self.generation += bool(fresh)
        applied.effect = impact.effect()
        if impact.operations_changed:
            self._decorations.generation += 1
        for service_key in impact.touched:
            if self._refresh(service_key):
                applied.effect.reload.add(service_key)
        return applied

    def _refresh(self, service_key: str) -> bool:
        """Work out the picture of a service again. True if subscribers must be told."""
        before = self._rules.get(service_key, NO_RULES)
        after = rules_of(self.tables, service_key)
        if after is NO_RULES:
            self._rules.pop(service_key, None)
            self._decorations.forget(service_key)
        else:
            self._rules[service_key] = after
        return before.tuples() != after.tuples()

    def problem(self, full_key: str, version: int, json: bytes | None) -> str | None:
        """Why this cannot be a record that another node sends; None when it can."""
        kind, key = split_full_key(full_key)
        if kind == RANGE and json is not None:
            return "a range tombstone has no value"
        if kind != RANGE and self.tables.named(kind) is None:
            return "of a kind that this version does not know"
        if not key or key != key.lower():
            return "the key is not in lower case"
        if version <= 0:
            return "it has no version"
        if json is not None and len(json) > VALUE_BYTES_MAX:
            return f"it has {len(json)} bytes, at most {VALUE_BYTES_MAX} are allowed"
        try:
            value = self._decode(Record(kind, key, version, json))
        except BadRecord as error:
            return str(error)
        return None if value is None else number_problem(value)

    def _decode(self, record: Record) -> Value | None:
        table = self.tables.named(record.kind)
        if table is None or record.value is None:
            return None
        kind: Kind[Any] = table.kind
        try:
            value: Value = kind.decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRecord(f"a {record.kind} record is malformed: {error}") from None
        if kind.key(value) != record.key:
            raise BadRecord(f"a {record.kind} record has the key {record.key!r} of another")
        return value

    # Towards other nodes and the disk

    def digests(self) -> list[int]:
        return self.tables.digests()

    def versions(self, bucket: int) -> list[tuple[str, int]]:
        return self.tables.versions(bucket)

    def all_versions(self, buckets: Iterable[int]) -> Iterator[tuple[int, str, int]]:
        return self.tables.all_versions(buckets)

    def states(self, keys: Iterable[str]) -> list[tuple[str, int, bytes | None]]:
        return self.tables.states(keys)

    def merge(self, states: Iterable[tuple[str, int, bytes | None]], *, now_ms: int) -> Applied:
        """Take over what another node holds and is newer. Tombstones that would be forgotten at once are ignored."""
        oldest = now_ms - self.tombstone_ttl_ms << MILLISECOND_SHIFT
        records = [
            Record(*split_full_key(full_key), version, value)
            for full_key, version, value in states
            if value is not None or version >= oldest or self.tables.record(full_key) is not None
        ]
        return self.apply(records)

    def uncertain(self, absence: Absence | None) -> Iterator[str | None]:
        """Full keys of what a peer decides by its word after a long absence. None where a caller may interrupt."""
        if absence is None or not absence.conclusive:
            return
        for visited, record in enumerate(list(self.tables.records()), start=1):
            if visited % LISTED_SLICE == 0:
                yield None
            if self.withholds(record.full_key, absence):
                yield record.full_key

    def withholds(self, full_key: str, absence: Absence) -> bool:
        """Whether this peer must not be offered the record: it knew it once, and may have removed it since."""
        record, contact = self.tables.record(full_key), absence.contact
        if record is None or record.value is None or contact is None or not absence.conclusive:
            return False
        return milliseconds(record.version) <= contact.wall_ms

    def abandon(self, keys: Iterable[str], absence: Absence) -> Applied:
        """A peer does not know these: what it once knew was removed there, as long ago as its tombstone lived."""
        gone = [self.tables.record(full_key) for full_key in keys if self.withholds(full_key, absence)]
        return self.apply(
            msgspec.structs.replace(record, version=record.version + 1, value=None)
            for record in gone
            if record is not None
        )

    def restore(self, records: Iterable[Record], audits: Iterable[Audit]) -> None:
        """Take over what was stored before a restart, before anything else happens."""
        self.apply(records)
        self.audit.restore(audits)

    def forget(self, *, now_ms: int) -> tuple[list[Record], list[Audit]]:
        """Drop tombstones and audits that are older than we keep them. Returns them, to be removed from the disk."""
        oldest = now_ms - self.tombstone_ttl_ms << MILLISECOND_SHIFT
        return self.tables.forget_tombstones(oldest), self.audit.forget(now_ms=now_ms)

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind.name}: {len(self.tables[kind].values)}" for kind in KINDS)
        return f"<Management [{counts}, audits: {len(self.audit)}]>"
