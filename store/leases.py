"""Leases: one entry per identity, the services that hold them, and the wheel that knows which fall due."""

from collections import deque
from typing import Final

from .preservation import LATE_SHARE, Silence

TICK_S: Final = 0.1
"""Resolution of the wheel, seconds: a lease is looked at within one tick after it ran out."""

LATE: Final = 1
EXCUSED: Final = 2

UNHEARD: Final = -1
"""As `Entry.via`: known from before a restart, and nobody was heard saying that it lives."""


class Entry:
    """What is known of one instance: live with a lease, or a tombstone that remembers its removal."""

    __slots__ = (
        "deadline_s",
        "down",
        "gone",
        "group_key",
        "ip",
        "json",
        "key",
        "legacy",
        "live",
        "overdue",
        "registered_ms",
        "service",
        "silent",
        "tick",
        "ttl_s",
        "version",
        "via",
        "zone_key",
    )

    def __init__(self, service: "ServiceTable", key: str) -> None:
        self.service = service
        self.key = key
        """Lower-cased instance id."""
        self.json = b""
        """Canonical JSON of the newest registration; empty for a tombstone."""
        self.version = 0
        self.live = False
        self.gone = False
        """No longer held by the registry at all: neither live nor a tombstone."""
        self.down = False
        """Pulled out by an operator: held, renewed, but in nobody's answers."""
        self.overdue = False
        """The lease has run out, but self-preservation or a lost peer keeps the instance."""
        self.silent = 0
        """Set by the sweep when half of the lease has passed without a renewal: LATE, or EXCUSED when the reason is
        known (preservation.py). What is overdue is silent, too."""
        self.legacy = False
        self.ip = ""
        self.zone_key = ""
        self.group_key = ""
        self.ttl_s = 0.0
        self.deadline_s = 0.0
        """In lease time: when the lease runs out, or when the tombstone may be forgotten."""
        self.tick = -1
        """The tick of the wheel that will look at this entry."""
        self.via = 0
        """Who heard of the instance last: 0 this node, -1 nobody since its restart, otherwise the origin of a peer."""
        self.registered_ms = 0

    @property
    def look_s(self) -> float:
        """When there is something to find out about this entry: that it is late, and then that its time is over."""
        if self.live and not self.silent:
            return self.deadline_s - self.ttl_s * LATE_SHARE
        return self.deadline_s

    @property
    def full_key(self) -> str:
        """The identity within the registry, in a form that sorts and travels."""
        return f"{self.service.key}\n{self.key}"

    def __repr__(self) -> str:
        state = "live" if self.live else "gone" if self.gone else "tombstone"
        return f"<Entry {self.service.key}/{self.key} {state} version={self.version:x}>"


class ServiceTable:
    """The instances of one service and the answer made of them, encoded once per revision."""

    __slots__ = ("_fragment", "_visible", "entries", "key", "live_count", "revision", "service_id", "silence")

    def __init__(self, key: str, service_id: str, *, revision: int) -> None:
        self.key = key
        self.service_id = service_id
        self.entries: dict[str, Entry] = {}
        """By lower-cased instance id, tombstones included."""
        self.live_count = 0
        self.revision = revision
        self.silence: Silence | None = None
        """Made when there is something to count."""
        self._visible: list[Entry] | None = None
        self._fragment: bytes | None = None

    def visible(self) -> list[Entry]:
        """The instances that discovery shows: live and not pulled out. Not to be changed by the caller."""
        if self._visible is None:
            self._visible = [entry for entry in self.entries.values() if entry.live and not entry.down]
        return self._visible

    def fragment(self) -> bytes:
        """The visible instances as a JSON array."""
        if self._fragment is None:
            self._fragment = b"[" + b",".join([entry.json for entry in self.visible()]) + b"]"
        return self._fragment

    def stale(self) -> None:
        """What is visible has changed."""
        self._visible = None
        self._fragment = None

    def __repr__(self) -> str:
        return f"<ServiceTable {self.key} [live: {self.live_count}, revision: {self.revision}]>"


class Wheel:
    """Entries by the tick that looks at them. Renewing a lease costs nothing here: a look too early moves it."""

    __slots__ = ("_buckets", "_current", "_next_tick")

    def __init__(self, *, now_s: float) -> None:
        self._buckets: dict[int, list[Entry]] = {}
        self._next_tick = self._tick(now_s)
        self._current: deque[Entry] = deque()
        """Entries of past ticks that wait to be looked at."""

    @staticmethod
    def _tick(time_s: float) -> int:
        return int(time_s / TICK_S)

    def schedule(self, entry: Entry, *, not_before_s: float = 0.0) -> None:
        """See to it that the entry is looked at soon after its time has come, and not before `not_before_s`."""
        tick = max(self._tick(max(entry.look_s, not_before_s)) + 1, self._next_tick)
        if 0 <= entry.tick <= tick:
            return
        # An entry that waits in a later tick stays listed there; the tick recorded in it tells the place that counts.
        entry.tick = tick
        self._buckets.setdefault(tick, []).append(entry)

    def due(self, *, now_s: float, visits: int) -> list[Entry]:
        """Entries whose time has come, having looked at no more than `visits`; the others are moved on."""
        self._advance(now_s)
        current, buckets, next_tick = self._current, self._buckets, self._next_tick
        found: list[Entry] = []
        for _ in range(min(visits, len(current))):
            entry = current.popleft()
            if entry.tick >= next_tick or entry.tick < 0:
                continue  # looked at by another tick already, or listed again
            look_s = entry.look_s
            if look_s > now_s and not entry.gone:
                # As `schedule` does it, for a place that is known to be free: nearly every look ends here.
                entry.tick = tick = max(int(look_s / TICK_S) + 1, next_tick)
                bucket = buckets.get(tick)
                if bucket is None:
                    buckets[tick] = [entry]
                else:
                    bucket.append(entry)
                continue
            entry.tick = -1
            if not entry.gone:
                found.append(entry)
        return found

    def is_behind(self) -> bool:
        """Whether entries of past ticks still wait: call `due` again soon."""
        return bool(self._current)

    def _advance(self, now_s: float) -> None:
        tick = self._tick(now_s)
        if tick < self._next_tick:
            return
        if tick - self._next_tick > len(self._buckets):
            ripe = sorted(t for t in self._buckets if t <= tick)
        else:
            ripe = [t for t in range(self._next_tick, tick + 1) if t in self._buckets]
        for past in ripe:
            self._current.extend(self._buckets.pop(past))
        self._next_tick = tick + 1
