"""The table of instances: services, entries, digests, and the one way in which each of them changes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from sys import intern
from typing import Protocol

from .changes import ChangeLog, ChangeType, InstanceChange, ServiceChange
from .contacts import EARLY
from .digests import Digests
from .grants import Grants
from .instances import Instance
from .judging import LeaseJudge
from .leases import UNHEARD, Entry, ServiceTable, Wheel
from .preservation import PreservationSettings
from .renewals import RenewalCounts
from .suspects import Suspects
from .versions import HybridClock

CHANGE_LOG_BOUND = 10_000
"""Instance changes kept for deltas. A client that missed more gets everything."""

DEFAULT_GROUP = "default"

REVISIONS_BOUND = 100_000
"""Services that are not there now, and whose revision is remembered. Subscribers of forgotten ones see a jump."""


MOMENT_S = 0.001
"""Of a long pause so much is not granted: what was heard after it has to be later than what was heard before."""


class Visibility(Protocol):
    """Who says whether an instance was pulled out."""

    def is_down(self, service_key: str, instance_key: str, ip: str, zone_key: str, group_key: str) -> bool:
        """Whether any operation takes this instance out of discovery. All arguments are in lower case."""
        ...


class NothingDown:
    """No operator, no pull-outs."""

    def is_down(self, service_key: str, instance_key: str, ip: str, zone_key: str, group_key: str) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What the registry was told to do, times in seconds."""

    region_id: str
    zone_id: str = ""
    """Of instances that do not say theirs."""
    lease_ttl_s: float = 20.0
    legacy_ttl_s: float = 90.0
    lease_ttl_min_s: float = 5.0
    lease_ttl_max_s: float = 604_800.0
    tombstone_ttl_s: float = 600.0
    entries_max: int = 2_000_000
    """Instances and tombstones that clients may make this node hold. What peers bring is taken beyond it."""
    pause_s: float = 0.5
    """A gap between two looks at the clock longer than this means that the process did not run."""
    granted_hourly_s: float = 300.0
    """Leases are extended by pauses of the process up to this time in any hour."""
    preservation: PreservationSettings = field(default_factory=PreservationSettings)


@dataclass(slots=True)
class Outcome:
    """What a call did."""

    entries: list[Entry] = field(default_factory=list)
    """Entries whose version changed: to be stored, and sent to peers if the change is ours."""
    changes: list[ServiceChange] = field(default_factory=list)
    """What subscribers are to be told, in order."""
    problem: str = ""
    """Why the rest of what a peer sent was not taken over; empty when all of it was looked at."""


class InstanceTable:
    """All entries, by service and instance. Subclasses decide; this class keeps counts, digests and log in step."""

    name = "instances"

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        clock: HybridClock,
        origin: int,
        now_s: float,
        now_ms: int,
        visibility: Visibility | None = None,
    ) -> None:
        """`clock` makes the versions (one per node, shared with management); `origin` names this node in them."""
        self.settings = settings
        self.region_key = settings.region_id.lower()
        self.origin = origin
        self.clock = clock
        self.services: dict[str, ServiceTable] = {}
        """By lower-cased service id."""
        self.live_count = 0
        self.legacy_count = 0
        self.entry_count = 0
        """Instances and tombstones."""
        self.unheard_count = 0
        self.heard_again: list[Entry] = []
        """Of those known from before a restart: who was heard since the last sweep. The disk must not forget it."""
        self.version = now_ms
        """Rises with each change of what discovery shows; about epoch milliseconds."""
        self.log = ChangeLog(CHANGE_LOG_BOUND, self.version)
        self._digests = Digests()
        self._revisions: dict[str, int] = {}
        """Where the revisions of services go on that subscribers know of, but that have no entry now."""
        self._wheel = Wheel(now_s=now_s)
        self._visibility: Visibility = visibility or NothingDown()
        self.suspects = Suspects(ceiling_s=settings.preservation.ceiling_s)
        self.judge = LeaseJudge(settings.preservation, self.suspects)
        self.renewals = RenewalCounts(now_s=now_s)
        """Heard here, or told by peers."""
        self.grants = Grants(settings.granted_hourly_s)
        self._since_s = self._seen_s = now_s
        self.absences = 0
        """How often this process did not run for so long that peers may have forgotten what they removed meanwhile."""

    def find(self, service_key: str, instance_key: str) -> Entry | None:
        """The entry of an identity, live or tombstone."""
        service = self.services.get(service_key)
        return None if service is None else service.entries.get(instance_key)

    def lease_time(self, now_s: float) -> float:
        """The clock of leases: monotonic time less the time in which this process did not run, up to a bound.

        A process that was paused heard no heartbeat; what it missed is granted to every lease at once.
        """
        gap_s = now_s - self._seen_s
        self._seen_s = now_s
        if gap_s > self.settings.pause_s:
            absent = gap_s > EARLY * self.settings.tombstone_ttl_s and self.suspects.has_met_peers
            self.grants.ask(gap_s - MOMENT_S * absent, now_s=now_s)
            if absent:
                self._was_absent(lease_s=now_s - self.grants.granted_s)
        return now_s - self.grants.granted_s

    def _was_absent(self, *, lease_s: float) -> None:
        """This process did not run for longer than tombstones live, and is like one that was restarted: peers may have
        removed whatever it knows, and forgotten it. Each lease is one of grace, until the instance is heard of."""
        for service in self.services.values():
            for entry in service.entries.values():
                if entry.live and entry.via != UNHEARD:
                    grace_s = self._grace_of(entry.ttl_s, legacy=entry.legacy)
                    self._renewed(entry, deadline_s=lease_s + grace_s, via=UNHEARD)
        self._since_s = lease_s
        self.absences += 1

    @property
    def overdue_count(self) -> int:
        """Leases that ran out and are kept."""
        return self.judge.overdue_count

    def ttl_of(self, instance: Instance, *, legacy: bool) -> float:
        """The lease time of an instance in seconds: its own wish within bounds, else the node's."""
        settings = self.settings
        wish_s = instance.lease_ttl_s() if instance.metadata else None
        if wish_s is None:
            return settings.legacy_ttl_s if legacy else settings.lease_ttl_s
        return min(max(wish_s, settings.lease_ttl_min_s), settings.lease_ttl_max_s)

    def _entry(self, service_id: str, instance_key: str, *, now_ms: int) -> Entry:
        """The entry of an identity; a new one, still without a version, when there is none."""
        service_key = service_id.lower()
        service = self.services.get(service_key)
        if service is None:
            revision = self._revisions.pop(service_key, 0) or self._first_revision(now_ms)
            service_key = intern(service_key)
            service = self.services[service_key] = ServiceTable(service_key, service_id, revision=revision)
        entry = service.entries.get(instance_key)
        if entry is None:
            entry = service.entries[instance_key] = Entry(service, instance_key)
            self.entry_count += 1
        return entry

    def has_room(self, service_key: str, instance_key: str) -> bool:
        """Whether a client may make this node hold this identity: it does already, or is not full."""
        return self.entry_count < self.settings.entries_max or self.find(service_key, instance_key) is not None

    def _first_revision(self, now_ms: int) -> int:
        """Revisions of one service on two nodes, or before and after a restart, must not be taken for each other."""
        return now_ms << 11 | self.origin & 0x7FF

    def revision_of(self, service_key: str, *, now_ms: int) -> int:
        """The revision a subscriber begins with; the next change has the one above, also of a service to come."""
        service = self.services.get(service_key)
        if service is not None:
            return service.revision
        if service_key not in self._revisions:
            self._remember_revision(service_key, self._first_revision(now_ms))
        return self._revisions[service_key]

    def _remember_revision(self, service_key: str, revision: int) -> None:
        self._revisions[service_key] = revision
        if len(self._revisions) > REVISIONS_BOUND:
            del self._revisions[next(iter(self._revisions))]

    def _put(self, entry: Entry, instance: Instance, json: bytes, version: int, *, now_ms: int) -> ChangeType | None:
        """Make the entry live with this data. Returns how discovery sees it: None when it shows nothing new."""
        self._digests.replace(entry.full_key, entry.version, version)
        if entry.live and entry.json == json:
            entry.version = version
            return None
        was_visible = entry.live and not entry.down
        if not entry.live:
            entry.live = True
            entry.registered_ms = now_ms
            entry.service.live_count += 1
            self.live_count += 1
            legacy = instance.is_legacy()
            self.legacy_count += legacy
        else:
            legacy = instance.is_legacy()
            self.legacy_count += legacy - entry.legacy
        entry.legacy = legacy
        entry.ttl_s = self.ttl_of(instance, legacy=legacy)
        entry.json = json
        entry.version = version
        entry.ip = (instance.ip or "").lower()
        entry.zone_key = intern((instance.zone_id or "").lower())
        entry.group_key = intern((instance.group_id or "").strip().lower() or DEFAULT_GROUP)
        service = entry.service
        if instance.service_id is not None and service.service_id != instance.service_id:
            service.service_id = instance.service_id
        entry.down = self._is_down(entry)
        service.stale()
        if entry.down:
            return "delete" if was_visible else None
        return "change" if was_visible else "new"

    def _is_down(self, entry: Entry) -> bool:
        service_key = entry.service.key
        return self._visibility.is_down(service_key, entry.key, entry.ip, entry.zone_key, entry.group_key)

    def _take_out(self, entry: Entry) -> bytes | None:
        """End the life of an entry. Returns the instance when discovery showed it until now."""
        shown = None if entry.down else entry.json
        entry.live = False
        if entry.via == UNHEARD:
            self.unheard_count -= 1
        entry.via = 0
        entry.down = False
        entry.json = b""
        if entry.silent:
            self.judge.speaks(entry)
        entry.service.live_count -= 1
        self.live_count -= 1
        self.legacy_count -= entry.legacy
        entry.service.stale()
        return shown

    def _bury(self, entry: Entry, version: int, *, lease_s: float) -> bytes | None:
        """Turn an entry into a tombstone. Returns the instance when discovery showed it until now."""
        shown = None
        if entry.live:
            self.judge.said_farewell(entry.service, now_s=lease_s)
            shown = self._take_out(entry)
        self._digests.replace(entry.full_key, entry.version, version)
        entry.version = version
        entry.deadline_s = lease_s + self.settings.tombstone_ttl_s
        self._wheel.schedule(entry)
        return shown

    def _drop(self, entry: Entry) -> bytes | None:
        """Forget an entry altogether. Returns the instance when discovery showed it until now."""
        shown = self._take_out(entry) if entry.live else None
        self._digests.replace(entry.full_key, entry.version, 0)
        entry.gone = True
        service = entry.service
        del service.entries[entry.key]
        self.entry_count -= 1
        if not service.entries:
            del self.services[service.key]
            self._remember_revision(service.key, service.revision)
        return shown

    def _renewed(self, entry: Entry, *, deadline_s: float, via: int) -> None:
        """The instance was heard of: its lease now runs until `deadline_s`."""
        if entry.silent:
            self.judge.speaks(entry)
        if entry.via == UNHEARD:
            self._heard_again(entry)
        if via == UNHEARD:
            self.unheard_count += 1
        entry.deadline_s = deadline_s
        entry.via = via
        self._wheel.schedule(entry)

    def _heard_again(self, entry: Entry) -> None:
        self.unheard_count -= 1
        self.heard_again.append(entry)

    def grace_of(self, instance: Instance) -> float:
        """The lease of grace of an instance that is known from before a restart: its own, at most the default one."""
        legacy = instance.is_legacy()
        return self._grace_of(self.ttl_of(instance, legacy=legacy), legacy=legacy)

    def _grace_of(self, ttl_s: float, *, legacy: bool) -> float:
        return min(ttl_s, self.settings.legacy_ttl_s if legacy else self.settings.lease_ttl_s)

    def _announce(
        self, service: ServiceTable, changes: Iterable[InstanceChange], *, now_ms: int, rpc_reload: bool = False
    ) -> ServiceChange:
        """Give the service its next revision, and the registry its next version."""
        service.revision += 1
        if service.key in self._revisions:  # this change took its last entry away
            self._revisions[service.key] = service.revision
        self.version = max(self.version + 1, now_ms)
        change = ServiceChange(
            service_key=service.key,
            service_id=service.service_id,
            revision=service.revision,
            changes=tuple(changes),
            rpc_reload=rpc_reload,
            time_ms=now_ms,
            version=self.version,
        )
        self.log.add(change)
        return change

    def _announce_all(
        self, by_service: dict[ServiceTable, list[InstanceChange]], *, now_ms: int, rpc_reload: bool = False
    ) -> list[ServiceChange]:
        return [
            self._announce(service, changes, now_ms=now_ms, rpc_reload=rpc_reload)
            for service, changes in by_service.items()
            if changes
        ]
