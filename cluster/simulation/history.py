"""What happened in a simulation: every event counts for the fingerprint, the last ones can be read."""

import logging
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import trio

from .scheduling import HOST
from .situations import Situation

EVENTS_KEPT: Final = 400
"""Events that a transcript can show; older ones live on in the fingerprint only."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a transcript."""

    time_s: float
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.time_s:9.3f}  {self.who:<4} {self.text}"


class History:
    """Takes note of everything, in order."""

    def __init__(self) -> None:
        self.count = 0
        self.situations: set[Situation] = set()
        """Those that have occurred."""
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._hash = blake2b(digest_size=16)
        self._closed = False

    def add(self, who: str, text: str) -> None:
        """Something happened to, or was done by, `who`."""
        if self._closed:
            return
        event = Event(trio.current_time(), who, text)
        self.count += 1
        self._events.append(event)
        self._hash.update(f"{event.time_s!r} {who} {text}\n".encode())

    def met(self, situation: Situation) -> None:
        """This has occurred, perhaps once more."""
        if not self._closed:
            self.situations.add(situation)

    def close(self) -> None:
        """What follows is only the end of the simulation itself."""
        self._closed = True

    def fingerprint(self) -> str:
        """The same for two runs exactly when the same happened in both, in the same order at the same times."""
        return self._hash.hexdigest()

    def last(self, count: int = EVENTS_KEPT) -> list[str]:
        """The newest events, oldest first, ready to be read."""
        return [str(event) for event in self._events][-count:]


class HistoryHandler(logging.Handler):
    """Writes what nodes log into the history, under the name of the node that logged it."""

    def __init__(self, history: History) -> None:
        super().__init__(logging.INFO)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        self._history.add(HOST.get() or "-", f"[{record.levelname.lower()}] {text}")


@contextmanager
def listening(history: History) -> Generator[None]:
    """What the code of the nodes logs goes into the history, and nowhere else, as long as the block lasts."""
    logger = logging.getLogger("artemis")
    handler = HistoryHandler(history)
    before = logger.level, logger.propagate, list(logger.handlers)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        level, logger.propagate, logger.handlers[:] = before
        logger.setLevel(level)
