"""Warnings that must not fill the log."""


class Seldom:
    """One kind of warning: it comes at once, and again after `every_s` at the earliest, with the count of all since."""

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._next_s = float("-inf")
        self._count = 0

    def due(self, now_s: float, more: int = 1) -> int:
        """How many to warn of now, these included; 0 when it is too early: then the next warning counts them."""
        self._count += more
        if not self._count or now_s < self._next_s:
            return 0
        self._next_s = now_s + self._every_s
        count, self._count = self._count, 0
        return count
