"""The registry: what clients of this node do to instances, and what time does to leases.

Everything here is synchronous: a call sees the table as it is, changes it, and returns what happened; nothing is
locked, logged, sent or stored. Expiry is local: an instance that expires leaves no tombstone, and no peer is told.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .changes import InstanceChange, ServiceChange
from .instances import Instance, encode_instance, settled
from .leases import Entry, ServiceTable
from .preservation import RenewalWatch
from .replica import ReplicatedInstances
from .suspects import Suspects
from .table import Outcome, RegistrySettings, Visibility
from .versions import HybridClock

RECHECK_S: Final = 2.0
"""A lease that is kept although it ran out is looked at again after this time, if not before."""


@dataclass(slots=True)
class SweepOutcome:
    """What a sweep did."""

    entries: list[Entry] = field(default_factory=list)
    """Entries that are no longer held: expired instances and forgotten tombstones."""
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
        self.suspects = Suspects(ceiling_s=settings.preservation.ceiling_s)
        self.watch = RenewalWatch(settings.preservation, now_s=self.lease_time(now_s))
        """The renewals of the whole node."""

    # What clients do

    def register(self, instances: Sequence[Instance], *, now_s: float, now_ms: int) -> Outcome:
        """Give each instance a fresh lease. What is new or differs from before gets a version and is announced;
        an unchanged live instance is only renewed. Ids must not be blank. Of twins in one call the last one counts.
        """
        lease_s = self.lease_time(now_s)
        outcome = Outcome()
        shown: dict[ServiceTable, list[InstanceChange]] = {}
        for instance in instances:
            instance = settled(instance, self.settings.zone_id)
            assert instance.service_id
            assert instance.instance_id
            json = encode_instance(instance)
            entry = self._entry(instance.service_id, instance.instance_id.lower(), now_ms=now_ms)
            if entry.live and entry.json == json:
                outcome.renewed.append(entry)
            else:
                version = self.clock.next(now_ms, above=entry.version)
                kind = self._put(entry, instance, json, version, now_ms=now_ms)
                outcome.entries.append(entry)
                if kind is not None:
                    shown.setdefault(entry.service, []).append(InstanceChange(kind, json, entry.key, now_ms))
            self._renewed(entry, deadline_s=lease_s + entry.ttl_s, via=0)
            self._count_renewal(entry, lease_s=lease_s)
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
        entry.via = 0
        if entry.overdue:
            entry.overdue = False
            self.overdue_count -= 1
        watch = service.watch
        if watch is not None:
            if lease_s >= watch.window_end_s:
                watch.roll(service.live_count, now_s=lease_s)
            watch.count()
        self.watch.count()
        return entry

    def _count_renewal(self, entry: Entry, *, lease_s: float) -> None:
        service = entry.service
        if service.watch is None:
            self._watch(service, lease_s=lease_s)
        else:
            if lease_s >= service.watch.window_end_s:
                service.watch.roll(service.live_count, now_s=lease_s)
            service.watch.count()
        self.watch.count()

    def unregister(self, keys: Iterable[tuple[str, str]], *, now_s: float, now_ms: int) -> Outcome:
        """Remove instances by (service key, instance key), and remember the removal. Unknown ones are no error.

        They leave a tombstone too: another node may know the instance, and an acknowledged removal holds there as well.
        Only a node that is full remembers nothing of what it never knew.
        """
        lease_s = self.lease_time(now_s)
        outcome = Outcome()
        gone: dict[ServiceTable, list[InstanceChange]] = {}
        for service_key, instance_key in keys:
            if not self.has_room(service_key, instance_key):
                continue
            entry = self._entry(service_key, instance_key, now_ms=now_ms)
            shown = self._bury(entry, self.clock.next(now_ms, above=entry.version), lease_s=lease_s)
            outcome.entries.append(entry)
            if shown is not None:
                gone.setdefault(entry.service, []).append(InstanceChange("delete", shown, entry.key, now_ms))
        outcome.changes = self._announce_all(gone, now_ms=now_ms)
        return outcome

    # What time does

    def sweep(self, *, now_s: float, now_ms: int, visits: int = 500) -> SweepOutcome:
        """Expire what is due, looking at no more than `visits` entries."""
        lease_s = self.lease_time(now_s)
        outcome = SweepOutcome()
        gone: dict[ServiceTable, list[InstanceChange]] = {}
        node_protected = self.watch.judge(self.live_count, now_s=lease_s)
        for entry in self._wheel.due(now_s=lease_s, visits=visits):
            if not entry.live:
                self._drop(entry)
                outcome.entries.append(entry)
            elif (kept_until_s := self._kept_until(entry, node_protected=node_protected, lease_s=lease_s)) is not None:
                self._keep(entry, until_s=kept_until_s)
                outcome.protected += 1
            else:
                service = entry.service
                shown = self._drop(entry)
                outcome.entries.append(entry)
                outcome.expired += 1
                if shown is not None:
                    gone.setdefault(service, []).append(InstanceChange("delete", shown, entry.key, now_ms))
        outcome.changes = self._announce_all(gone, now_ms=now_ms)
        outcome.more = self._wheel.is_behind()
        return outcome

    def _kept_until(self, entry: Entry, *, node_protected: bool, lease_s: float) -> float | None:
        """When to look again at an entry that is kept although its lease ran out; None when it is not kept."""
        watch = entry.service.watch
        # The service is judged in any case: its ceiling must not begin when that of the node ends.
        service_protected = watch is not None and watch.judge(entry.service.live_count, now_s=lease_s)
        if node_protected or service_protected:
            return lease_s + RECHECK_S
        until_s = self.suspects.kept_until(entry, lease_s=lease_s)
        return None if until_s is None else min(until_s, lease_s + RECHECK_S)

    def _keep(self, entry: Entry, *, until_s: float) -> None:
        if not entry.overdue:
            entry.overdue = True
            self.overdue_count += 1
        self._wheel.schedule(entry, not_before_s=until_s)

    def _paused(self) -> None:
        self.watch.distort()
        for service in self.services.values():
            if service.watch is not None:
                service.watch.distort()

    @property
    def renewals(self) -> int:
        """Renewals since the start, heard here or told by peers."""
        return self.watch.total

    def is_protected(self) -> bool:
        """Whether expiry is stopped for the whole node."""
        return self.watch.protected_since_s is not None

    def protected_services(self) -> list[str]:
        """Keys of the services for which expiry is stopped."""
        return [
            service.key
            for service in self.services.values()
            if service.watch is not None and service.watch.protected_since_s is not None
        ]

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
