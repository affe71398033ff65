"""The one place where time comes from: monotonic seconds for leases, wall milliseconds for versions and people."""

import logging
import math
import time
from typing import Protocol

import trio

logger = logging.getLogger(__name__)


class Clock(Protocol):
    """Simulations give nodes clocks of their own, with their own skew."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    def now_ms(self) -> int:
        """Wall time, epoch milliseconds."""
        ...

    def stamp_ms(self) -> float:
        """The same with the fraction of the millisecond: what versions are made of."""
        ...


class SystemClock:
    """Trio's clock and the machine's."""

    now_s = staticmethod(trio.current_time)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def stamp_ms(self) -> float:
        return time.time_ns() / 1_000_000


class SetBacks:
    """Notices that the wall clock was set back, at once or little by little, by more than a bound.

    What was written while the clock ran ahead is refused by all peers. Its node has to say so: only its restart helps.
    """

    def __init__(self, *, most_ms: int) -> None:
        self._most_ms = most_ms
        self._ahead_ms = -math.inf
        """By how much the wall clock was ahead of the monotonic one, when it was most."""

    def look(self, clock: Clock) -> None:
        """To be called again and again. The log says it once."""
        ahead_ms = clock.now_ms() - clock.now_s() * 1000
        back_ms = self._ahead_ms - ahead_ms
        if back_ms <= self._most_ms:
            self._ahead_ms = max(self._ahead_ms, ahead_ms)
            return
        self._ahead_ms = ahead_ms
        logger.error(
            "the clock of this machine was set back by %.1f s. What was written here before is dated in the future, and"
            " peers refuse it until then. Restart this node: they take it after that",
            back_ms / 1000,
        )
