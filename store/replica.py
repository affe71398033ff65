"""The face of the instance table towards other nodes: digests, versions, states, and how two tables become one."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from .changes import InstanceChange
from .contacts import STORED_LATE_MS, Absence
from .digests import bucket_of
from .instances import Instance, decode_instance, encode_instance, settled
from .leases import UNHEARD, Entry, ServiceTable
from .table import InstanceTable, Outcome
from .versions import milliseconds

State = tuple[str, int, bytes | None, int, int]
"""Full key, version, JSON (None for a tombstone), age of the last renewal (or of the tombstone) in milliseconds, origin
of who heard it. An origin of 0 means that nobody did: the lease is one of grace, given after a restart."""

BARE: Final = b""
"""Instead of the JSON of an instance, for somebody who has it, and wants to know of the lease only."""

Restored = tuple[str, int, bytes | None, int, int]
"""Full key, version, JSON (None for a tombstone), wall time at which it was stored, and for how many milliseconds this
node has run since it last heard of the instance, with restarts in between."""

AGE_MAX_MS: Final = 7 * 24 * 3600 * 1000
LISTED_SLICE: Final = 1000


class ReplicatedInstances(InstanceTable):
    """Merging is by version: the higher one wins, in whatever order and however often it is told."""

    joining = False
    """This node does not yet know what its peers know: it takes over also what they keep although its lease ran out."""

    def join(self, *, joining: bool, now_s: float) -> None:
        """This node begins or ends to learn what its peers know."""
        if joining:
            self.judge.joined_s = math.inf
        elif self.joining:
            self.judge.joined_s = self.lease_time(now_s)
        self.joining = joining

    def digests(self) -> list[int]:
        """One number per bucket; equal numbers mean equal keys and versions."""
        return self._digests.values()

    def versions(self, bucket: int) -> list[tuple[str, int]]:
        """Full key and version of everything in a bucket, tombstones included."""
        return [
            (entry.full_key, entry.version)
            for service in self.services.values()
            for entry in service.entries.values()
            if bucket_of(entry.full_key) == bucket
        ]

    def all_versions(self, buckets: Iterable[int]) -> Iterable[tuple[int, str, int]]:
        """Bucket, full key and version of everything in these buckets, in one pass that a caller may interrupt.

        What changes during the pass may be missed; the next round of anti-entropy sees it.
        """
        wanted = set(buckets)
        for service in list(self.services.values()):
            for entry in list(service.entries.values()):
                full_key = entry.full_key
                bucket = bucket_of(full_key)
                if bucket in wanted:
                    yield bucket, full_key, entry.version

    def states(self, keys: Iterable[str], *, now_s: float, bare: bool = False) -> list[State]:
        """What is known about these keys now; keys that are not known are left out, and leases that ran out unless
        they are kept on purpose. `bare`: without the instances."""
        lease_s = self.lease_time(now_s)
        states: list[State] = []
        for full_key in keys:
            service_key, _, instance_key = full_key.partition("\n")
            entry = self.find(service_key, instance_key)
            if entry is None:
                continue
            if entry.live:
                if entry.deadline_s <= lease_s and not entry.overdue:
                    continue  # the next sweep decides
                age_ms = max(0, int((lease_s - entry.deadline_s + entry.ttl_s) * 1000))
                heard_by = 0 if entry.via == UNHEARD else entry.via or self.origin
                states.append((full_key, entry.version, BARE if bare else entry.json, age_ms, heard_by))
            else:
                age_ms = max(0, int((lease_s - entry.deadline_s + self.settings.tombstone_ttl_s) * 1000))
                states.append((full_key, entry.version, None, age_ms, self.origin))
        return states

    def merge(self, states: Iterable[State], *, via: int, now_s: float, now_ms: int) -> Outcome:
        """Take over what is newer. A lease never becomes fresh by being copied: its age counts.

        `via` is the origin of the peer that sent the states. Leases that have already run out are ignored, and so are
        tombstones that have lived as long as we keep them. A lease of grace counts only for a node that is so new
        itself that it could not have heard of the instance: whoever has listened for so long knows better. A node that
        joins takes over what the peer keeps although its lease ran out, and keeps it for as long as the peer would.

        Merging stops at a row that makes no sense; what was taken over before it is in the outcome, with the problem.
        """
        lease_s = self.lease_time(now_s)
        outcome = Outcome()
        shown: dict[ServiceTable, list[InstanceChange]] = {}
        for full_key, version, json, age_ms, heard_by in states:
            service_key, _, instance_key = full_key.partition("\n")
            entry = self.find(service_key, instance_key)
            if entry is not None and version <= entry.version:
                if version == entry.version and json is not None and entry.live and heard_by:
                    self._heard(entry, lease_s=lease_s, age_ms=age_ms, via=heard_by)
                continue
            if json == BARE:
                continue  # there is a newer one; comparing versions finds it
            if json is None:
                buried_s = lease_s - min(age_ms, AGE_MAX_MS) / 1000
                change = self._merge_tombstone(
                    full_key, version, entry, buried_s=buried_s, lease_s=lease_s, now_ms=now_ms, outcome=outcome
                )
            else:
                arrival = (version, json, age_ms, heard_by)
                try:
                    change = self._merge_live(full_key, arrival, entry, lease_s=lease_s, now_ms=now_ms, outcome=outcome)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    outcome.problem = f"not an instance: {error}"
                    break
            if change is not None:
                service = outcome.entries[-1].service
                shown.setdefault(service, []).append(change)
        outcome.changes = self._announce_all(shown, now_ms=now_ms)
        return outcome

    def _merge_tombstone(
        self,
        full_key: str,
        version: int,
        entry: Entry | None,
        *,
        buried_s: float,
        lease_s: float,
        now_ms: int,
        outcome: Outcome,
    ) -> InstanceChange | None:
        ttl_s = self.settings.tombstone_ttl_s
        # The age ends it even if its version is dated in the future, by a clock that was wrong once.
        if entry is None and (now_ms - milliseconds(version) > ttl_s * 1000 or buried_s + ttl_s <= lease_s):
            return None
        if entry is None:
            service_key, _, instance_key = full_key.partition("\n")
            entry = self._entry(service_key, instance_key, now_ms=now_ms)
        self.clock.witness(version)
        shown = self._bury(entry, version, lease_s=buried_s)
        outcome.entries.append(entry)
        return None if shown is None else InstanceChange("delete", shown, entry.key, now_ms)

    def _merge_live(
        self,
        full_key: str,
        arrival: tuple[int, bytes, int, int],
        entry: Entry | None,
        *,
        lease_s: float,
        now_ms: int,
        outcome: Outcome,
    ) -> InstanceChange | None:
        version, json, age_ms, heard_by = arrival
        instance, json = self._settled(json)
        ttl_s = self.ttl_of(instance, legacy=instance.is_legacy())
        deadline_s = lease_s - min(age_ms, AGE_MAX_MS) / 1000 + ttl_s
        if not heard_by and not self.joining and lease_s - self._since_s >= self.grace_of(instance):
            return None
        if deadline_s <= lease_s and not self.suspects.is_lost(heard_by):
            if not self.joining:
                return None
            if not heard_by:
                deadline_s = lease_s + self.grace_of(instance)
            elif heard_by != self.origin:
                self.suspects.adopt(heard_by, lease_s=lease_s)
        if entry is None:
            service_key, _, instance_key = full_key.partition("\n")
            entry = self._entry(instance.service_id or service_key, instance_key, now_ms=now_ms)
        if entry.live:
            deadline_s = max(deadline_s, entry.deadline_s)
        self.clock.witness(version)
        kind = self._put(entry, instance, json, version, now_ms=now_ms)
        self._renewed(entry, deadline_s=deadline_s, via=self._via(heard_by))
        outcome.entries.append(entry)
        return None if kind is None else InstanceChange(kind, json, entry.key, now_ms)

    def _settled(self, json: bytes) -> tuple[Instance, bytes]:
        """An instance is settled where it registers; but nodes of older versions, and their disks, hold others."""
        held = decode_instance(json)
        instance = settled(held, self.settings.zone_id)
        return instance, json if instance is held else encode_instance(instance)

    def _via(self, heard_by: int) -> int:
        if not heard_by:
            return UNHEARD
        return 0 if heard_by == self.origin else heard_by

    def _heard(self, entry: Entry, *, lease_s: float, age_ms: int, via: int) -> None:
        """Somebody heard of the instance `age_ms` ago; that may be later than what we know."""
        deadline_s = lease_s - min(age_ms, AGE_MAX_MS) / 1000 + entry.ttl_s
        if deadline_s > entry.deadline_s:
            self._renewed(entry, deadline_s=deadline_s, via=self._via(via))
        elif entry.via == UNHEARD and self._is_kept_by_peers(via, deadline_s=deadline_s, lease_s=lease_s):
            # A lease of grace would end before the peer's patience does.
            self._renewed(entry, deadline_s=deadline_s, via=self._via(via))

    def _is_kept_by_peers(self, via: int, *, deadline_s: float, lease_s: float) -> bool:
        """Whether a lease, last heard by `via`, is kept though it runs out: as a suspect, or by self-preservation."""
        if not self.joining:
            return self.suspects.is_lost(via)
        return (via != self.origin and self.suspects.adopt(via, lease_s=lease_s)) or deadline_s <= lease_s

    def renew_from_peer(
        self, renewals: Iterable[tuple[str, int, int]], *, via: int, now_s: float
    ) -> tuple[list[Entry], list[str]]:
        """Renewals (full key, version, age in ms) that a peer heard. Returns the renewed entries, and the keys whose
        state we must ask for, because we do not have it or have an older one."""
        lease_s = self.lease_time(now_s)
        renewed: list[Entry] = []
        wanted: list[str] = []
        for full_key, version, age_ms in renewals:
            service_key, _, instance_key = full_key.partition("\n")
            entry = self.find(service_key, instance_key)
            if entry is None or entry.version < version:
                wanted.append(full_key)
            if entry is not None and entry.live:
                self._heard(entry, lease_s=lease_s, age_ms=age_ms, via=via)
                self.renewals.total += 1
                renewed.append(entry)
        return renewed, wanted

    # After a long absence; see contacts.py

    def uncertain(self, absence: Absence | None) -> Iterator[str | None]:
        """Full keys about which a peer should be asked: unheard since a restart, or since the last contact with it.

        None wherever a caller may interrupt the pass.
        """
        if absence is None and not self.unheard_count:
            return
        visited = 0
        for service in list(self.services.values()):
            for entry in list(service.entries.values()):
                visited += 1
                if visited % LISTED_SLICE == 0:
                    yield None
                if entry.live and (entry.via == UNHEARD or (absence is not None and self._is_outdated(entry, absence))):
                    yield entry.full_key

    def withholds(self, full_key: str, absence: Absence) -> bool:
        """Whether this peer must not be offered the instance, unless it is renewed: the peer may have removed it."""
        service_key, _, instance_key = full_key.partition("\n")
        entry = self.find(service_key, instance_key)
        return entry is not None and entry.live and (entry.via == UNHEARD or self._is_outdated(entry, absence))

    def abandon(self, keys: Iterable[str], absence: Absence, *, now_ms: int) -> Outcome:
        """A peer does not know these: drop those that it once knew and of which nobody has heard since."""
        outcome = Outcome()
        gone: dict[ServiceTable, list[InstanceChange]] = {}
        for full_key in keys:
            service_key, _, instance_key = full_key.partition("\n")
            entry = self.find(service_key, instance_key)
            if entry is None or not entry.live or not self._is_outdated(entry, absence):
                continue
            service, shown = entry.service, self._drop(entry)
            outcome.entries.append(entry)
            if shown is not None:
                gone.setdefault(service, []).append(InstanceChange("delete", shown, entry.key, now_ms))
        outcome.changes = self._announce_all(gone, now_ms=now_ms)
        return outcome

    def _is_outdated(self, entry: Entry, absence: Absence) -> bool:
        """Whether the word of the peer decides about this live entry: it knew it once, and nobody heard of it since."""
        contact = absence.contact
        if contact is None or not absence.conclusive:
            return False
        known_until_ms = contact.wall_ms + (STORED_LATE_MS if contact.now_s is None else 0)
        if entry.registered_ms > known_until_ms:
            return False
        return entry.via == UNHEARD or entry.deadline_s - entry.ttl_s <= contact.lease_s

    def restore(self, rows: Iterable[Restored], *, now_s: float, now_ms: int) -> int:
        """Take over what was stored before a restart; returns how many live.

        Each live instance has one lease of grace, however often the node is restarted before it is heard: what the
        node has run since it last heard of the instance is taken off. A tombstone lives anew.
        """
        lease_s = self.lease_time(now_s)
        for full_key, version, json, stored_ms, spent_ms in rows:
            service_key, _, instance_key = full_key.partition("\n")
            self.clock.witness(version)
            if json is None:
                self._bury(self._entry(service_key, instance_key, now_ms=now_ms), version, lease_s=lease_s)
                continue
            instance, json = self._settled(json)
            entry = self._entry(instance.service_id or service_key, instance_key, now_ms=now_ms)
            self._put(entry, instance, json, version, now_ms=now_ms)
            entry.registered_ms = stored_ms
            grace_s = max(0.0, self.grace_of(instance) - spent_ms / 1000)
            self._renewed(entry, deadline_s=lease_s + grace_s, via=UNHEARD)
        return self.live_count
