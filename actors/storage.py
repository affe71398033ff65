"""What a node says when its disk takes nothing, and who looks after the files while it runs.

A file that is locked or whose disk is full is no reason to end a node that can answer without it. Whoever writes keeps
what could not be stored and tries again; here it is noted, so that status, metrics and log say so.
"""

import logging
from typing import Final, Protocol

import trio

from artemis.store.sqlite import DatabaseUnavailable

from .blocking import RunBlocking, in_thread
from .clock import Clock

logger = logging.getLogger(__name__)

RETRY_S: Final = 1.0
"""Between two attempts to store what could not be stored."""

REMINDER_S: Final = 60.0
"""How often the log repeats that a file cannot be written."""

TIDY_S: Final = 10.0
"""How often the files are looked after."""


class Storage:
    """Which files cannot be written now. One for a node; those who write to the files report."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._problems: dict[str, str] = {}
        self._since_s: dict[str, float] = {}
        self._said_s: dict[str, float] = {}
        self.failures = 0
        """Attempts that failed since the start."""

    @property
    def problems(self) -> list[str]:
        """For people: each names the file, the cause, and what to do. Empty when all is well."""
        return list(self._problems.values())

    def failed(self, writer: str, problem: DatabaseUnavailable) -> None:
        """`writer` could not store something, keeps it, and will try again."""
        self.failures += 1
        now_s = self._clock.now_s()
        self._problems[writer] = str(problem)
        self._since_s.setdefault(writer, now_s)
        if now_s - self._said_s.get(writer, now_s - REMINDER_S) >= REMINDER_S:
            self._said_s[writer] = now_s
            logger.error("%s: nothing can be stored, and is tried again: %s", writer, problem)

    def stored(self, writer: str) -> None:
        """`writer` stored something."""
        if writer in self._problems:
            seconds = self._clock.now_s() - self._since_s.pop(writer)
            del self._problems[writer], self._said_s[writer]
            logger.warning("%s: stored again, after %.1f s", writer, seconds)


class TidyFile(Protocol):
    """A file that wants to be looked after; `DatabaseProblem` when it is gone."""

    def tidy(self) -> None: ...


class StorageKeeper:
    """Looks after files, written or not. Run it without restarts: without its files the node must end."""

    def __init__(self, *files: TidyFile, run_blocking: RunBlocking = in_thread, interval_s: float = TIDY_S) -> None:
        self._files = files
        self._run_blocking = run_blocking
        self._interval_s = interval_s

    async def run(self) -> None:
        while True:
            await trio.sleep(self._interval_s)
            for file in self._files:
                try:
                    await self._run_blocking(file.tidy)
                except DatabaseUnavailable:
                    continue  # whoever writes to it says so
