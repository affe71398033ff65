"""Self-preservation: when too many leases fall silent at once, doubt the network before doubting the instances.

Theory of operation. Leases are judged, not arrivals. A lease is *late* when it was not renewed for half of its time,
and *missing* when all of its time is over. The leases of a service, and those of the whole node, are a group each.
Nothing is judged until a lease of the group has run out, so no rhythm of heartbeats can trigger anything while every
lease is renewed in time. Then

1. if more than a share of the group is missing, the group is protected: the lease is kept, and the node says so;
2. else, if more than that share is late, the lease is kept for half of its time: by then those who are late now have
   renewed their leases, or are missing;
3. else it expires.

A client that renews at least twice in a lease is never late while it lives. If more than the share of them stop at one
moment, all of them are late when the first lease runs out, and all are missing half a lease after that: so none of
them expires. Protection has no clock: each lease is kept for the ceiling at most, counted from the moment it ran out.
So nodes that heard the same renewals decide the same, whenever they looked first; and a loss that was accepted is not
doubted again.

Silence that is explained is not judged: leases of grace after a restart, and those whose messenger is out of reach,
count neither as silent nor as members of the group. Who unregistered a short while ago proves that the network works,
and still counts as a member.
"""

from dataclasses import dataclass
from typing import Final

LATE_SHARE: Final = 0.5
"""A lease is late when this share of its time has passed without a renewal."""


@dataclass(frozen=True, slots=True)
class PreservationSettings:
    """When expiry stops."""

    enabled: bool = True
    threshold: float = 0.85
    """The share of leases that must not be missing."""
    leases_min: int = 25
    """A smaller group is not judged: few instances may well die together."""
    ceiling_s: float = 600.0
    """No lease is kept longer than this after it ran out."""
    farewell_s: float = 20.0
    """Those who unregistered count for at least this time, and at most twice as long."""


class Silence:
    """How many leases of one group (a service, or all of a node) are silent. Times are lease time."""

    __slots__ = ("_farewells", "_farewells_before", "_farewells_since_s", "excused", "late", "missing")

    def __init__(self) -> None:
        self.late = 0
        """Not renewed for half of their time, the missing ones included."""
        self.missing = 0
        """Run out, and kept."""
        self.excused = 0
        """Silent for a reason that is known."""
        self._farewells = 0
        self._farewells_before = 0
        self._farewells_since_s = 0.0

    def said_farewell(self, settings: PreservationSettings, *, now_s: float) -> None:
        """A live instance was unregistered."""
        self._forget_farewells(settings, now_s=now_s)
        self._farewells += 1

    def is_protected(self, live: int, settings: PreservationSettings, *, now_s: float) -> bool:
        """Whether so many of `live` leases are missing that none of them expires."""
        return self._exceeds(self.missing, live, settings, now_s=now_s)

    def is_doubtful(self, live: int, settings: PreservationSettings, *, now_s: float) -> bool:
        """Whether so many are late that it is too early to tell."""
        return self._exceeds(self.late, live, settings, now_s=now_s)

    def _exceeds(self, silent: int, live: int, settings: PreservationSettings, *, now_s: float) -> bool:
        judged = live - self.excused
        if not settings.enabled or judged < settings.leases_min:
            return False
        self._forget_farewells(settings, now_s=now_s)
        return silent > (1 - settings.threshold) * (judged + self._farewells + self._farewells_before)

    def _forget_farewells(self, settings: PreservationSettings, *, now_s: float) -> None:
        passed_s = now_s - self._farewells_since_s
        if passed_s < settings.farewell_s:
            return
        self._farewells_before = self._farewells if passed_s < 2 * settings.farewell_s else 0
        self._farewells = 0
        self._farewells_since_s = now_s
