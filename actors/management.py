"""The management writer: takes operators' writes one after the other, and answers each when it is on disk.

A write is a plan for a draft of the tables. Whatever has arrived while the last transaction was under way is planned in
order, stored in one transaction, and only then shown: first the tables change, then subscribers and peers are told,
then the callers are answered. A plan that is refused leaves no trace and costs the others nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
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
from artemis.store.sqlite import DatabaseUnavailable

from .blocking import RunBlocking, in_thread
from .clock import Clock
from .effects import Effects
from .mailbox import Mailbox
from .storage import RETRY_S, Storage
from .unstored import Unstored

MAILBOX_BOUND: Final = 1024
"""Writes that may wait. One more is refused with Overloaded."""

BATCH_MAX: Final = 128
"""Writes planned for one transaction. The others wait for the next one."""

PATIENCE_S: Final = 5.0
"""How long a write waits for a disk that takes nothing."""

NEWS_WAIT_S: Final = 1.0
"""How long a peer's news holds its link up until it is stored."""

NAME: Final = "management"
"""What this writer stores, for people."""

T = TypeVar("T")


class Journal(Protocol):
    """Where records and audits survive."""

    def write(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        """All of it in one transaction, durable on return."""
        ...


class Overloaded(Exception):
    """More writes wait than the mailbox holds: nothing was written, try again later."""


class Stopped(Exception):
    """The writer cannot store the write: it has ended, or ends, and whether it was stored is unknown."""


class Unavailable(Stopped):
    """The disk takes nothing now: the write was not stored, and nothing has changed. The text says why."""


class _Pending(Generic[T]):
    """A write whose caller waits."""

    __slots__ = ("_done", "_error", "_result", "plan", "until_s")

    def __init__(self, plan: Plan[T], *, until_s: float) -> None:
        self.plan = plan
        self.until_s = until_s
        """When its caller has waited long enough."""
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
    taken: bool = False
    """It is stored, or will be."""
    done: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True)
class ManagementStatistics:
    writes: int = 0
    refused: int = 0
    transactions: int = 0
    waiting: int = 0
    overloaded: int = 0


class ManagementWriter:
    """Run it without restarts: when the journal is damaged or gone the node ends, for it cannot keep what it promises.

    When it is locked, or its disk full, writes wait for `patience_s` and are then refused, with nothing changed. What
    peers brought is in the tables already: it is kept until it can be stored (unstored.py).
    """

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
        storage: Storage | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._storage = storage or Storage(clock)
        self._patience_s = patience_s
        self._left = Unstored(audits_max=management.audit.limits.count)
        self._stuck = False
        """The disk takes nothing, or took too long: nobody waits for what peers brought to be stored."""
        self._management = management
        self._registry = registry
        self._effects = effects
        self._journal = journal
        self._clock = clock
        self._run_blocking = run_blocking
        self._mailbox: Mailbox[_Pending[Any] | _News] = Mailbox("management", mailbox_bound)
        self._in_hand: list[_Pending[Any] | _News] = []
        self._ended = False
        self._over = trio.Event()
        self._statistics = ManagementStatistics()

    async def submit(self, plan: Plan[T]) -> T:
        """Carry out a write; returns what the plan returned, once it is durable and in effect.

        Raises Refused when the plan refuses, Overloaded when too many wait, Unavailable when the disk takes nothing,
        and Stopped when the writer ends first.
        """
        if self._ended:
            raise Stopped("the node takes no more writes")
        pending = _Pending(plan, until_s=trio.current_time() + self._patience_s)
        if not self._mailbox.post(pending):
            self._statistics.overloaded += 1
            raise Overloaded("too many writes are waiting")
        return await pending.outcome()

    async def store(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        """Make durable what a peer brought and the tables hold already. Raises Stopped when the writer ends first.

        Returns without having stored it when that takes long: the link it came over must not stand still for a disk.
        """
        if self._ended:
            raise Stopped("the node stores nothing more")
        if self._stuck:
            self._left.add(records, audits)
            await trio.lowlevel.checkpoint()
            return
        news = _News(records, audits)
        try:
            # The tables show it already: a link that ends at this moment must not keep it from the disk. The writer
            # makes room, or ends and closes the mailbox, so the shield is left in any case.
            if not self._mailbox.post(news):
                with trio.CancelScope(shield=True):
                    await self._mailbox.send(news)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise Stopped("the node stores nothing more") from None
        with trio.move_on_after(NEWS_WAIT_S):
            await news.done.wait()
            if not news.taken:
                raise Stopped("the writer ended before this was stored")
            return
        self._stuck = True

    def close(self) -> None:
        """Take no more writes. Those that wait are carried out, then `run` returns."""
        self._mailbox.close()

    async def flush(self) -> None:
        """Close, and wait until everything is stored. The caller bounds it."""
        self.close()
        await self._over.wait()

    def unstored(self) -> str:
        """For people: what peers brought and is not on this disk; empty when all of it is."""
        return str(self._left)

    def statistics(self) -> ManagementStatistics:
        self._statistics.waiting = len(self._mailbox)
        return self._statistics

    async def run(self) -> None:
        """Work until closed. Raises what the journal raises."""
        try:
            while True:
                first = await self._next()
                if first is None:
                    break
                self._in_hand = [first, *self._more()]
                await self._carry_out(self._in_hand)
                self._in_hand = []
            while self._left:
                await self._store_left()
                if self._left:
                    await trio.sleep(RETRY_S)
        finally:
            self._end()

    async def _next(self) -> "_Pending[Any] | _News | None":
        """The next message; None when there will be none. Meanwhile what was left is stored, as soon as it can be."""
        while True:
            with trio.move_on_after(RETRY_S if self._left or self._stuck else float("inf")):
                try:
                    return await self._mailbox.receive()
                except trio.EndOfChannel:
                    return None
            await self._store_left()

    async def _store_left(self) -> None:
        """Try once to store what is left. When that fails it stays, and the next attempt comes after a pause."""
        with suppress(DatabaseUnavailable):
            await self._write([], [])

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
        for item in news:
            self._left.add(item.records, item.audits)
            item.taken = True
        try:
            await self._write_patiently(records, audits, until_s=min((write.until_s for write in planned), default=0.0))
        except DatabaseUnavailable as problem:
            for write in planned:
                write.fail(Unavailable(f"nothing was changed, for it cannot be stored: {problem}"))
            for item in news:
                item.done.set()
            return
        applied = self._management.apply(records)
        self._management.audit.add(audits)
        stored = set(records)
        # What a peer brought meanwhile may be covered by a range tombstone among these, or cover some of these.
        self._left.add([record for record in applied.records if record not in stored], [])
        if self._left:
            await self._store_left()
        await self._announce(applied.effect)
        if records or audits:
            self._effects.recorded(records, audits)
        self._statistics.writes += len(planned)
        for write in planned:
            write.succeed()
        for item in news:
            item.done.set()

    async def _announce(self, effect: Effect) -> None:
        """Tell subscribers; a great many instances at once are told in steps, and others run in between."""
        told = False
        for changes in announcements(effect, self._registry, now_ms=self._clock.now_ms()):
            if told:
                await trio.lowlevel.checkpoint()
            self._effects.reviewed(changes)
            told = bool(changes)

    async def _write_patiently(self, records: list[Record], audits: list[Audit], *, until_s: float) -> None:
        """Store these and what was left, with attempts until it is too late for those who wait."""
        while True:
            try:
                if records or audits or self._left:
                    await self._write(records, audits)
            except DatabaseUnavailable:
                if trio.current_time() >= until_s:
                    raise
                await trio.sleep(min(RETRY_S, max(0.0, until_s - trio.current_time())))
            else:
                return

    async def _write(self, records: list[Record], audits: list[Audit]) -> None:
        """Store these and what was left, in one transaction."""
        left_records, left_audits = self._left.all()
        write = partial(self._journal.write, left_records + records, left_audits + audits)
        try:
            await self._run_blocking(write)
        except DatabaseUnavailable as problem:
            self._stuck = True
            self._storage.failed(NAME, problem)
            raise
        self._stuck = False
        self._storage.stored(NAME)
        self._left.stored(left_records, left_audits)
        self._statistics.transactions += 1

    def _end(self) -> None:
        """Nobody waits for ever: those whose turn did not come are told."""
        self._ended = True
        self._over.set()
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
