"""The one place where time comes from: monotonic seconds for leases, wall milliseconds for versions and people."""

import time
from typing import Protocol

import trio


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
