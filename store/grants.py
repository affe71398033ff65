"""Time granted to leases because this process did not run, and the bound of it."""

from collections import deque
from typing import Final

HOUR_S: Final = 3600.0


class Grants:
    """Grants up to a bound in any hour, so that nobody who keeps a node busy decides how long leases live."""

    def __init__(self, hourly_s: float) -> None:
        self._hourly_s = hourly_s
        self._recent: deque[tuple[float, float]] = deque()
        """When, and how much; as many as there are pauses in an hour."""
        self.granted_s = 0.0
        """All that was granted since the start."""
        self.refused_s = 0.0
        """All that was not."""

    def ask(self, seconds: float, *, now_s: float) -> None:
        """The process did not run for so long, until now."""
        recent = self._recent
        while recent and recent[0][0] <= now_s - HOUR_S:
            recent.popleft()
        left_s = self._hourly_s - sum(granted_s for _, granted_s in recent)
        granted_s = max(0.0, min(seconds, left_s))
        self.refused_s += seconds - granted_s
        if granted_s:
            self.granted_s += granted_s
            recent.append((now_s, granted_s))
