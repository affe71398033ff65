"""Anti-entropy: one round with one peer makes the tables of both equal, as far as they stand still.

Whoever starts the round drives it. It tells its digests; hears which buckets differ; hears the versions in those;
asks for what the peer has newer, and offers what it has newer itself. A few questions are under way at a time, each
with one bounded answer, so neither side ever holds more than a few frames.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from .clock import Clock
from .conversation import Conversation
from .exchange import Exchange
from .frames import AskAudits, Differing, Digests, Inspect, Offer, OfferAudits, Versions, Want
from .framing import BadFrame
from .members import SOURCES
from .ports import Replica
from .tables import Columns, Tables, advance

PIPELINE: Final = 4
"""Questions of one round under way at a time."""
KEYS_PER_WANT: Final = 250
KEYS_PER_BARE_WANT: Final = 1000
"""Of rows that are asked for without their values."""
ROWS_PER_GROUP: Final = 200_000
"""Versions compared in one go, about: it bounds the memory of a round."""
COMPARE_SLICE: Final = 1000
TURN_S: Final = 10.0
"""How long a round waits for another one of this node before it exchanges rows at the same time."""


@dataclass(slots=True)
class Round:
    """What one round did."""

    differing: int = 0
    """Buckets that were not the same."""
    pulled: int = 0
    """Rows asked for."""
    pushed: int = 0
    """Rows offered."""
    abandoned: int = 0
    """Rows dropped on the word of the peer, after a long absence."""
    audits_pulled: int = 0
    audits_pushed: int = 0


class Turn:
    """One bulk exchange at a time: a node that joins does not fetch everything from every peer at once."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        with trio.move_on_after(TURN_S):
            await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        if self._lock.locked() and self._lock.statistics().owner is trio.lowlevel.current_task():
            self._lock.release()


class Reconciler:
    """Rounds of anti-entropy over a conversation, one after another."""

    def __init__(self, tables: Tables, *, clock: Clock, rng: random.Random, turn: Turn) -> None:
        self._tables = tables
        self._clock = clock
        self._rng = rng
        self._turn = turn

    async def round(self, conversation: Conversation) -> Round:
        """Make all tables equal. Raises LinkLost."""
        report = Round()
        for replica in self._tables.replicas.values():
            began_s, began_ms = self._clock.now_s(), self._clock.now_ms()
            await self._ask_first(conversation, replica, report)
            differing = await self._compare_digests(conversation, replica)
            if differing.buckets:
                report.differing += len(differing.buckets)
                async with self._turn:
                    for buckets in self._groups(differing, replica.count):
                        await self._exchange(conversation, replica, buckets, report)
            peer, word = conversation.peer.node_id, conversation.word
            memory_ms = word.memory_ms.get(replica.name, 0) if word.status in SOURCES else 0
            replica.completed(peer, began_s=began_s, began_ms=began_ms, memory_ms=memory_ms)
        report.audits_pulled, report.audits_pushed = await exchange_audits(conversation, self._tables)
        return report

    async def _ask_first(self, conversation: Conversation, replica: Replica, report: Round) -> None:
        """Before anything is offered: what does the peer know of that of which this node is not certain?"""
        if conversation.word.status not in SOURCES:
            return
        absence = conversation.absence(replica.name)
        keys: list[str] = []
        for key in replica.uncertain(absence):
            if key is None:
                await trio.lowlevel.checkpoint()
            else:
                keys.append(key)
        for start in range(0, len(keys), KEYS_PER_BARE_WANT):
            asked = keys[start : start + KEYS_PER_BARE_WANT]
            exchange = await conversation.begin(partial(Want, replica.name, asked, bare=True))
            await conversation.finish(exchange)
            if absence is not None:
                known = set(exchange.keys)
                unknown = [key for key in asked if key not in known]
                report.abandoned += await replica.abandon(unknown, absence, now_ms=self._clock.now_ms())

    async def _compare_digests(self, conversation: Conversation, replica: Replica) -> Differing:
        answer = await conversation.ask(lambda request: Digests(replica.name, replica.digests(), request))
        match answer:
            case [Differing() as differing]:
                return differing
            case _:
                raise BadFrame("expected one answer to digests")

    def _groups(self, differing: Differing, own_count: int) -> list[list[int]]:
        """The differing buckets, in parts that are not too large, in an order of our own.

        Two nodes that ask a third at the same time, or a node that asks two, then begin with different parts.
        """
        buckets = list(differing.buckets)
        self._rng.shuffle(buckets)
        rows_per_bucket = max(1, max(differing.count, own_count) // 256)
        size = max(1, ROWS_PER_GROUP // rows_per_bucket)
        return [buckets[start : start + size] for start in range(0, len(buckets), size)]

    async def _exchange(
        self, conversation: Conversation, replica: Replica, buckets: Sequence[int], report: Round
    ) -> None:
        parts = await conversation.ask(lambda request: Inspect(replica.name, list(buckets), request))
        theirs: dict[str, int] = {}
        for part in parts:
            if not isinstance(part, Versions):
                raise BadFrame("expected versions")
            theirs.update(zip(part.keys, part.versions, strict=True))
            await trio.lowlevel.checkpoint()
        report.pulled += await self._pull(conversation, replica, theirs)
        report.pushed += await self._push(conversation, replica, buckets, theirs)

    async def _pull(self, conversation: Conversation, replica: Replica, theirs: dict[str, int]) -> int:
        """Ask for what the peer has newer."""
        under_way: deque[Exchange] = deque()
        pulled = 0
        keys: list[str] = []
        for number, (key, version) in enumerate(theirs.items(), start=1):
            # Looked up only now: another round, or a frame of news, may have brought it meanwhile.
            if version > replica.version_of(key):
                keys.append(key)
            if number % COMPARE_SLICE == 0:
                await trio.lowlevel.checkpoint()
            if len(keys) == KEYS_PER_WANT or (number == len(theirs) and keys):
                wanted, keys = keys, []
                pulled += len(wanted)
                await self._make_room(conversation, under_way)
                under_way.append(await conversation.begin(_want(replica.name, wanted)))
        while under_way:
            await conversation.finish(under_way.popleft())
        return pulled

    async def _push(
        self, conversation: Conversation, replica: Replica, buckets: Sequence[int], theirs: dict[str, int]
    ) -> int:
        """Offer what we have newer."""
        newer: list[str] = []
        absence = conversation.absence(replica.name)
        for row in self._tables.versions(replica.name, buckets, absence):
            if row is None:
                await trio.lowlevel.checkpoint()
            elif row[1] > theirs.get(row[0], 0):
                newer.append(row[0])
        newer = await self._offered(conversation, replica, newer, theirs)
        under_way: deque[Exchange] = deque()
        for columns in self._tables.chunks(replica.name, newer):
            if columns is None:
                await trio.lowlevel.checkpoint()
                continue
            await self._make_room(conversation, under_way)
            under_way.append(await conversation.begin(_offer(replica.name, columns)))
        while under_way:
            await conversation.finish(under_way.popleft())
        return len(newer)

    async def _offered(
        self, conversation: Conversation, replica: Replica, newer: Sequence[str], theirs: dict[str, int]
    ) -> list[str]:
        """Those of our newer rows that are not held here out of mere doubt."""
        offered: list[str] = []
        for start in range(0, len(newer), COMPARE_SLICE):
            part = newer[start : start + COMPARE_SLICE]
            offered += self._tables.offered(replica.name, part, held=theirs, up_since_s=conversation.up_since_s)
            await trio.lowlevel.checkpoint()
        return offered

    async def _make_room(self, conversation: Conversation, under_way: deque[Exchange]) -> None:
        while len(under_way) >= PIPELINE:
            await conversation.finish(under_way.popleft())


async def exchange_audits(conversation: Conversation, tables: Tables) -> tuple[int, int]:
    """Make the audit logs equal; rows that came and rows that went. Raises LinkLost."""
    audits = tables.audits
    if audits is None:
        return 0, 0
    exchange = await conversation.begin(lambda request: AskAudits(dict(audits.vector()), request))
    await conversation.finish(exchange)
    return exchange.rows, await push_audits(conversation, tables)


async def push_audits(conversation: Conversation, tables: Tables, *, origin: int | None = None) -> int:
    """Send the rows of the audit log that the peer lacks, of one origin or of all. Raises LinkLost."""
    theirs = conversation.audit_vector or {}
    pushed = 0
    for rows in tables.audit_chunks(theirs, origin=origin):
        await conversation.ask(partial(OfferAudits, rows))
        theirs = conversation.audit_vector = dict(theirs)
        advance(theirs, rows)
        pushed += len(rows)
    return pushed


def _want(table: str, keys: list[str]) -> Callable[[int], Want]:
    return lambda request: Want(table, keys, request)


def _offer(table: str, columns: Columns) -> Callable[[int], Offer]:
    return lambda request: Offer(table, *columns, request=request)
