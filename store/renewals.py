"""How many renewals come, for those who watch a node. Nothing is decided by it."""

from collections import deque
from typing import Final

WINDOW_S: Final = 10.0
WINDOWS: Final = 60
"""Windows among which the largest is looked for: ten minutes."""


class RenewalCounts:
    """Renewals in windows of ten seconds."""

    __slots__ = ("_at_start", "_end_s", "_windows", "total")

    def __init__(self, *, now_s: float) -> None:
        self.total = 0
        """Renewals since the start. Whoever renews adds to it."""
        self._at_start = 0
        self._end_s = now_s + WINDOW_S
        self._windows: deque[int] = deque(maxlen=WINDOWS)

    def look(self, *, now_s: float) -> None:
        """Close the window if its time has come."""
        if now_s >= self._end_s:
            self._windows.append(self.total - self._at_start)
            self._at_start = self.total
            self._end_s = now_s + WINDOW_S

    @property
    def last(self) -> int:
        """Renewals in the last complete window, or so far in the first one."""
        return self._windows[-1] if self._windows else self.total

    @property
    def largest(self) -> int:
        """The most that a window had, of the last ten minutes."""
        return max(self._windows, default=self.total)
