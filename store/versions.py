"""Versions: hybrid logical clock stamps that decide, on every node and in any order, which news is newer.

A version is one integer, `milliseconds << 48 | counter << 32 | origin`, so that comparing two versions is comparing
two numbers. The counter begins with the fraction of the millisecond, in units of 15 nanoseconds: two writes at two
nodes within one millisecond have the order in which they happened, as far as the clocks of the two agree. The origin
breaks the ties that are left.

Stamps from the future are not believed. Otherwise one clock that was wrong once would date the whole cluster for ever:
everybody who witnesses its stamp makes a later one.
"""

from hashlib import blake2b

COUNTER_SHIFT = 32
MILLISECOND_SHIFT = 48
COUNTS_PER_MS = 1 << (MILLISECOND_SHIFT - COUNTER_SHIFT)
ORIGIN_MASK = (1 << 32) - 1
AHEAD_MAX_MS = 30_000
"""How far ahead of the wall clock a stamp may be, unless the node is configured otherwise."""
DISCREDITED_MS = 1_500_000_000_000
"""July 2017. Nothing that was ever stamped by a right clock is as old."""


def origin_of(node_id: str) -> int:
    """The 32 bits by which versions name a node. Never 0: that stands for "this node" in leases."""
    return int.from_bytes(blake2b(node_id.encode(), digest_size=4).digest(), "big") or 1


def origin(version: int) -> int:
    """Which node made this version."""
    return version & ORIGIN_MASK


def milliseconds(version: int) -> int:
    """When a version was made: epoch milliseconds by the clock of its origin, or later."""
    return version >> MILLISECOND_SHIFT


def is_ahead(version: int, *, now_ms: int, ahead_max_ms: int) -> bool:
    """Whether a version is from so far in the future that it is not believed."""
    return version >> MILLISECOND_SHIFT > now_ms + ahead_max_ms


def discredited(version: int) -> int:
    """What a version from the future counts as: older than every right one. Stamps up to 2065 keep their order.

    It depends on nothing but the version, so nodes that hold the same row agree again without a word.
    """
    return milliseconds(version) % DISCREDITED_MS << MILLISECOND_SHIFT | version & (1 << MILLISECOND_SHIFT) - 1


class HybridClock:
    """Makes versions of one origin, each larger than all it made or witnessed before.

    What is further ahead of the wall clock than `ahead_max_ms` does not count. When the wall clock is set back by more
    than that, this one follows it; only `above` is exceeded whatever it says.
    """

    __slots__ = ("_ahead_max", "_last", "_origin", "_witnessed")

    def __init__(self, origin: int, *, ahead_max_ms: int = AHEAD_MAX_MS) -> None:
        assert 0 < origin <= ORIGIN_MASK
        self._origin = origin
        self._ahead_max = ahead_max_ms * COUNTS_PER_MS
        self._last = 0
        """Milliseconds and counter of the newest stamp made."""
        self._witnessed = 0
        """The same of the newest one seen since."""

    def next(self, now_ms: float, above: int = 0) -> int:
        """A version larger than every earlier one and than `above`; `now_ms` is wall time in epoch milliseconds."""
        now = int(now_ms * COUNTS_PER_MS)
        horizon = now + self._ahead_max
        last = self._last if self._last <= horizon else 0
        if last < self._witnessed <= horizon:
            last = self._witnessed
        self._witnessed = 0
        least = above >> COUNTER_SHIFT
        if last < least <= horizon:
            last = least
        stamp = self._last = now if now > last else last + 1
        if stamp <= least:
            stamp = least + 1
        return stamp << COUNTER_SHIFT | self._origin

    def witness(self, version: int) -> None:
        """Take note of a version from elsewhere: later versions of ours are larger, unless it is from the future."""
        stamp = version >> COUNTER_SHIFT
        if stamp > self._witnessed:
            self._witnessed = stamp
