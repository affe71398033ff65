"""The judge of leases: which silence is explained, which is doubted, and which ends a lease."""

import math
from typing import Final

from .leases import EXCUSED, LATE, UNHEARD, Entry, ServiceTable
from .preservation import LATE_SHARE, PreservationSettings, Silence
from .suspects import Suspects

RECHECK_S: Final = 2.0
"""A lease that is kept although it ran out is judged again after this time, if not before."""


class LeaseJudge:
    """Counts the silent leases of each service and of the node, and decides who is kept. Times are lease time."""

    def __init__(self, settings: PreservationSettings, suspects: Suspects) -> None:
        self._settings = settings
        self._suspects = suspects
        self.node = Silence()
        self.is_protected = False
        """Whether no lease of this node expires, as of the last look."""
        self.protected: dict[str, None] = {}
        """Keys of the services of which no lease expires, in the order in which that began."""
        self.overdue_count = 0
        self.joined_s = -math.inf
        """When this node had learnt what its peers know; infinite while it has not."""

    def look(self, live: int, *, now_s: float) -> None:
        """Find out whether the node, with `live` leases, is protected."""
        self.is_protected = self.node.is_protected(live, self._settings, now_s=now_s)

    def falls_silent(self, entry: Entry, *, now_s: float) -> None:
        """Half or all of the time of a live entry is over. Before any of those that are due is judged, all are told."""
        silent = EXCUSED if self._is_excused(entry, now_s=now_s) else LATE
        overdue = entry.deadline_s <= now_s
        if entry.silent == silent and entry.overdue == overdue:
            return
        if entry.silent:
            self._count(entry, -1)
        entry.silent, entry.overdue = silent, overdue
        self._count(entry, 1)

    def speaks(self, entry: Entry) -> None:
        """A silent entry was heard of, or its life has ended."""
        self._count(entry, -1)
        entry.silent, entry.overdue = 0, False
        silence = entry.service.silence
        if silence is not None and not silence.missing:
            self.protected.pop(entry.service.key, None)

    def said_farewell(self, service: ServiceTable, *, now_s: float) -> None:
        """A live instance of this service was unregistered."""
        self.node.said_farewell(self._settings, now_s=now_s)
        if service.live_count >= self._settings.leases_min:
            self._silence_of(service).said_farewell(self._settings, now_s=now_s)

    def kept_until(self, entry: Entry, live: int, *, now_s: float) -> float | None:
        """When to judge an overdue entry again; None when it expires. `live` leases are there in all."""
        if entry.silent == EXCUSED:
            until_s = self._suspects.kept_until(entry, lease_s=now_s)
        else:
            until_s = self._doubted_until(entry, live, now_s=now_s)
            if until_s is None and entry.deadline_s <= self.joined_s:
                # Taken over although it had run out: peers keep it for a reason, which may be over in a lease.
                until_s = min(self.joined_s + entry.ttl_s, entry.deadline_s + self._settings.ceiling_s)
        if until_s is None or until_s <= now_s:
            return None
        return min(until_s, now_s + RECHECK_S)

    def _doubted_until(self, entry: Entry, live: int, *, now_s: float) -> float | None:
        settings, service = self._settings, entry.service
        silence = self._silence_of(service)
        if silence.is_protected(service.live_count, settings, now_s=now_s):
            self.protected[service.key] = None
            return entry.deadline_s + settings.ceiling_s
        self.protected.pop(service.key, None)
        if self.node.is_protected(live, settings, now_s=now_s):
            return entry.deadline_s + settings.ceiling_s
        if silence.is_doubtful(service.live_count, settings, now_s=now_s) or self.node.is_doubtful(
            live, settings, now_s=now_s
        ):
            return entry.deadline_s + min(entry.ttl_s * LATE_SHARE, settings.ceiling_s)
        return None

    def _is_excused(self, entry: Entry, *, now_s: float) -> bool:
        return entry.via == UNHEARD or self._suspects.kept_until(entry, lease_s=now_s) is not None

    def _silence_of(self, service: ServiceTable) -> Silence:
        if service.silence is None:
            service.silence = Silence()
        return service.silence

    def _count(self, entry: Entry, step: int) -> None:
        self.overdue_count += step * entry.overdue
        for group in (self.node, self._silence_of(entry.service)):
            if entry.silent == EXCUSED:
                group.excused += step
            else:
                group.late += step
                group.missing += step * entry.overdue
