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

    def is_over(self, now_s: float) -> bool:
        """Whether the next one of this kind would be told at once."""
        return now_s >= self._next_s


class SeldomEach:
    """The same for each of many causes, which strangers may invent: beyond `most` at a time, they share one count."""

    def __init__(self, most: int = 32, every_s: float = 10.0) -> None:
        self._most = most
        self._every_s = every_s
        self._causes: dict[str, Seldom] = {}
        self._others = Seldom(every_s)

    def due(self, cause: str, now_s: float) -> int:
        """How many warnings of this cause to write now, in one; 0 when it is too early."""
        seldom = self._causes.get(cause)
        if seldom is None:
            if len(self._causes) >= self._most:
                self._causes = {name: one for name, one in self._causes.items() if not one.is_over(now_s)}
            if len(self._causes) >= self._most:
                return self._others.due(now_s)
            seldom = self._causes[cause] = Seldom(self._every_s)
        return seldom.due(now_s)
