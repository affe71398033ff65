"""The outbox of one peer: what it has still to be told, newest news only, and what is under way to it.

Keyed: news about a key replaces older news about it, because only the key waits here; its state is read from the
table when a frame leaves. So the outbox is bounded by the number of keys, whatever the rate of change, and a peer that
is slow gets fewer and later states, never stale ones. Beyond `keys_max` everything is dropped in favour of a
reconciliation.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from artemis.store.leases import Entry

RENEWAL_BYTES: Final = 40
"""What a renewal takes in a frame beside its key; the key takes four bytes a character at most."""


@dataclass(slots=True)
class Flight:
    """One frame that has not been acknowledged yet, by what it would take to send it again."""

    sequence: int
    sent_s: float
    table: str | None = None
    keys: list[str] = field(default_factory=list[str])
    stamp_ms: int = 0
    renewals: list[Entry] = field(default_factory=list[Entry])


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    waiting: int
    """Keys of states and records that have not left."""
    renewals: int
    flights: int
    overflows: int
    """How often everything was dropped in favour of a reconciliation."""


class Outbox:
    """Keys to tell, in the order in which they changed first. Pure: no clock, no link."""

    def __init__(self, *, keys_max: int) -> None:
        self._keys_max = keys_max
        self._waiting: dict[str, dict[str, int]] = {}
        """By table: key, and the wall time at which the oldest untold news about it happened."""
        self._waiting_count = 0
        self._renewals: dict[Entry, None] = {}
        self._flights: deque[Flight] = deque()
        self._sequence = 0
        self._overflows = 0
        self.reconcile = False
        """Something was dropped: only a comparison of the tables can tell what the peer lacks."""

    def offer(self, table: str, keys: Iterable[str], *, now_ms: int) -> None:
        """There is news about these keys."""
        waiting = self._waiting.setdefault(table, {})
        before = len(waiting)
        for key in keys:
            waiting.setdefault(key, now_ms)
        self._waiting_count += len(waiting) - before
        if self._waiting_count > self._keys_max:
            self.overflow()

    def offer_renewals(self, entries: Iterable[Entry]) -> None:
        """These instances were heard of. Bounded by their number."""
        self._renewals.update(dict.fromkeys(entries))

    def overflow(self) -> None:
        """Forget everything that waits; the peer must be reconciled."""
        self._waiting.clear()
        self._waiting_count = 0
        self._renewals.clear()
        self._overflows += 1
        self.reconcile = True

    def has_news(self) -> bool:
        return self._waiting_count > 0

    def has_renewals(self) -> bool:
        return bool(self._renewals)

    @property
    def renewals(self) -> int:
        """How many renewals wait."""
        return len(self._renewals)

    def renewal_frames(self, limit: int) -> int:
        """How many frames of at most `limit` renewals it takes to tell all that wait."""
        return -(-len(self._renewals) // limit)

    def is_empty(self) -> bool:
        """Nothing waits and everything sent was acknowledged."""
        return not (self._waiting_count or self._renewals or self._flights)

    def peek(self, limit: int) -> tuple[str, list[str]] | None:
        """The keys that should leave next, of one table."""
        for table, waiting in self._waiting.items():
            if waiting:
                return table, [key for key, _ in zip(waiting, range(limit), strict=False)]
        return None

    def depart(self, table: str, keys: Iterable[str], *, now_s: float) -> Flight:
        """These keys leave in one frame. What changes from now on leaves in another one."""
        waiting = self._waiting[table]
        flight = self._flight(now_s)
        flight.table = table
        flight.keys = list(keys)
        flight.stamp_ms = min((waiting.pop(key) for key in flight.keys), default=0)
        self._waiting_count -= len(flight.keys)
        return flight

    def depart_renewals(self, limit: int, *, bytes_max: int, now_s: float) -> Flight:
        """The renewals collected so far leave, in one frame as many as `limit` and `bytes_max` allow."""
        flight = self._flight(now_s)
        size = 0
        for entry in self._renewals:
            size += RENEWAL_BYTES + 4 * (len(entry.service.key) + len(entry.key))
            if flight.renewals and (size > bytes_max or len(flight.renewals) == limit):
                break
            flight.renewals.append(entry)
        if len(flight.renewals) == len(self._renewals):
            self._renewals.clear()
        else:
            for entry in flight.renewals:
                del self._renewals[entry]
        return flight

    def discard(self, table: str, keys: Iterable[str]) -> None:
        """There is nothing to tell about these keys any more."""
        waiting = self._waiting[table]
        before = len(waiting)
        for key in keys:
            waiting.pop(key, None)
        self._waiting_count -= before - len(waiting)

    def acknowledged(self, sequence: int) -> Flight | None:
        """Everything up to `sequence` has arrived. Returns the last flight that this ends."""
        landed: Flight | None = None
        while self._flights and self._flights[0].sequence <= sequence:
            landed = self._flights.popleft()
        return landed

    @property
    def flights(self) -> int:
        return len(self._flights)

    @property
    def sequence(self) -> int:
        """Of the frame that left last."""
        return self._sequence

    def waits_since_s(self) -> float | None:
        """When the oldest frame left that is not acknowledged."""
        return self._flights[0].sent_s if self._flights else None

    def rewind(self) -> None:
        """The link is gone: what was under way may not have arrived, and waits again, first in line."""
        flights, self._flights = self._flights, deque()
        again: dict[str, dict[str, int]] = {}
        for flight in flights:
            if flight.table is not None:
                keys = again.setdefault(flight.table, {})
                for key in flight.keys:
                    keys.setdefault(key, flight.stamp_ms)
            self._renewals.update(dict.fromkeys(flight.renewals))
        for table, keys in again.items():
            waiting = self._waiting.get(table, {})
            for key, stamp_ms in waiting.items():
                keys.setdefault(key, stamp_ms)
            self._waiting_count += len(keys) - len(waiting)
            self._waiting[table] = keys
        if self._waiting_count > self._keys_max:
            self.overflow()

    def forget_renewals(self) -> None:
        """The peer was out of reach for so long that renewals no longer help it."""
        self._renewals.clear()

    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(self._waiting_count, len(self._renewals), len(self._flights), self._overflows)

    def _flight(self, now_s: float) -> Flight:
        self._sequence += 1
        flight = Flight(self._sequence, now_s)
        self._flights.append(flight)
        return flight
