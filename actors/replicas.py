"""The tables of the store as the cluster sees them, each with what must follow when a peer brings news."""

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from artemis.store.acceptance import instance_problem
from artemis.store.changes import ServiceChange
from artemis.store.contacts import Absence, Contacts
from artemis.store.leases import Entry
from artemis.store.management.audit import audit_problem
from artemis.store.management.effects import announce
from artemis.store.management.management import Applied, BadRecord, Management
from artemis.store.management.records import Audit, Record
from artemis.store.registry import Registry
from artemis.store.replica import BARE

from .ports import AuditRow, BadRow, State

Store = Callable[[Sequence[Record], Sequence[Audit]], Awaitable[None]]
"""Keeps records and audits of peers beyond a restart."""


class MergeEffects(Protocol):
    """What follows when something came from a peer; see Effects."""

    def merged(self, entries: Sequence[Entry], changes: Sequence[ServiceChange]) -> None: ...
    def reviewed(self, changes: Sequence[ServiceChange]) -> None: ...


class _Acquainted:
    """What both tables keep of their peers."""

    def __init__(self, contacts: Contacts, *, tombstone_ttl_ms: int) -> None:
        self.contacts = contacts
        self._tombstone_ttl_ms = tombstone_ttl_ms

    def met(self, peer: str, *, now_s: float, now_ms: int) -> None:
        self.contacts.met(peer, now_s=now_s, now_ms=now_ms)

    def completed(self, peer: str, *, began_s: float, began_ms: int, memory_ms: int) -> None:
        self.met(peer, now_s=began_s, now_ms=began_ms)
        self.contacts.inherit(memory_ms, now_s=began_s)

    def remembers_ms(self, *, now_s: float) -> int:
        return self.contacts.remembers_ms(now_s=now_s)

    def absence(self, peer: str, *, memory_ms: int, now_s: float, now_ms: int) -> Absence | None:
        return self.contacts.absence(
            peer, ttl_ms=self._tombstone_ttl_ms, memory_ms=memory_ms, now_s=now_s, now_ms=now_ms
        )


class InstanceReplica(_Acquainted):
    """The registry: its states, and the renewals of its leases."""

    name = "instances"

    def __init__(self, registry: Registry, effects: MergeEffects, contacts: Contacts) -> None:
        super().__init__(contacts, tombstone_ttl_ms=int(registry.settings.tombstone_ttl_s * 1000))
        self._registry = registry
        self._effects = effects
        self._absences = registry.absences

    @property
    def count(self) -> int:
        return self._registry.live_count

    def digests(self) -> list[int]:
        return self._registry.digests()

    def all_versions(self, buckets: Iterable[int]) -> Iterable[tuple[int, str, int]]:
        return self._registry.all_versions(buckets)

    def version_of(self, key: str) -> int:
        service_key, _, instance_key = key.partition("\n")
        entry = self._registry.find(service_key, instance_key)
        return 0 if entry is None else entry.version

    def states(self, keys: Iterable[str], *, now_s: float, bare: bool = False) -> Sequence[State]:
        return self._registry.states(keys, now_s=now_s, bare=bare)

    def offered(
        self, keys: Sequence[str], *, held: Container[str], linked_s: float, now_s: float, now_ms: int
    ) -> Sequence[str]:
        doubted = self._registry.doubted(keys)
        if not doubted:
            return keys
        lacking = [key for key in doubted if key not in held]
        outcome = self._registry.give_up(lacking, heard_s=linked_s, now_s=now_s, now_ms=now_ms)
        self._effects.merged(outcome.entries, outcome.changes)
        return [key for key in keys if key not in doubted]

    def problem(self, state: State) -> str | None:
        key, version, json, _, _ = state
        if version <= self.version_of(key) or json == BARE:  # its value is not looked at
            return None
        return instance_problem(key, version, json, region_key=self._registry.region_key)

    async def absorb(self, states: Sequence[State], *, via: int, now_s: float, now_ms: int) -> int:
        outcome = self._registry.merge(states, via=via, now_s=now_s, now_ms=now_ms)
        self._effects.merged(outcome.entries, outcome.changes)
        if outcome.problem:
            raise BadRow(outcome.problem)
        return len(outcome.entries)

    def met(self, peer: str, *, now_s: float, now_ms: int) -> None:
        self.contacts.met(peer, now_s=now_s, now_ms=now_ms, lease_s=self._registry.lease_time(now_s))

    def absence(self, peer: str, *, memory_ms: int, now_s: float, now_ms: int) -> Absence | None:
        self._notice_pause(now_s=now_s)
        return super().absence(peer, memory_ms=memory_ms, now_s=now_s, now_ms=now_ms)

    def completed(self, peer: str, *, began_s: float, began_ms: int, memory_ms: int) -> None:
        # What is unheard since a restart may have been withheld from the peer: then it does not know all yet.
        if not self._registry.unheard_count:
            self.met(peer, now_s=began_s, now_ms=began_ms)
        self.contacts.inherit(memory_ms, now_s=began_s)

    def remembers_ms(self, *, now_s: float) -> int:
        self._notice_pause(now_s=now_s)
        return super().remembers_ms(now_s=now_s)

    def _notice_pause(self, *, now_s: float) -> None:
        """A process that was paused for long has to know before it tells or asks anything."""
        self._registry.lease_time(now_s)
        if self._absences != self._registry.absences:
            self._absences = self._registry.absences
            self.contacts.lost_memory(now_s=now_s)

    def uncertain(self, absence: Absence | None) -> Iterator[str | None]:
        return self._registry.uncertain(absence)

    def withholds(self, key: str, absence: Absence) -> bool:
        return self._registry.withholds(key, absence)

    async def abandon(self, keys: Sequence[str], absence: Absence, *, now_ms: int) -> int:
        outcome = self._registry.abandon(keys, absence, now_ms=now_ms)
        self._effects.merged(outcome.entries, outcome.changes)
        return len(outcome.entries)

    def renewals(self, entries: Iterable[Entry], *, now_s: float) -> list[tuple[str, int, int]]:
        lease_s = self._registry.lease_time(now_s)
        return [
            (entry.full_key, entry.version, max(0, int((lease_s - entry.deadline_s + entry.ttl_s) * 1000)))
            for entry in entries
            if entry.live
        ]

    def renew(self, renewals: Iterable[tuple[str, int, int]], *, via: int, now_s: float) -> list[str]:
        return self._registry.renew_from_peer(renewals, via=via, now_s=now_s)[1]

    def peer_lost(self, origin: int, *, now_s: float) -> None:
        self._registry.peer_lost(origin, now_s=now_s)

    def peer_found(self, origin: int, *, now_s: float) -> None:
        self._registry.peer_found(origin, now_s=now_s)

    def peer_left(self, origin: int) -> None:
        self._registry.peer_left(origin)

    def joining(self, *, joins: bool, now_s: float) -> None:
        self._registry.join(joining=joins, now_s=now_s)


class RecordReplica(_Acquainted):
    """What operators decided. News takes effect at once, and then is stored."""

    name = "records"

    def __init__(
        self,
        management: Management,
        registry: Registry,
        effects: MergeEffects,
        store: Store,
        contacts: Contacts,
    ) -> None:
        super().__init__(contacts, tombstone_ttl_ms=management.tombstone_ttl_ms)
        self._management = management
        self._registry = registry
        self._effects = effects
        self._store = store

    @property
    def count(self) -> int:
        return len(self._management.tables)

    def digests(self) -> list[int]:
        return self._management.digests()

    def all_versions(self, buckets: Iterable[int]) -> Iterable[tuple[int, str, int]]:
        return self._management.all_versions(buckets)

    def version_of(self, key: str) -> int:
        record = self._management.tables.record(key)
        return 0 if record is None else record.version

    def states(self, keys: Iterable[str], *, now_s: float, bare: bool = False) -> Sequence[State]:
        rows = self._management.states(keys)
        return [(key, version, BARE if bare and value is not None else value, 0, 0) for key, version, value in rows]

    def offered(
        self, keys: Sequence[str], *, held: Container[str], linked_s: float, now_s: float, now_ms: int
    ) -> Sequence[str]:
        return keys

    def problem(self, state: State) -> str | None:
        key, version, value, _, _ = state
        if version <= self.version_of(key) or value == BARE:
            return None
        return self._management.problem(key, version, value)

    async def absorb(self, states: Sequence[State], *, via: int, now_s: float, now_ms: int) -> int:
        rows = [(key, version, value) for key, version, value, _, _ in states if value != BARE]
        try:
            applied = self._management.merge(rows, now_ms=now_ms)
        except BadRecord as error:
            raise BadRow(str(error)) from None
        return await self._follow(applied, now_ms=now_ms)

    def uncertain(self, absence: Absence | None) -> Iterator[str | None]:
        return self._management.uncertain(absence)

    def withholds(self, key: str, absence: Absence) -> bool:
        return self._management.withholds(key, absence)

    async def abandon(self, keys: Sequence[str], absence: Absence, *, now_ms: int) -> int:
        return await self._follow(self._management.abandon(keys, absence), now_ms=now_ms)

    async def _follow(self, applied: Applied, *, now_ms: int) -> int:
        self._effects.reviewed(announce(applied.effect, self._registry, now_ms=now_ms))
        if applied.records:
            await self._store(applied.records, ())
        return len(applied.records)


class ManagementAudits:
    """The audit log."""

    def __init__(self, management: Management, store: Store) -> None:
        self._log = management.audit
        self._store = store

    def vector(self) -> Mapping[int, int]:
        return self._log.vector()

    def after(self, vector: Mapping[int, int], limit: int) -> Sequence[AuditRow]:
        audits = self._log.after(vector, limit)
        return [(audit.origin, audit.sequence, audit.time_ms, audit.payload) for audit in audits]

    def problem(self, row: AuditRow) -> str | None:
        return audit_problem(Audit(*row))

    async def absorb(self, rows: Sequence[AuditRow]) -> int:
        try:
            fresh = self._log.merge([Audit(*row) for row in rows], complete=True)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRow(f"not an audit: {error}") from None
        if fresh:
            await self._store((), fresh)
        return len(fresh)
