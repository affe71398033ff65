"""The note keeper: writes down how long this node has run, and when it and its peers last held the same.

A restart must know both: how much of their lease of grace instances have had, and whether tombstones of peers still
remember everything that was removed meanwhile. A note that is late makes a node more careful, and nothing else.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import trio

from artemis.store.contacts import Contacts
from artemis.store.snapshot import NOTE_MS
from artemis.store.sqlite import DatabaseProblem

from .blocking import RunBlocking, in_thread
from .clock import Clock

RECORDS_S: Final = 60.0
"""How often contacts about records are noted while records stay the same: each note waits for the disk."""


class InstanceNotes(Protocol):
    """The snapshot of the registry."""

    def note(self, *, ran_ms: int, alive_ms: int, contacts: Mapping[str, int]) -> None: ...


class RecordNotes(Protocol):
    """The journal of management."""

    def note(self, *, since_ms: int, contacts: Mapping[str, int]) -> None: ...


class Versioned(Protocol):
    """The records: whether they have changed."""

    def digests(self) -> list[int]: ...


class NoteKeeper:
    """Writes once a second. What it cannot write now it writes later; the writers tell what is wrong with the disk."""

    def __init__(
        self,
        *,
        instances: Contacts,
        records: Contacts,
        tables: Versioned,
        snapshot: InstanceNotes,
        journal: RecordNotes,
        clock: Clock,
        run_blocking: RunBlocking = in_thread,
    ) -> None:
        self._instances = instances
        self._records = records
        self._tables = tables
        self._snapshot = snapshot
        self._journal = journal
        self._clock = clock
        self._run_blocking = run_blocking
        self._since_s = clock.now_s()
        self._digests: list[int] = []
        self._noted: dict[str, int] | None = None
        self._noted_s = -RECORDS_S

    async def run(self) -> None:
        while True:
            try:
                await self.note()
            except DatabaseProblem:
                self._noted_s = -RECORDS_S
            await trio.sleep(NOTE_MS / 1000)

    async def note(self) -> None:
        """Write everything down now. Raises DatabaseProblem."""
        now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
        ran_ms = int((now_s - self._since_s) * 1000)
        instances = self._instances.stored()
        await self._run_blocking(lambda: self._snapshot.note(ran_ms=ran_ms, alive_ms=now_ms, contacts=instances))
        records, digests = self._records.stored(), self._tables.digests()
        if records == self._noted or (digests == self._digests and now_s - self._noted_s < RECORDS_S):
            return
        since_ms = now_ms - self._records.remembers_ms(now_s=now_s)
        await self._run_blocking(lambda: self._journal.note(since_ms=since_ms, contacts=records))
        self._digests, self._noted, self._noted_s = digests, records, now_s
