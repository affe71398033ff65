"""The record keeper: forgets what is too old."""

from functools import partial
from typing import Final, Protocol

import trio

from artemis.store.management.management import Management
from artemis.store.sqlite import DatabaseUnavailable
from artemis.store.versions import MILLISECOND_SHIFT

from .blocking import RunBlocking, in_thread
from .clock import Clock

RETENTION_S: Final = 60.0
"""How often what is too old is forgotten."""

PRUNE_ROWS: Final = 1000
"""Rows that one step of retention deletes from the disk."""


class Retention(Protocol):
    """Where records and audits are deleted."""

    def forget_audits(self, *, before_ms: int, keep: int, limit: int = PRUNE_ROWS) -> int:
        """Delete old audits, at most `limit`; returns how many."""
        ...

    def forget_tombstones(self, *, before_version: int) -> int:
        """Delete old tombstones; returns how many."""
        ...


class RecordKeeper:
    """Forgets what is too old, in memory and on disk, a little at a time."""

    def __init__(
        self,
        management: Management,
        journal: Retention,
        clock: Clock,
        *,
        run_blocking: RunBlocking = in_thread,
        interval_s: float = RETENTION_S,
    ) -> None:
        self._management = management
        self._journal = journal
        self._clock = clock
        self._run_blocking = run_blocking
        self._interval_s = interval_s

    async def run(self) -> None:
        while True:
            await self.tidy()
            await trio.sleep(self._interval_s)

    async def tidy(self) -> None:
        """Forget what is too old now."""
        now_ms = self._clock.now_ms()
        management, limits = self._management, self._management.audit.limits
        management.forget(now_ms=now_ms)
        before_version = now_ms - management.tombstone_ttl_ms << MILLISECOND_SHIFT
        forget_tombstones = partial(self._journal.forget_tombstones, before_version=max(0, before_version))
        forget_audits = partial(
            self._journal.forget_audits, before_ms=now_ms - limits.age_ms, keep=limits.count, limit=PRUNE_ROWS
        )
        try:
            await self._run_blocking(forget_tombstones)
            while await self._run_blocking(forget_audits) >= PRUNE_ROWS:
                pass
        except DatabaseUnavailable:
            return  # the management writer says so; the next time
