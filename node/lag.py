"""The loop watch: an actor that measures by how much the event loop keeps a sleeper waiting."""

from collections import deque

import trio

from .metrics import Metrics

INTERVAL_S = 0.1
WINDOW_S = 60.0
"""The worst lag is shown for this long."""


class LoopWatch:
    """Sleeps briefly, again and again, and notes how late it wakes. A paused process shows as one large lag."""

    def __init__(self, metrics: Metrics) -> None:
        self._histogram = metrics.histogram(
            "artemis_loop_lag_seconds", "How late the event loop wakes a sleeper; measured ten times a second."
        )
        metrics.gauge(
            "artemis_loop_lag_max_seconds", f"The worst lag of the last {WINDOW_S:.0f} seconds.", self.worst_s
        )
        self._worst: deque[tuple[float, float]] = deque()

    def worst_s(self) -> float:
        """The largest lag within the window."""
        return self._worst[0][1] if self._worst else 0.0

    async def run(self) -> None:
        while True:
            due_s = trio.current_time() + INTERVAL_S
            await trio.sleep_until(due_s)
            now_s = trio.current_time()
            self._note(now_s, now_s - due_s)

    def _note(self, now_s: float, lag_s: float) -> None:
        """Falling maximum: whatever is older and smaller than a newer lag can never be the worst again."""
        self._histogram.observe(lag_s)
        while self._worst and self._worst[-1][1] <= lag_s:
            self._worst.pop()
        self._worst.append((now_s, lag_s))
        while self._worst[0][0] < now_s - WINDOW_S:
            self._worst.popleft()
