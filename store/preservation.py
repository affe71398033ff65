"""Self-preservation: when too many renewals are missing, doubt the network before doubting the instances.

Theory of operation. A watch counts renewals in windows of a few seconds and compares what came with what the live
leases should have produced: their number times the rate per lease that was seen while all was well. The rate is
learnt, so the length of the clients' heartbeat interval need not be known, and it scales with the number of leases,
so a fleet that shrinks by unregistering does not look ill. When less than `threshold` of the expected renewals came,
expiry stops; it goes on when renewals are back, or when the ceiling is reached: then the loss is real, and is learnt.
"""

from dataclasses import dataclass
from typing import Final

RATE_WEIGHT: Final = 0.3
"""How much the newest healthy window counts in the learnt rate."""

RATE_GROWTH_MAX: Final = 1.1
"""A window may raise the learnt rate by this factor at most: a burst after a reconnect is not the new normal."""


@dataclass(frozen=True, slots=True)
class PreservationSettings:
    """When expiry stops."""

    enabled: bool = True
    window_s: float = 10.0
    threshold: float = 0.85
    renewals_min: int = 50
    """Below this many expected renewals in a window there is no judging: few instances may well die together."""
    ceiling_s: float = 600.0
    """Protection ends by itself after this time."""


class RenewalWatch:
    """The renewals of one group of leases (a service, or all of a node), and whether expiry is stopped for it."""

    __slots__ = (
        "_count",
        "_is_distorted",
        "_live_at_start",
        "_live_before",
        "_previous",
        "_rate",
        "_settings",
        "_total",
        "protected_since_s",
        "window_end_s",
    )

    def __init__(self, settings: PreservationSettings, *, now_s: float) -> None:
        self._settings = settings
        self.window_end_s = now_s + settings.window_s
        """When `roll` has something to do: callers on the hot path compare before they call."""
        self._count = 0
        self._is_distorted = False
        """This process did not run for a part of the window."""
        self._total = 0
        """Renewals of all completed windows."""
        self._previous: float | None = None
        self._live_at_start = 0
        self._live_before = 0
        """Live leases at the start of the window before. Who came later is not expected to have renewed yet."""
        self._rate: float | None = None
        """Renewals per live lease in one healthy window."""
        self.protected_since_s: float | None = None

    def count(self, renewals: int = 1) -> None:
        self._count += renewals

    def distort(self) -> None:
        """The process did not run for a while. What arrives meanwhile counts in too short a time: no lesson."""
        self._is_distorted = True

    @property
    def total(self) -> int:
        """Renewals since the watch began."""
        return self._total + self._count

    def renewals_last_window(self) -> int:
        """Renewals in the last completed window, or so far in the first one."""
        return int(self._count if self._previous is None else self._previous)

    def expected(self, live: int) -> float | None:
        """Renewals that `live` leases should produce in a window; None while nothing is learnt yet."""
        return None if self._rate is None else self._rate * live

    def roll(self, live: int, *, now_s: float) -> None:
        """Close the window if its time has come, and learn from it unless it was an ill one."""
        settings = self._settings
        if now_s < self.window_end_s:
            return
        windows = 1 + int((now_s - self.window_end_s) / settings.window_s)
        self._previous = self._count / windows
        self._total += self._count
        self._count = 0
        self.window_end_s += windows * settings.window_s
        healthy = self.protected_since_s is None and not self._falls_short(self._previous, self._settled(live))
        # Leases that joined or left during the window would distort the rate: learn from those there throughout.
        if healthy and not self._is_distorted and self._live_at_start and live >= self._live_at_start:
            self._learn(self._previous / live)
        self._is_distorted = False
        self._live_before, self._live_at_start = self._live_at_start, live

    def _settled(self, live: int) -> int:
        """Leases that were there throughout the window and the one before."""
        return min(live, self._live_at_start, self._live_before)

    def _learn(self, rate: float) -> None:
        if self._rate is None:
            self._rate = rate or None
            return
        rate = min(rate, self._rate * RATE_GROWTH_MAX)
        self._rate += (rate - self._rate) * RATE_WEIGHT

    def judge(self, live: int, *, now_s: float) -> bool:
        """Whether expiry is stopped now, with `live` leases (those overdue but not yet expired included)."""
        self.roll(live, now_s=now_s)
        settings = self._settings
        if not settings.enabled:
            return False
        if self._falls_short(self._estimate(now_s), self._settled(live)):
            if self.protected_since_s is None:
                self.protected_since_s = now_s
            elif now_s - self.protected_since_s >= settings.ceiling_s:
                self._accept_loss()
                return False
            return True
        self.protected_since_s = None
        return False

    def _estimate(self, now_s: float) -> float | None:
        """Renewals in the window that ends now: this one's, and its predecessor's as far as it reaches into it."""
        if self._previous is None:
            return None
        share = (self.window_end_s - now_s) / self._settings.window_s
        return self._count + self._previous * share

    def _falls_short(self, renewals: float | None, live: int) -> bool:
        expected = self.expected(live)
        if renewals is None or expected is None or expected < self._settings.renewals_min:
            return False
        return renewals < expected * self._settings.threshold

    def _accept_loss(self) -> None:
        """The ceiling is reached: those who are silent are gone. Learn the rate anew from who is left."""
        self.protected_since_s = None
        self._rate = None
        self._previous = None
