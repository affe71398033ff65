"""The persistence writer: keeps the snapshot of the registry on disk up to date, behind everybody's back.

The registry marks what it changed and goes on; the writer stores the state that a marked entry has when its turn
comes. So many changes of one instance cost one row, and a write that fails or is late loses no news: the newest is
in the table. Order needs no care but this: when an identity was dropped and then registered again, the dropped entry
was marked before the new one was made, entries are taken in the order in which they were marked, and a slice
deletes before it stores.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import trio

from artemis.store.journal import version_bytes
from artemis.store.leases import Entry
from artemis.store.snapshot import Snapshot
from artemis.store.sqlite import DatabaseUnavailable, Value

from .blocking import RunBlocking, in_thread
from .clock import Clock
from .storage import RETRY_S, Storage

SLICE_ENTRIES: Final = 512
"""Entries stored in one transaction. Their rows are made on the event loop in one go, in about half a millisecond."""

GATHER_S: Final = 0.05
"""How long the first change waits for company."""

REST_FACTOR: Final = 3.0
"""After a slice the writer rests this many times as long as it computed: it takes a quarter of a core at most."""

UNSTORED_MAX: Final = 1_000_000
"""Marked entries, while the disk takes nothing, beyond which those that were dropped meanwhile are forgotten."""

NAME: Final = "instances"
"""What this writer stores, for people."""


@dataclass(slots=True)
class WriterStatistics:
    """What the writer has done since the node started."""

    depth: int = 0
    """Entries whose stored state is out of date: at most all that the registry holds, and those it dropped since."""
    rows: int = 0
    slices: int = 0
    last_write_s: float = 0.0
    longest_write_s: float = 0.0


class PersistenceWriter:
    """Run it without restarts: when the snapshot is damaged or gone the node ends; `DatabaseProblem` tells why.

    When it is locked, or its disk full, what is marked stays marked and is tried again.
    """

    def __init__(
        self, snapshot: Snapshot, clock: Clock, *, run_blocking: RunBlocking = in_thread, storage: Storage | None = None
    ) -> None:
        self._snapshot = snapshot
        self._storage = storage or Storage(clock)
        self._clock = clock
        self._run_blocking = run_blocking
        self._dirty: dict[Entry, None] = {}
        """In the order of marking. A dictionary because an entry marked twice is stored once."""
        self._marked = trio.Event()
        self._turn = trio.Lock()
        self._statistics = WriterStatistics()

    def mark(self, entries: Iterable[Entry]) -> None:
        """What is stored of these entries is out of date. Never waits."""
        self._dirty.update(dict.fromkeys(entries))
        if self._dirty and not self._marked.is_set():
            self._marked.set()

    async def run(self) -> None:
        while True:
            await self._marked.wait()
            if len(self._dirty) < SLICE_ENTRIES:
                await trio.sleep(GATHER_S)
            async with self._turn:
                rest_s = await self._try_slice()
            await trio.sleep(rest_s)

    async def flush(self) -> None:
        """Store everything that is marked, without pauses; at shutdown, when nothing is marked any more.

        Does not return while the disk takes nothing: the caller bounds it.
        """
        while True:
            async with self._turn:  # so that a slice in flight has landed when nothing is found to be marked
                if not self._dirty:
                    return
                rest_s = await self._try_slice()
            if self._storage.problems:
                await trio.sleep(rest_s)

    def statistics(self) -> WriterStatistics:
        """The numbers as they are now."""
        self._statistics.depth = len(self._dirty)
        return self._statistics

    async def _try_slice(self) -> float:
        """Store a slice, if the disk takes it. Returns how long to rest."""
        try:
            busy_s = await self._write_slice()
        except DatabaseUnavailable as problem:
            self._storage.failed(NAME, problem)
            self._forget_dropped()
            return RETRY_S
        self._storage.stored(NAME)
        return REST_FACTOR * busy_s

    def _forget_dropped(self) -> None:
        """While nothing can be stored, what is marked must not grow for ever: of entries that the registry has dropped
        no more than a bound are remembered. The rows of others stay, and live for one lease of grace after a restart.
        """
        if len(self._dirty) > UNSTORED_MAX:
            self._dirty = {entry: None for entry in self._dirty if not entry.gone}

    async def _write_slice(self) -> float:
        """Store the entries that have waited longest. Returns the seconds of processor time that took."""
        assert self._turn.locked()
        taken = list(islice(self._dirty, SLICE_ENTRIES))
        for entry in taken:
            del self._dirty[entry]
        if not self._dirty:
            self._marked = trio.Event()
        try:
            return await self._store(taken)
        except BaseException:
            self._dirty = dict.fromkeys(taken) | self._dirty
            self._marked.set()
            raise

    async def _store(self, entries: list[Entry]) -> float:
        gone = [entry.full_key for entry in entries if entry.gone]
        values: list[Value] = []
        now_ms = self._clock.now_ms()
        for entry in entries:
            if not entry.gone:
                json = entry.json if entry.live else None
                values += (entry.full_key, version_bytes(entry.version), json, now_ms)
        started_s = time.perf_counter()
        busy_s = await self._run_blocking(lambda: _write(self._snapshot, gone, values))
        seconds = time.perf_counter() - started_s
        statistics = self._statistics
        statistics.rows += len(entries)
        statistics.slices += 1
        statistics.last_write_s = seconds
        statistics.longest_write_s = max(statistics.longest_write_s, seconds)
        return busy_s


def _write(snapshot: Snapshot, gone: list[str], values: list[Value]) -> float:
    """Write, in whatever thread this is; returns the processor time of that thread, waiting not counted."""
    started_s = time.thread_time()
    snapshot.write(gone, values)
    return time.thread_time() - started_s
