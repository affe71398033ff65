"""The registry: what clients of this node do to instances, and what time does to leases.

Everything here is synchronous: a call sees the table as it is, changes it, and returns what happened; nothing is
locked, logged, sent or stored. Expiry is local: an instance that expires leaves no tombstone, and no peer is told.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from .changes import InstanceChange, ServiceChange
from .instances import Instance, encode_instance, settled
from .leases import LATE, UNHEARD, Entry, ServiceTable
from .replica import ReplicatedInstances
from .table import Outcome, RegistrySettings, Visibility
from .versions import HybridClock


@dataclass(slots=True)
class SweepOutcome:
    """What a sweep did."""

    entries: list[Entry] = field(default_factory=list)
    """Entries to be stored: expired instances and forgotten tombstones, which are no longer held, and those that were
    heard for the first time since a restart."""
    changes: list[ServiceChange] = field(default_factory=list)
    expired: int = 0
    protected: int = 0
    """Leases found overdue and kept."""
    more: bool = False
    """There was more to look at than `visits` allowed: sweep again soon."""


class Registry(ReplicatedInstances):
    """One node's picture of all instances of its region."""

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
        super().__init__(settings, clock=clock, origin=origin, now_s=now_s, now_ms=now_ms, visibility=visibility)
        self._due: deque[Entry] = deque()
        """Entries that ran out and wait to be judged."""

    # What clients do

    def register(self, instances: Sequence[Instance], *, now_s: float, now_ms: float) -> Outcome:
        """Give each instance a fresh lease and a version; what is new or differs from before is announced. Ids must not
        be blank. Of twins in one call the last one counts.

        What changes nothing here gets a version too: another node may have been told something else a moment ago, and
        of two acknowledged registrations the later one holds.
        """
        lease_s, stamp_ms, now_ms = self.lease_time(now_s), now_ms, int(now_ms)
        outcome = Outcome()
        shown: dict[ServiceTable, list[InstanceChange]] = {}
        for instance in instances:
            instance = settled(instance, self.settings.zone_id)
            assert instance.service_id
            assert instance.instance_id
            json = encode_instance(instance)
            entry = self._entry(instance.service_id, instance.instance_id.lower(), now_ms=now_ms)
            version = self.clock.next(stamp_ms, above=entry.version)
            kind = self._put(entry, instance, json, version, now_ms=now_ms)
            outcome.entries.append(entry)
            if kind is not None:
                shown.setdefault(entry.service, []).append(InstanceChange(kind, json, entry.key, now_ms))
            self._renewed(entry, deadline_s=lease_s + entry.ttl_s, via=0)
            self.renewals.total += 1
        outcome.changes = self._announce_all(shown, now_ms=now_ms)
        return outcome

    def renew(self, service_key: str, instance_key: str, *, lease_s: float) -> Entry | None:
        """Renew one lease; keys in lower case, `lease_s` from `lease_time`. None when there is no such lease.

        This is the hot path: everything that need not be done per heartbeat is done by the sweep.
        """
        service = self.services.get(service_key)
        if service is None:
            return None
        entry = service.entries.get(instance_key)
        if entry is None or not entry.live:
            return None
        entry.deadline_s = lease_s + entry.ttl_s
        if entry.via:
            if entry.via == UNHEARD:
                self._heard_again(entry)
            entry.via = 0
        if entry.silent:
            self.judge.speaks(entry)
        self.renewals.total += 1
        return entry

    def unregister(self, keys: Iterable[tuple[str, str]], *, now_s: float, now_ms: float) -> Outcome:
        """Remove instances by (service key, instance key), and remember the removal. Unknown ones are no error.

        They leave a tombstone too: another node may know the instance, and an acknowledged removal holds there as well.
        Only a node that is full remembers nothing of what it never knew.
        """
        lease_s, stamp_ms, now_ms = self.lease_time(now_s), now_ms, int(now_ms)
        outcome = Outcome()
        gone: dict[ServiceTable, list[InstanceChange]] = {}
        for service_key, instance_key in keys:
            if not self.has_room(service_key, instance_key):
                continue
            entry = self._entry(service_key, instance_key, now_ms=now_ms)
            shown = self._bury(entry, self.clock.next(stamp_ms, above=entry.version), lease_s=lease_s)
            outcome.entries.append(entry)
            if shown is not None:
                gone.setdefault(entry.service, []).append(InstanceChange("delete", shown, entry.key, now_ms))
        outcome.changes = self._announce_all(gone, now_ms=now_ms)
        return outcome

    # What time does

    def sweep(self, *, now_s: float, now_ms: int, visits: int = 500) -> SweepOutcome:
        """Expire what is due, looking at no more than `visits` entries.

        Nobody is judged before everybody who is due was looked at: many at once are judged otherwise than few.
        """
        lease_s = self.lease_time(now_s)
        outcome = SweepOutcome(entries=self.heard_again)
        self.heard_again = []
        gone: dict[ServiceTable, list[InstanceChange]] = {}
        looked = self._look(outcome, lease_s=lease_s, visits=visits)
        if not self._wheel.is_behind():
            self._judge_due(outcome, gone, lease_s=lease_s, now_ms=now_ms, visits=visits - looked)
        self.judge.look(self.live_count, now_s=lease_s)
        self.renewals.look(now_s=lease_s)
        outcome.changes = self._announce_all(gone, now_ms=now_ms)
        outcome.more = bool(self._due) or self._wheel.is_behind()
        return outcome

    def _look(self, outcome: SweepOutcome, *, lease_s: float, visits: int) -> int:
        """Find who is late and who is due. Returns how many entries had to be looked at closely."""
        found = self._wheel.due(now_s=lease_s, visits=visits)
        for entry in found:
            if not entry.live:
                self._drop(entry)
                outcome.entries.append(entry)
                continue
            self.judge.falls_silent(entry, now_s=lease_s)
            if entry.overdue:
                self._due.append(entry)
            else:
                self._wheel.schedule(entry)
        return len(found)

    def _judge_due(
        self,
        outcome: SweepOutcome,
        gone: dict[ServiceTable, list[InstanceChange]],
        *,
        lease_s: float,
        now_ms: int,
        visits: int,
    ) -> None:
        """End the leases that nothing speaks for; the others are judged again later."""
        while self._due and visits > 0:
            visits -= 1
            entry = self._due.popleft()
            if not entry.overdue:
                continue  # heard of, or removed, since it was looked at
            kept_until_s = self.judge.kept_until(entry, self.live_count, now_s=lease_s)
            if kept_until_s is not None:
                self._wheel.schedule(entry, not_before_s=kept_until_s)
                outcome.protected += 1
                continue
            self._end(entry, gone, now_ms=now_ms)
            outcome.entries.append(entry)
            outcome.expired += 1

    def doubted(self, keys: Iterable[str]) -> set[str]:
        """Those of these full keys that are kept by self-preservation only: nobody is to take them for living ones."""
        doubted: set[str] = set()
        for full_key in keys:
            entry = self.find(*full_key.split("\n", 1))
            if entry is not None and entry.overdue and entry.silent == LATE:
                doubted.add(full_key)
        return doubted

    def give_up(self, keys: Iterable[str], *, heard_s: float, now_s: float, now_ms: int) -> Outcome:
        """A peer has given up these doubted instances, and has heard what we heard for the last `heard_s` seconds.

        Of those that were last renewed in this time it knew, and judged them dead, too: nodes that can talk agree. Of
        the others it may never have known.
        """
        lease_s = self.lease_time(now_s)
        outcome = Outcome()
        gone: dict[ServiceTable, list[InstanceChange]] = {}
        for full_key in self.doubted(keys):
            entry = self.find(*full_key.split("\n", 1))
            if entry is None or lease_s - entry.deadline_s + entry.ttl_s >= heard_s:
                continue
            self._end(entry, gone, now_ms=now_ms)
            outcome.entries.append(entry)
        outcome.changes = self._announce_all(gone, now_ms=now_ms)
        return outcome

    def _end(self, entry: Entry, gone: dict[ServiceTable, list[InstanceChange]], *, now_ms: int) -> None:
        """Forget an instance that is dead, and note who is to be told."""
        service = entry.service
        shown = self._drop(entry)
        if shown is not None:
            gone.setdefault(service, []).append(InstanceChange("delete", shown, entry.key, now_ms))

    def is_protected(self) -> bool:
        """Whether expiry is stopped for the whole node."""
        return self.judge.is_protected

    def protected_services(self) -> list[str]:
        """Keys of the services for which expiry is stopped."""
        return list(self.judge.protected)

    def peer_lost(self, origin: int, *, now_s: float) -> None:
        """The link to this peer is down: what it renewed is suspect, and does not expire."""
        self.suspects.lost(origin, lease_s=self.lease_time(now_s))

    def peer_found(self, origin: int, *, now_s: float) -> None:
        """The link is back: what the peer renewed has one lease to be heard of again."""
        self.suspects.found(origin, lease_s=self.lease_time(now_s))

    def peer_left(self, origin: int) -> None:
        """The peer stops in good order: its leases are like all others."""
        self.suspects.left(origin)

    # What operators do

    def review(
        self,
        services: Iterable[str] | None,
        *,
        now_ms: int,
        ips: Collection[str] | None = None,
        zones: Collection[str] | None = None,
        rpc_reload: bool = False,
    ) -> list[ServiceChange]:
        """Ask anew which instances are pulled out: in these services, with these ips, in these zones (None: any).

        What leaves or returns is announced, one step per service, as `delete` or `new`.
        """
        found = list(self.services.values()) if services is None else self._known(services)
        changes: dict[ServiceTable, list[InstanceChange]] = {}
        for service in found:
            for entry in service.entries.values():
                if not entry.live or (ips is not None and entry.ip not in ips):
                    continue
                if zones is not None and entry.zone_key not in zones:
                    continue
                down = self._is_down(entry)
                if down != entry.down:
                    entry.down = down
                    kind = InstanceChange("delete" if down else "new", entry.json, entry.key, now_ms)
                    changes.setdefault(service, []).append(kind)
        for service in changes:
            service.stale()
        return self._announce_all(changes, now_ms=now_ms, rpc_reload=rpc_reload)

    def reload(self, services: Iterable[str], *, now_ms: int) -> list[ServiceChange]:
        """Announce that these services are to be chosen from in another way; their instances stay the same."""
        return [self._announce(service, (), now_ms=now_ms, rpc_reload=True) for service in self._known(services)]

    def _known(self, services: Iterable[str]) -> list[ServiceTable]:
        return [self.services[key] for key in services if key in self.services]

    def __repr__(self) -> str:
        return f"<Registry [services: {len(self.services)}, live: {self.live_count}, overdue: {self.overdue_count}]>"


__all__ = ["Outcome", "Registry", "RegistrySettings", "SweepOutcome"]
