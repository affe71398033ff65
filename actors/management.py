"""The management writer: takes operators' writes one after the other, and answers each when it is on disk.

A write is a plan for a draft of the tables. Whatever has arrived while the last transaction was under way is planned in
order, stored in one transaction, and only then shown: first the tables change, then subscribers and peers are told,
then the callers are answered. A plan that is refused leaves no trace and costs the others nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import trio

from artemis.store.management.draft import Draft, Plan
from artemis.store.management.effects import Effect, announcements
from artemis.store.management.errors import Refused
from artemis.store.management.management import Management
from artemis.store.management.records import Audit, Record
from artemis.store.registry import Registry
from artemis.store.versions import MILLISECOND_SHIFT

from .blocking import RunBlocking, in_thread
from .clock import Clock
from .effects import Effects
from .mailbox import Mailbox

MAILBOX_BOUND: Final = 1024
"""Writes that may wait. One more is refused with Overloaded."""

BATCH_MAX: Final = 128
"""Writes planned for one transaction. The others wait for the next one."""

RETENTION_S: Final = 60.0
"""How often what is too old is forgotten."""

PRUNE_ROWS: Final = 1000
"""Rows that one step of retention deletes from the disk."""

T = TypeVar("T")


class Journal(Protocol):
    """Where records and audits survive."""

    def write(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        """All of it in one transaction, durable on return."""
        ...

    def forget_audits(self, *, before_ms: int, keep: int, limit: int = PRUNE_ROWS) -> int:
        """Delete old audits, at most `limit`; returns how many."""
        ...

    def forget_tombstones(self, *, before_version: int) -> int:
        """Delete old tombstones; returns how many."""
        ...


class Overloaded(Exception):
    """More writes wait than the mailbox holds: nothing was written, try again later."""


class Stopped(Exception):
    """The writer has ended, or ends: whether the write was stored is unknown."""


class _Pending(Generic[T]):
    """A write whose caller waits."""

    __slots__ = ("_done", "_error", "_result", "plan")

    def __init__(self, plan: Plan[T]) -> None:
        self.plan = plan
        self._done = trio.Event()
        self._error: Exception | None = None
        self._result: T | None = None

    def attempt(self, draft: Draft) -> bool:
        """Plan the write. False when it was refused, and its caller told so."""
        try:
            self._result = draft.attempt(self.plan)
        except Refused as refusal:
            self.fail(refusal)
            return False
        return True

    def fail(self, error: Exception) -> None:
        """Tell the caller, unless it has its answer already."""
        if not self._done.is_set():
            self._error = error
            self._done.set()

    def succeed(self) -> None:
        self._done.set()

    async def outcome(self) -> T:
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


@dataclass(slots=True, eq=False)
class _News:
    """What came from a peer: it is in the tables already, and has to reach the disk."""

    records: Sequence[Record]
    audits: Sequence[Audit]
    stored: bool = False
    done: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True)
class ManagementStatistics:
    writes: int = 0
    refused: int = 0
    transactions: int = 0
    waiting: int = 0
    overloaded: int = 0


class ManagementWriter:
    """Run it without restarts: when a transaction fails the node ends, for it cannot keep what it promises."""

    def __init__(
        self,
        management: Management,
        registry: Registry,
        effects: Effects,
        journal: Journal,
        clock: Clock,
        *,
        run_blocking: RunBlocking = in_thread,
        mailbox_bound: int = MAILBOX_BOUND,
    ) -> None:
        self._management = management
        self._registry = registry
        self._effects = effects
        self._journal = journal
        self._clock = clock
        self._run_blocking = run_blocking
        self._mailbox: Mailbox[_Pending[Any] | _News] = Mailbox("management", mailbox_bound)
        self._in_hand: list[_Pending[Any] | _News] = []
        self._ended = False
        self._statistics = ManagementStatistics()

    async def submit(self, plan: Plan[T]) -> T:
        """Carry out a write; returns what the plan returned, once it is durable and in effect.

        Raises Refused when the plan refuses, Overloaded when too many wait, and Stopped when the writer ends first.
        """
        if self._ended:
            raise Stopped("the node takes no more writes")
        pending = _Pending(plan)
        if not self._mailbox.post(pending):
            self._statistics.overloaded += 1
            raise Overloaded("too many writes are waiting")
        return await pending.outcome()

    async def store(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        """Make durable what a peer brought and the tables hold already. Raises Stopped when the writer ends first."""
        if self._ended:
            raise Stopped("the node stores nothing more")
        news = _News(records, audits)
        try:
            # The tables show it already: a link that ends at this moment must not keep it from the disk. The writer
            # makes room, or ends and closes the mailbox, so the shield is left in any case.
            if not self._mailbox.post(news):
                with trio.CancelScope(shield=True):
                    await self._mailbox.send(news)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise Stopped("the node stores nothing more") from None
        await news.done.wait()
        if not news.stored:
            raise Stopped("the writer ended before this was stored")

    def close(self) -> None:
        """Take no more writes. Those that wait are carried out, then `run` returns."""
        self._mailbox.close()

    def statistics(self) -> ManagementStatistics:
        self._statistics.waiting = len(self._mailbox)
        return self._statistics

    async def run(self) -> None:
        """Work until closed. Raises what the journal raises."""
        try:
            async for first in self._mailbox:
                self._in_hand = [first, *self._more()]
                await self._carry_out(self._in_hand)
                self._in_hand = []
        finally:
            self._end()

    def _more(self) -> list[_Pending[Any] | _News]:
        """What else has arrived, as far as it fits in one transaction."""
        found: list[_Pending[Any] | _News] = []
        while len(found) < BATCH_MAX - 1:
            try:
                found.append(self._mailbox.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        return found

    async def _carry_out(self, batch: list[_Pending[Any] | _News]) -> None:
        """Plan, store, show, tell, answer: in this order."""
        now_ms = self._clock.now_ms()
        draft = self._management.draft(now_ms=self._clock.stamp_ms())
        writes = [message for message in batch if isinstance(message, _Pending)]
        planned = [write for write in writes if write.attempt(draft)]
        self._statistics.refused += len(writes) - len(planned)
        records, audits = draft.records(), self._management.seal(draft.audits, now_ms=now_ms)
        news = [message for message in batch if isinstance(message, _News)]
        await self._write(
            [record for item in news for record in item.records] + records,
            [audit for item in news for audit in item.audits] + audits,
        )
        applied = self._management.apply(records)
        self._management.audit.add(audits)
        stored = set(records)
        # What a peer brought meanwhile may be covered by a range tombstone among these, or cover some of these.
        await self._write([record for record in applied.records if record not in stored], [])
        await self._announce(applied.effect)
        if records or audits:
            self._effects.recorded(records, audits)
        self._statistics.writes += len(planned)
        for write in planned:
            write.succeed()
        for item in news:
            item.stored = True
            item.done.set()

    async def _announce(self, effect: Effect) -> None:
        """Tell subscribers; a great many instances at once are told in steps, and others run in between."""
        told = False
        for changes in announcements(effect, self._registry, now_ms=self._clock.now_ms()):
            if told:
                await trio.lowlevel.checkpoint()
            self._effects.reviewed(changes)
            told = bool(changes)

    async def _write(self, records: list[Record], audits: list[Audit]) -> None:
        if records or audits:
            await self._run_blocking(partial(self._journal.write, records, audits))
            self._statistics.transactions += 1

    def _end(self) -> None:
        """Nobody waits for ever: those whose turn did not come are told."""
        self._ended = True
        self._mailbox.close()
        for message in [*self._in_hand, *self._more_of_all()]:
            if isinstance(message, _Pending):
                message.fail(Stopped("the node ended before the write was stored"))
            else:
                message.done.set()

    def _more_of_all(self) -> list[_Pending[Any] | _News]:
        left: list[_Pending[Any] | _News] = []
        while more := self._more():
            left += more
        return left


class RecordKeeper:
    """Forgets what is too old, in memory and on disk, a little at a time."""

    def __init__(
        self,
        management: Management,
        journal: Journal,
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
        await self._run_blocking(forget_tombstones)
        while await self._run_blocking(forget_audits) >= PRUNE_ROWS:
            pass
