"""A peer of the original system: told over its replication endpoints, so that a running cluster can be moved over.

Registrations and removals leave at once, as many in one request as have come together, and wait for as long as it
takes: until the node takes them, or something newer is known, or the instance is forgotten here. The node is asked
every 5 s how it is, and gets nothing while it cannot register. A heartbeat carries the whole instance, so a lost one is
made good by the next. Records and audits have no place in this dialect.

Calls go out one after the other: a heartbeat that overtakes a removal would bring the instance back.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import httpx
import trio

from artemis.actors.clock import Clock
from artemis.actors.frames import Word
from artemis.actors.quoting import quoted
from artemis.actors.seldom import Seldom
from artemis.store.instances import Instance
from artemis.store.leases import Entry
from artemis.store.management.records import Audit, Record

from .rpc_calls import FOR_GOOD, LATER, Refusal, Refusals, RpcCalls, RpcFailed, open_client
from .rpc_news import News, Waiting
from .rpc_words import can_register, is_taken, removed, word

logger = logging.getLogger(__name__)

POLL_S: Final = 5.0
HEARTBEAT_AGE_S: Final = 5.0
"""A heartbeat that could not be told for so long is dropped: the next one is due."""
LATE_S: Final = 5.0
"""When registrations and removals wait for longer, the log says so."""
RETRY_S: Final = 0.2
"""The first pause after a failed call; the next ones are longer, up to POLL_S."""
BATCH: Final = 250
"""Instances in one request, as many as the original takes for heartbeats."""
BATCH_BYTES: Final = 1 << 20
"""Of their JSON. A single larger instance still goes."""
BATCH_S: Final = 1.0
"""How long heartbeats are collected."""
IMPORT_SLICE: Final = 100


class RpcHub(Protocol):
    """What this peer tells its node: the cluster."""

    @property
    def is_synchronised(self) -> bool: ...
    def polled(self, url: str, word: Word) -> None: ...
    def attempted(self, url: str, *, refused: bool, problem: str, answered: bool) -> None: ...
    def synchronised(self, url: str) -> None: ...


@dataclass(slots=True)
class RpcStatistics:
    """Counted since this peer's actor was built."""

    told: int = 0
    """Registrations and removals that arrived."""
    heartbeats: int = 0
    batches: int = 0
    retries: int = 0
    dropped: int = 0
    """News that the node refused for good."""
    imported: int = 0
    import_refused: int = 0
    """Instances that it knows and we do not take."""
    polls_failed: int = 0
    waiting: int = 0
    requests: int = 0
    bytes_sent: int = 0


Part = tuple[Callable[[Sequence[bytes]], Awaitable[Refusals]], bool, Sequence[Waiting]]
"""A call, whether it tells of live instances, and the instances."""


class RpcPeer:
    """Implements PeerSink."""

    def __init__(
        self,
        url: str,
        *,
        region_id: str,
        zone_id: str,
        hub: RpcHub,
        clock: Clock,
        take_over: Callable[[Sequence[Instance]], None],
        address: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`take_over` registers instances that the peer knows, without telling other peers; `address` is where to
        reach it when its own URL does not lead there."""
        self.url = url
        self._address = address or url
        self._region_id = region_id
        self._zone_id = zone_id
        self._hub = hub
        self._clock = clock
        self._take_over = take_over
        self._transport = transport
        self._changes = News()
        self._deferred: dict[Entry, float] = {}
        """What only the node's refusal of it alone holds up. It is told again after the next poll."""
        self._heartbeats = News()
        self._line = trio.Lock()
        self._late, self._refusals = Seldom(60.0), Seldom()
        self._serves = False
        self._turned = trio.Event()
        self._counted = RpcStatistics()
        self._calls: RpcCalls | None = None

    def __repr__(self) -> str:
        return f"<RpcPeer {self.url} [{'serves' if self._serves else 'does not serve'}]>"

    # Offers

    def offer_states(self, entries: Iterable[Entry]) -> None:
        """These entries were registered or removed here."""
        now_s = self._clock.now_s()
        for entry in entries:
            self._changes.offer(entry, now_s)

    def offer_renewals(self, entries: Iterable[Entry]) -> None:
        """These leases were renewed here."""
        if self._serves:
            now_s = self._clock.now_s()
            for entry in entries:
                self._heartbeats.offer(entry, now_s)

    def offer_records(self, records: Iterable[Record]) -> None:
        """The dialect has no words for it."""

    def offer_audits(self, audits: Iterable[Audit]) -> None:
        """The dialect has no words for it."""

    def statistics(self) -> RpcStatistics:
        counted = self._counted
        counted.waiting = len(self._changes) + len(self._deferred) + len(self._heartbeats)
        if self._calls is not None:
            counted.requests, counted.bytes_sent = self._calls.requests, self._calls.bytes_sent
        return counted

    # Tasks

    async def run(self) -> None:
        """Serve the peer until cancelled."""
        async with open_client(self._transport) as client, trio.open_nursery() as nursery:
            calls = self._calls = RpcCalls(self._address, client)
            nursery.start_soon(self._poll, calls, name=f"poll {self.url}")
            nursery.start_soon(self._tell_heartbeats, calls, name=f"heartbeats {self.url}")
            nursery.start_soon(self._tell_changes, calls, name=f"changes {self.url}")

    async def _poll(self, calls: RpcCalls) -> None:
        while True:
            began_s = self._clock.now_s()
            try:
                status = await calls.node_status()
                self._hub.polled(self.url, word(status, self._clock.now_ms()))
                deferred, self._deferred = self._deferred, {}
                self._changes.put_back(deferred.items())
                self._turn(serves=can_register(status))
                if not self._hub.is_synchronised and status.status == "up":
                    await self._import(calls)
            except RpcFailed as failed:
                self._counted.polls_failed += 1
                self._turn(serves=False)
                self._hub.attempted(self.url, refused=failed.refused, problem=str(failed), answered=failed.answered)
            await trio.sleep(max(0.0, began_s + POLL_S - self._clock.now_s()))

    def _turn(self, *, serves: bool) -> None:
        self._serves = serves
        if serves:
            turned, self._turned = self._turned, trio.Event()
            turned.set()

    async def _import(self, calls: RpcCalls) -> None:
        """Cold start: take over everything the peer knows."""
        known = await calls.services(self._region_id, self._zone_id)
        instances = [instance for instance in known if is_taken(instance)]
        refused = len(known) - len(instances)
        if refused:
            self._counted.import_refused += refused
            logger.warning("%d instances that %s knows are not taken over: no ids, or too large", refused, self.url)
        for start in range(0, len(instances), IMPORT_SLICE):
            self._take_over(instances[start : start + IMPORT_SLICE])
            await trio.lowlevel.checkpoint()
        self._counted.imported += len(instances)
        logger.info("took over %d instances from %s", len(instances), self.url)
        self._hub.synchronised(self.url)

    async def _tell_changes(self, calls: RpcCalls) -> None:
        pause_s = RETRY_S
        while True:
            await self._changes.wait()
            if not self._serves:
                self._complain("it takes no registrations now")
                with trio.move_on_after(LATE_S):
                    await self._turned.wait()
                continue
            batch = self._changes.take(BATCH, BATCH_BYTES)
            try:
                await self._tell(self._changes, (calls.unregister, False, batch), (calls.register, True, batch))
                pause_s = RETRY_S
                self._complain("it is slow")
            except RpcFailed as failed:
                self._complain(str(failed))
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, POLL_S)

    async def _tell_heartbeats(self, calls: RpcCalls) -> None:
        while True:
            await self._heartbeats.wait()
            await trio.sleep(BATCH_S)
            # What is offered while these are being told belongs to the next batch.
            left = len(self._heartbeats)
            while left > 0 and (batch := self._heartbeats.take(min(BATCH, left), BATCH_BYTES)):
                left -= len(batch)
                oldest_s = self._clock.now_s() - HEARTBEAT_AGE_S
                fresh = [item for item in batch if item[1] >= oldest_s]
                try:
                    await self._tell(self._heartbeats, (calls.heartbeat, True, fresh))
                except RpcFailed:
                    break

    async def _tell(self, queue: News, *parts: Part) -> None:
        """Tell everybody in these parts. Raises RpcFailed when the node cannot now; what is left is in the queue again.

        A call that is refused for what is in it is divided, until it is known which instance it is.
        """
        left, told = list(parts), 0
        async with self._line:
            while left:
                write, live, items = left.pop()
                items = [item for item in items if item[0].live == live and not item[0].gone]
                if not items:
                    continue
                try:
                    refusals = await write([self._body(entry) for entry, _ in items])
                except RpcFailed as failed:
                    if failed.code in LATER:
                        left.append((write, live, items))
                    elif len(items) > 1:
                        half = len(items) // 2
                        left += [(write, live, items[half:]), (write, live, items[:half])]
                        continue
                    else:
                        self._not_taken(queue, items[0], Refusal(failed.code, failed.reason))
                        if told or failed.code in FOR_GOOD:
                            continue
                        # Whatever was tried was refused: it is the node.
                    self._counted.retries += 1
                    for _, live, items in left:
                        queue.put_back(item for item in items if item[0].live == live)
                    raise
                told += self._taken(queue, items, refusals)

    def _taken(self, queue: News, items: Sequence[Waiting], refusals: Refusals) -> int:
        told = len(items)
        for item in items if refusals else ():
            refusal = refusals.get((item[0].service.key, item[0].key))
            if refusal is not None:
                told -= 1
                self._not_taken(queue, item, refusal)
        if queue is self._changes:
            self._counted.told += told
        else:
            self._counted.heartbeats += told
            self._counted.batches += 1
        return told

    def _not_taken(self, queue: News, item: Waiting, refusal: Refusal) -> None:
        entry, since_s = item
        if queue is self._changes and refusal.code not in FOR_GOOD:
            self._deferred[entry] = since_s
        else:
            self._counted.dropped += 1
        count = self._refusals.due(self._clock.now_s())
        if count:
            logger.warning(
                "%s did not take %d instances of ours; the last is %r, %s: %s",
                self.url,
                count,
                entry,
                quoted(refusal.code, 50),
                quoted(refusal.reason),
            )

    def _complain(self, reason: str) -> None:
        """Say that news waits, if it has waited for long."""
        now_s = self._clock.now_s()
        oldest_s = self._changes.oldest_s()
        if oldest_s is not None and now_s - oldest_s >= LATE_S and self._late.due(now_s):
            logger.warning(
                "%d registrations and removals wait for %s, the oldest for %.0f s, until it takes them: %s",
                len(self._changes),
                self.url,
                now_s - oldest_s,
                quoted(reason),
            )

    def _body(self, entry: Entry) -> bytes:
        return entry.json if entry.live else removed(entry, self._region_id, self._zone_id)
