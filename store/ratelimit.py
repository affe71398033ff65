"""Rate limits: how many calls of an operation a node takes in ten seconds (RPC contract 3.9)."""

from typing import Final

WINDOW_S: Final = 10
"""The sliding window, seconds, counted in buckets of one second."""


class RateLimiter:
    """One operation's limit. A refused call is not counted."""

    __slots__ = ("_buckets", "_second", "_total", "limit")

    def __init__(self, limit: int) -> None:
        """At most `limit` calls per ten seconds; 0 means no limit."""
        self.limit = limit
        self._buckets = [0] * WINDOW_S
        self._second = 0
        self._total = 0

    def allow(self, now_s: float) -> bool:
        """Count one call at `now_s`, unless that would be one too many."""
        if not self.limit:
            return True
        second = int(now_s)
        if second != self._second:
            self._turn(second)
        if self._total >= self.limit:
            return False
        self._buckets[second % WINDOW_S] += 1
        self._total += 1
        return True

    def _turn(self, second: int) -> None:
        for passed in range(max(self._second + 1, second - WINDOW_S + 1), second + 1):
            self._total -= self._buckets[passed % WINDOW_S]
            self._buckets[passed % WINDOW_S] = 0
        self._second = second


class CallerLimits:
    """The same limit for each client address, for a bounded number of addresses at a time."""

    __slots__ = ("_addresses_max", "_limit", "_limiters")

    def __init__(self, limit: int, *, addresses_max: int = 10_000) -> None:
        """When more than `addresses_max` addresses call, the one that was silent longest is forgotten."""
        self._limit = limit
        self._addresses_max = addresses_max
        self._limiters: dict[str, RateLimiter] = {}

    def allow(self, address: str, now_s: float) -> bool:
        if not self._limit:
            return True
        limiter = self._limiters.pop(address, None)
        if limiter is None:
            limiter = RateLimiter(self._limit)
            if len(self._limiters) >= self._addresses_max:
                del self._limiters[next(iter(self._limiters))]
        self._limiters[address] = limiter
        return limiter.allow(now_s)
