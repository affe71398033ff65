"""The teller of one peer: what the clients of this node do, told while there is a link, newest state only.

News leaves at once, coalesced per wake-up, with a window of frames under way. Renewals are collected and leave as one
frame per interval. Both are acknowledged; what is not, is told again over the next link. Nothing here waits for another
peer, and whoever offers something waits for nobody.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from artemis.store.leases import Entry
from artemis.store.management.records import Audit, Record

from .clock import Clock
from .cluster_settings import LinkSettings
from .conversation import Conversation
from .frames import KEYS_MAX, Renewals, States
from .links import PeerLinks
from .outbox import Outbox, OutboxStatistics
from .ports import LinkLost
from .reconciler import exchange_audits, push_audits
from .tables import NAMES_BYTES, Tables

RECORDS: Final = "records"
KEYS_PER_FRAME: Final = 250
"""Keys whose state is read for one frame of news: a few milliseconds of work at both ends."""


@dataclass(frozen=True, slots=True)
class TellerStatistics:
    """Counted since this teller was made."""

    outbox: OutboxStatistics
    state_frames: int
    states: int
    renewal_frames: int
    renewals: int
    largest_batch: int
    """Most renewals in one frame."""
    audits: int


class Teller:
    """Everything this node tells one peer. Implements PeerSink."""

    def __init__(
        self, links: PeerLinks, tables: Tables, *, clock: Clock, settings: LinkSettings, overflowed: Callable[[], None]
    ) -> None:
        """`overflowed` is called when news had to be dropped: only a reconciliation can tell it now."""
        self._links = links
        self._tables = tables
        self._clock = clock
        self._settings = settings
        self._overflowed = overflowed
        self._outbox = Outbox(keys_max=settings.outbox_keys)
        self._told_over: Conversation | None = None
        self._stir = trio.Event()
        """Something may leave: there is news, room in the window, or another link."""
        self._progressed = trio.Event()
        self._renewals_wait = trio.Event()
        self._renewals_since_ms = 0
        self._audits_wait = trio.Event()
        self._state_frames = self._states = 0
        self._renewal_frames = self._renewals = self._largest_batch = 0
        self._audits = 0

    # Offers

    def offer_states(self, entries: Iterable[Entry]) -> None:
        """These entries were registered or removed here."""
        self._offer(self._tables.instances_table, [entry.full_key for entry in entries])

    def offer_renewals(self, entries: Iterable[Entry]) -> None:
        """These leases were renewed here. They wait for a link, but not for ever: a peer that is gone for long keeps
        what we renewed, and gives it time when it is back."""
        self._outbox.offer_renewals(entries)
        if self._links.current is None and self._outbox.renewals > self._settings.outbox_keys:
            self._outbox.forget_renewals()
        if not self._renewals_wait.is_set():
            self._renewals_since_ms = self._clock.now_ms()
            self._renewals_wait.set()

    def offer_records(self, records: Iterable[Record]) -> None:
        """These management records were written here."""
        self._offer(RECORDS, [record.full_key for record in records])

    def offer_audits(self, audits: Iterable[Audit]) -> None:
        """The audit log has grown here."""
        self._audits_wait.set()

    def _offer(self, table: str, keys: list[str]) -> None:
        self._outbox.offer(table, keys, now_ms=self._clock.now_ms())
        self._notice_overflow()
        self._stir.set()

    # What is heard

    def acknowledged(self, sequence: int) -> None:
        """The peer took over everything up to this frame."""
        self._outbox.acknowledged(sequence)
        self._progress()

    def links_changed(self) -> None:
        """A conversation began or ended."""
        self._progress()

    def _progress(self) -> None:
        self._stir.set()
        progress, self._progressed = self._progressed, trio.Event()
        progress.set()

    def is_idle(self) -> bool:
        """The peer knows everything that is to be told, or there is nobody to tell."""
        return self._links.current is None or self._outbox.is_empty()

    async def wait_idle(self) -> None:
        """Wait until the peer knows everything, or is gone."""
        while not self.is_idle():
            await self._progressed.wait()

    def statistics(self) -> TellerStatistics:
        return TellerStatistics(
            self._outbox.statistics(),
            self._state_frames,
            self._states,
            self._renewal_frames,
            self._renewals,
            self._largest_batch,
            self._audits,
        )

    # Tasks

    async def run(self) -> None:
        """Tell until cancelled."""
        async with trio.open_nursery() as nursery:
            for task in (self._tell_news, self._tell_renewals, self._tell_audits, self._watch):
                nursery.start_soon(task, name=task.__name__)

    async def _tell_news(self) -> None:
        while True:
            conversation = await self._conversation()
            news = self._next_news()
            if news is None:
                await self._stir.wait()
                self._stir = trio.Event()
                continue
            try:
                await conversation.send(news)
            except LinkLost:
                await conversation.closed.wait()
            # Let everything that was offered in the meantime join the next frame.
            await trio.lowlevel.checkpoint()

    def _next_news(self) -> States | None:
        """The next frame of news; None when there is none, or the window is full."""
        outbox = self._outbox
        while outbox.flights < self._settings.window_frames:
            waiting = outbox.peek(KEYS_PER_FRAME)
            if waiting is None:
                return None
            table, keys = waiting
            columns, answered = self._tables.take(table, keys)
            if not columns[0]:
                outbox.discard(table, keys[:answered])
                continue
            flight = outbox.depart(table, keys[:answered], now_s=self._clock.now_s())
            self._state_frames += 1
            self._states += len(columns[0])
            return States(table, *columns, sequence=flight.sequence, stamp_ms=flight.stamp_ms)
        return None

    async def _tell_renewals(self) -> None:
        while True:
            await self._renewals_wait.wait()
            await trio.sleep(self._settings.renewals_s)
            conversation = await self._conversation()
            since_ms, self._renewals_since_ms = self._renewals_since_ms, self._clock.now_ms()
            self._renewals_wait = trio.Event()
            # What is offered while these are being sent belongs to the next interval.
            for _ in range(self._outbox.renewal_frames(KEYS_MAX)):
                if self._outbox.flights >= self._settings.window_frames:
                    break
                flight = self._outbox.depart_renewals(KEYS_MAX, bytes_max=NAMES_BYTES, now_s=self._clock.now_s())
                columns = self._tables.renewals(flight.renewals)
                try:
                    await conversation.send(Renewals(*columns, sequence=flight.sequence, stamp_ms=since_ms))
                except LinkLost:
                    await conversation.closed.wait()
                    break
                self._renewal_frames += 1
                self._renewals += len(columns[0])
                self._largest_batch = max(self._largest_batch, len(columns[0]))
            if self._outbox.has_renewals():
                self._renewals_wait.set()

    async def _tell_audits(self) -> None:
        while True:
            await self._audits_wait.wait()
            conversation = await self._conversation()
            self._audits_wait = trio.Event()
            try:
                if conversation.audit_vector is None:
                    # The peer may never ask over this link, of two that there are: so we ask what it holds.
                    _, pushed = await exchange_audits(conversation, self._tables)
                else:
                    pushed = await push_audits(conversation, self._tables, origin=self._tables.origin)
                self._audits += pushed
            except LinkLost:
                await conversation.closed.wait()

    async def _watch(self) -> None:
        """End the link to a peer that acknowledges nothing."""
        while True:
            await trio.sleep(self._settings.ack_s / 4)
            since_s = self._outbox.waits_since_s()
            conversation = self._links.current
            if conversation is None or since_s is None or conversation is not self._told_over:
                continue
            if self._clock.now_s() - since_s > self._settings.ack_s:
                self._outbox.overflow()
                self._notice_overflow()
                conversation.close(f"nothing was acknowledged for {self._settings.ack_s:g} s")

    async def _conversation(self) -> Conversation:
        """The conversation to tell over. On a new one, what may have been lost with the old one waits again."""
        conversation = await self._links.wait_current()
        if conversation is not self._told_over:
            self._told_over = conversation
            self._outbox.rewind()
            self._notice_overflow()
            if self._outbox.has_renewals():
                self._renewals_wait.set()
        return conversation

    def _notice_overflow(self) -> None:
        if self._outbox.reconcile:
            self._outbox.reconcile = False
            self._overflowed()
