"""Waiting longer after each failure, and never in step with others."""

import random


class Backoff:
    """Doubling waits between `min_s` and `max_s`, each cut by up to a half at random."""

    def __init__(self, *, min_s: float, max_s: float, rng: random.Random) -> None:
        assert 0 < min_s <= max_s
        self._min_s = min_s
        self._max_s = max_s
        self._rng = rng
        self._next_s = min_s

    def next_s(self) -> float:
        """How long to wait now."""
        wait_s = self._next_s * self._rng.uniform(0.5, 1.0)
        self._next_s = min(self._max_s, self._next_s * 2)
        return wait_s

    def reset(self) -> None:
        """It went well: begin anew."""
        self._next_s = self._min_s
