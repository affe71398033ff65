"""Versions: hybrid logical clock stamps that decide, on every node and in any order, which news is newer.

A version is one integer, `milliseconds << 48 | counter << 32 | origin`, so that comparing two versions is comparing
two numbers. The counter begins with the fraction of the millisecond, in units of 15 nanoseconds: two writes at two
nodes within one millisecond have the order in which they happened, as far as the clocks of the two agree. The origin
breaks the ties that are left.
"""

from hashlib import blake2b

COUNTER_SHIFT = 32
MILLISECOND_SHIFT = 48
COUNTS_PER_MS = 1 << (MILLISECOND_SHIFT - COUNTER_SHIFT)
ORIGIN_MASK = (1 << 32) - 1


def origin_of(node_id: str) -> int:
    """The 32 bits by which versions name a node. Never 0: that stands for "this node" in leases."""
    return int.from_bytes(blake2b(node_id.encode(), digest_size=4).digest(), "big") or 1


def origin(version: int) -> int:
    """Which node made this version."""
    return version & ORIGIN_MASK


def milliseconds(version: int) -> int:
    """When a version was made: epoch milliseconds by the clock of its origin, or later."""
    return version >> MILLISECOND_SHIFT


class HybridClock:
    """Makes versions of one origin, each larger than all it made or witnessed before."""

    __slots__ = ("_last", "_origin")

    def __init__(self, origin: int) -> None:
        assert 0 < origin <= ORIGIN_MASK
        self._origin = origin
        self._last = 0
        """Milliseconds and counter of the newest stamp seen."""

    def next(self, now_ms: float, above: int = 0) -> int:
        """A version larger than every earlier one and than `above`; `now_ms` is wall time in epoch milliseconds."""
        last = max(self._last, above >> COUNTER_SHIFT)
        now = int(now_ms * COUNTS_PER_MS)
        self._last = now if now > last else last + 1
        return self._last << COUNTER_SHIFT | self._origin

    def witness(self, version: int) -> None:
        """Take note of a version from elsewhere: later versions of ours are larger."""
        stamp = version >> COUNTER_SHIFT
        if stamp > self._last:
            self._last = stamp
