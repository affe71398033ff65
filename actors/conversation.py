"""A conversation: one authenticated link to a peer, both ways, whoever dialled it.

Four tasks. The *reader* takes frames in order and applies them; it never sends, so two nodes cannot wait for each
other's buffers. The *answerer* sends acknowledgements, wants and answers. The *pulse* pings, and ends a link whose
pings are not answered: a half-open link looks healthy to everything else. Everybody else sends and asks from outside.
"""

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, Protocol

import trio

from artemis.store.contacts import Absence

from .clock import Clock
from .cluster_settings import LinkSettings
from .exchange import Exchange, LinkStatistics
from .frames import (
    KEYS_MAX,
    Ack,
    Answer,
    AskAudits,
    Audits,
    Challenge,
    Differing,
    Digests,
    Done,
    Frame,
    Goodbye,
    Hello,
    Inspect,
    Offer,
    OfferAudits,
    Ping,
    Pong,
    Refuse,
    Renewals,
    Reply,
    States,
    Status,
    Versions,
    Want,
    Welcome,
    Word,
)
from .framing import BadFrame, decode, encode, kind_of
from .handshake import Acquaintance, Refused
from .ports import BadRow, Link, LinkLost
from .quoting import quoted
from .refusals import RefusalWarnings
from .tables import Tables

logger = logging.getLogger(__name__)

QUESTIONS_MAX: Final = 64
"""Questions of a peer that wait for their answer. One more is a protocol error: nobody asks so much at once."""
WANTED_MAX: Final = 100_000
"""Keys that wait to be asked for. Beyond, anti-entropy finds them."""
CLOSE_S: Final = 1.0

Question = Want | Digests | Inspect | AskAudits | Offer | OfferAudits | Ping


class Owner(Protocol):
    """Whom a conversation tells what it hears. None of these wait."""

    def own_word(self) -> Word: ...
    def heard(self, conversation: "Conversation") -> None: ...
    def told(self, conversation: "Conversation", word: Word) -> None: ...
    def acknowledged(self, conversation: "Conversation", sequence: int) -> None: ...
    def said_goodbye(self, conversation: "Conversation", reason: str) -> None: ...


class Conversation:
    """Runs until the link is lost or closed; then nothing can be sent any more."""

    def __init__(
        self,
        link: Link,
        peer: Acquaintance,
        *,
        dialled: bool,
        owner: Owner,
        tables: Tables,
        clock: Clock,
        settings: LinkSettings,
    ) -> None:
        self.peer = peer.identity
        self.drift_ms = peer.drift_ms
        """How far ahead of ours the other clock is, as of the last answer to a ping."""
        self.dialled = dialled
        self.word = peer.word
        """The newest word of the peer about itself."""
        self.since_s = clock.now_s()
        self.statistics = LinkStatistics()
        self.audit_vector: dict[int, int] | None = None
        """How much of the audit log the peer holds, as far as we know."""
        self.reason: str | None = None
        """Why it ended; None while it has not."""
        self.closed = trio.Event()
        self._link = link
        self._owner = owner
        self._tables = tables
        self._clock = clock
        self._settings = settings
        self._via = peer.identity.origin
        self._warnings = RefusalWarnings(peer.identity, clock)
        self._scope = trio.CancelScope()
        self._sending = trio.Lock()
        self._exchanges: dict[int, Exchange] = {}
        self._requests = 0
        self._questions: deque[Question] = deque()
        self._wanted: dict[str, None] = {}
        self._ack_due: int | None = None
        self._status_due = False
        self._something_to_answer = trio.Event()
        self._pings: dict[int, float] = {}
        self._ping_number = 0
        self._ping_due_s = self.since_s + settings.ping_s

    def __repr__(self) -> str:
        direction = "to" if self.dialled else "from"
        return f"<Conversation {direction} {self.peer} [{'open' if self.reason is None else self.reason}]>"

    # For everybody

    @property
    def up_since_s(self) -> float | None:
        """Since when this peer hears everything that we hear; None while it is not up."""
        return self.since_s if self.word.status == "up" else None

    async def run(self) -> None:
        """Converse until the link is lost or `close` is called."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for task in (self._read, self._answer, self._pulse):
                        nursery.start_soon(self._until_lost, task, name=f"{task.__name__} {self.peer.node_id}")
        finally:
            self._end("cancelled")
            with trio.move_on_after(CLOSE_S, shield=True):
                await self._link.aclose()

    def close(self, reason: str) -> None:
        """End the conversation now. Only the first reason counts."""
        self._end(reason)
        self._scope.cancel()

    async def send(self, frame: Frame) -> None:
        """Send one frame. Raises LinkLost, also when the peer does not read for too long."""
        data = encode(frame)
        async with self._sending:
            if self.reason is not None:
                raise LinkLost(self.reason)
            try:
                with trio.move_on_after(self._settings.send_s) as deadline:
                    await self._link.send(data)
            except LinkLost as lost:
                self.close(str(lost))
                raise
            if deadline.cancelled_caught:
                self.close(f"the peer did not read for {self._settings.send_s} s")
                raise LinkLost("too slow")
        self.statistics.sent(kind_of(frame), len(data))

    def announce(self) -> None:
        """Tell the peer soon how this node is."""
        self._status_due = True
        self._something_to_answer.set()

    def absence(self, table: str) -> Absence | None:
        """What it means for a table that the two nodes have been apart, if it was for long."""
        return self._tables.absence(table, self.peer.node_id, self.word)

    def late_s(self, now_s: float) -> float:
        """How long the oldest question about whether the peer is there has been without an answer."""
        return now_s - next(iter(self._pings.values()), now_s)

    async def begin(self, question: Callable[[int], Frame]) -> Exchange:
        """Send a question; the exchange collects what is answered. Raises LinkLost."""
        self._requests += 1
        exchange = Exchange(self._requests, self._settings.answer_s)
        self._exchanges[exchange.request] = exchange
        await self.send(question(exchange.request))
        return exchange

    async def finish(self, exchange: Exchange) -> list[Differing | Versions]:
        """Wait for the whole answer. Raises LinkLost, also when it makes no progress for too long."""
        if not await exchange.wait():
            self.close("a question was not answered in time")
        self._exchanges.pop(exchange.request, None)
        if exchange.lost or self.reason is not None:
            raise LinkLost(self.reason or "closed")
        return exchange.parts

    async def ask(self, question: Callable[[int], Frame]) -> list[Differing | Versions]:
        """Send a question and wait for the whole answer. Raises LinkLost."""
        return await self.finish(await self.begin(question))

    # The reader

    async def _read(self) -> None:
        while True:
            data = await self._link.receive()
            self._see_that_it_is_fresh()
            frame = decode(data)
            if frame is None:
                self.statistics.unknown_frames += 1
                continue
            self.statistics.received(kind_of(frame), len(data))
            self._owner.heard(self)
            await self._take(frame)

    def _see_that_it_is_fresh(self) -> None:
        """What waited here while this process was paused is as old as the pause, and tells ages as of before."""
        late_s = self._clock.now_s() - self._ping_due_s
        if late_s > self._settings.silence_s:
            raise LinkLost(f"this process did not run for {late_s:.1f} s")

    async def _take(self, frame: Frame) -> None:
        match frame:
            case Renewals():
                self._want(await self._tables.renew(frame, via=self._via))
                self.statistics.renewals_received += len(frame.keys)
                self._applied(frame.sequence, frame.stamp_ms)
            case States():
                self.statistics.rows_absorbed += await self._absorb(frame)
                self._applied(frame.sequence, frame.stamp_ms)
            case Answer():
                self.statistics.rows_absorbed += await self._absorb(frame)
                self._answered(frame, last=frame.last)
            case Offer():
                self.statistics.rows_absorbed += await self._absorb(frame)
                self._asked(frame)
            case Audits():
                self.audit_vector = frame.vector
                self.statistics.rows_absorbed += await self._tables.absorb_audits(frame.rows, refused=self._refused)
                self._answered(frame, last=frame.last)
            case OfferAudits():
                self.statistics.rows_absorbed += await self._tables.absorb_audits(frame.rows, refused=self._refused)
                self._asked(frame)
            case Differing() | Done():
                self._answered(frame, last=True)
            case Versions():
                self._answered(frame, last=frame.last)
            case Ping():
                self._told(frame.word)
                self._asked(frame)
            case Want() | Digests() | Inspect():
                self._asked(frame)
            case AskAudits(vector=vector):
                self.audit_vector = vector
                self._asked(frame)
            case Status(word=word):
                self._told(word)
            case Pong(number=number, word=word):
                self._ponged(number, word)
                self._told(word)
            case Ack(sequence=sequence):
                self._owner.acknowledged(self, sequence)
            case Goodbye(reason=reason):
                self._owner.said_goodbye(self, reason)
                self.close(f"the peer left: {reason}")
            case Challenge() | Hello() | Welcome() | Refuse():
                raise BadFrame(f"a {kind_of(frame)} after the handshake")
            case _:
                raise AssertionError(f"{kind_of(frame)} is decoded, but nobody takes it")

    async def _absorb(self, rows: States | Answer | Offer) -> int:
        return await self._tables.absorb(rows, via=self._via, refused=self._refused)

    def _refused(self, table: str, key: str, problem: str) -> None:
        self.statistics.rows_refused += 1
        self._warnings.refused(table, key, problem)

    def _told(self, word: Word) -> None:
        # The word was under way for a while, so the other clock is at least as far ahead as it seems.
        ahead_s = (word.now_ms - self._clock.now_ms()) / 1000
        if ahead_s > self._settings.drift_max_s:
            text = (
                f"the clock of {self.peer} is {ahead_s:.1f} s ahead of ours, more than {self._settings.drift_max_s:g} s"
            )
            logger.error("the link with %s is given up: %s", self.peer.url, text)
            raise Refused("clock-drift", text)
        self.word = word
        self._tables.compare(self.peer.node_id, word)
        self._owner.told(self, word)

    def _applied(self, sequence: int, stamp_ms: int) -> None:
        self.statistics.lag_ms.append(max(0, self._clock.now_ms() - stamp_ms))
        self._ack(sequence)

    def _ack(self, sequence: int) -> None:
        self._ack_due = sequence
        self._something_to_answer.set()

    def _want(self, keys: Iterable[str]) -> None:
        before = len(self._wanted)
        for key in keys:
            if len(self._wanted) < WANTED_MAX:
                self._wanted[key] = None
        if len(self._wanted) > before:
            self.statistics.wanted += len(self._wanted) - before
            self._something_to_answer.set()

    def _asked(self, question: Question) -> None:
        if len(self._questions) >= QUESTIONS_MAX:
            raise BadFrame(f"more than {QUESTIONS_MAX} questions at once")
        self._questions.append(question)
        self._something_to_answer.set()

    def _answered(self, part: Reply, *, last: bool) -> None:
        exchange = self._exchanges.get(part.request)
        if exchange is not None:
            exchange.add(part, last=last)

    def _ponged(self, number: int, word: Word) -> None:
        sent_s = self._pings.get(number)
        if sent_s is not None:
            self.statistics.round_trip_s = self._clock.now_s() - sent_s
            self.drift_ms = word.now_ms - self._clock.now_ms() + round(self.statistics.round_trip_s * 500)
            self._pings = {later: at_s for later, at_s in self._pings.items() if later > number}

    # The answerer

    async def _answer(self) -> None:
        while True:
            await self._something_to_answer.wait()
            self._something_to_answer = trio.Event()
            await self._send_ack()
            if self._status_due:
                self._status_due = False
                await self.send(Status(self._owner.own_word()))
            while self._wanted:
                keys = [key for key, _ in zip(self._wanted, range(KEYS_MAX // 8), strict=False)]
                for key in keys:
                    del self._wanted[key]
                await self.send(Want(self._tables.instances_table, keys, request=0))
                await self._send_ack()
            while self._questions:
                await self._answer_one(self._questions.popleft())
                await self._send_ack()

    async def _send_ack(self) -> None:
        if self._ack_due is not None:
            sequence, self._ack_due = self._ack_due, None
            await self.send(Ack(sequence))

    async def _answer_one(self, question: Question) -> None:
        match question:
            case Ping(number=number):
                await self.send(Pong(number, self._owner.own_word()))
                return
            case Offer(request=request) | OfferAudits(request=request):
                await self.send(Done(request))
                return
            case Digests():
                await self.send(self._tables.answer_digests(question))
                return
            case Want():
                frames: Iterable[Frame | None] = self._tables.answer_want(question, self.absence(question.table))
            case Inspect():
                frames = self._tables.answer_inspect(question, self.absence(question.table))
            case AskAudits():
                frames = self._tables.answer_audits(question)
        for frame in frames:
            if frame is None:
                await self._send_ack()
                await trio.lowlevel.checkpoint()
            else:
                await self.send(frame)

    # The pulse

    async def _pulse(self) -> None:
        while True:
            now_s = self._clock.now_s()
            self._see_that_it_is_fresh()
            if self._pings and now_s - next(iter(self._pings.values())) > self._settings.silence_s:
                raise LinkLost(f"no answer to a ping for {self._settings.silence_s} s")
            self._ping_number += 1
            self._pings[self._ping_number] = now_s
            self._ping_due_s = now_s + self._settings.ping_s
            await self.send(Ping(self._ping_number, self._owner.own_word()))
            await trio.sleep(self._settings.ping_s)

    # Ending

    async def _until_lost(self, task: Callable[[], Coroutine[object, object, None]]) -> None:
        try:
            await task()
        except (BadFrame, BadRow) as error:
            logger.warning("%s broke the protocol: %s", self.peer, quoted(error))
            self.close(f"protocol error: {error}")
        except LinkLost as lost:
            self.close(str(lost))

    def _end(self, reason: str) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        self.closed.set()
        for exchange in self._exchanges.values():
            exchange.fail()
        self._exchanges.clear()
