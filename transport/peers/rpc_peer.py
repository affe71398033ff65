"""A peer of the original system: told over its replication endpoints, so that a running cluster can be moved over.

As that system does it: registrations and removals one per request, heartbeats in batches, retried until they are 5 s
old; the node is asked every 5 s how it is, and gets nothing while it cannot register. A heartbeat carries the whole
instance, so what was lost is made good by the next one. Records and audits have no place in this dialect.
"""

import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import httpx
import msgspec
import trio

from artemis.actors.clock import Clock
from artemis.actors.frames import Word
from artemis.store.instances import ALL_SERVICES, Instance
from artemis.store.leases import Entry
from artemis.store.management.records import Audit, Record

from .rpc_calls import NodeStatus, RpcCalls, RpcFailed, open_client

logger = logging.getLogger(__name__)

POLL_S: Final = 5.0
EXPIRY_S: Final = 5.0
"""News that could not be told for so long is dropped; the next heartbeat brings the instance all the same."""
RETRY_S: Final = 0.2
BATCH: Final = 250
"""Heartbeats in one request, as many as the original takes."""
BATCH_S: Final = 1.0
"""How long heartbeats are collected."""
WORKERS: Final = 4
"""Requests under way at a time. News of one instance is always with the same worker, and so stays in order."""
WAITING_MAX: Final = 100_000
"""Instances that wait to be told, for each worker. The oldest is dropped for one more."""
IMPORT_SLICE: Final = 100


class RpcHub(Protocol):
    """What this peer tells its node: the cluster."""

    @property
    def is_synchronised(self) -> bool: ...
    def polled(self, url: str, word: Word) -> None: ...
    def attempted(self, url: str, *, refused: bool, problem: str) -> None: ...
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
    """News too old to be told, or refused for good."""
    imported: int = 0
    polls_failed: int = 0
    waiting: int = 0
    requests: int = 0
    bytes_sent: int = 0


ID_CHARACTERS_MAX: Final = 1000
"""Of what an old node knows, instances with longer ids are left out: a key of ours has 4096 at most."""


class _Queue:
    """Entries to tell, each once, with the time at which its oldest untold news happened."""

    def __init__(self) -> None:
        self._since: dict[Entry, float] = {}
        self._offered = trio.Event()

    def __len__(self) -> int:
        return len(self._since)

    def offer(self, entry: Entry, since_s: float) -> bool:
        """Put an entry in. False when another one had to go for it."""
        self._since.setdefault(entry, since_s)
        self._offered.set()
        if len(self._since) <= WAITING_MAX:
            return True
        del self._since[next(iter(self._since))]
        return False

    def take(self, limit: int) -> list[tuple[Entry, float]]:
        """The oldest ones."""
        taken = [item for item, _ in zip(self._since.items(), range(limit), strict=False)]
        for entry, _ in taken:
            del self._since[entry]
        return taken

    async def wait(self) -> None:
        """Wait until there is something."""
        while not self._since:
            self._offered = trio.Event()
            await self._offered.wait()


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
        self._changes = [_Queue() for _ in range(WORKERS)]
        self._heartbeats = _Queue()
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
            worker = zlib.crc32(entry.full_key.encode()) % WORKERS
            self._counted.dropped += not self._changes[worker].offer(entry, now_s)

    def offer_renewals(self, entries: Iterable[Entry]) -> None:
        """These leases were renewed here."""
        if self._serves:
            now_s = self._clock.now_s()
            for entry in entries:
                self._counted.dropped += not self._heartbeats.offer(entry, now_s)

    def offer_records(self, records: Iterable[Record]) -> None:
        """The dialect has no words for it."""

    def offer_audits(self, audits: Iterable[Audit]) -> None:
        """The dialect has no words for it."""

    def statistics(self) -> RpcStatistics:
        counted = self._counted
        counted.waiting = sum(map(len, self._changes)) + len(self._heartbeats)
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
            for number, queue in enumerate(self._changes):
                nursery.start_soon(self._tell_changes, calls, queue, name=f"changes {number} {self.url}")

    async def _poll(self, calls: RpcCalls) -> None:
        while True:
            began_s = self._clock.now_s()
            try:
                status = await calls.node_status()
                self._hub.polled(self.url, _word(status, self._clock.now_ms()))
                self._turn(serves=_can_register(status))
                if not self._hub.is_synchronised and status.status == "up":
                    await self._import(calls)
            except RpcFailed as failed:
                self._counted.polls_failed += 1
                self._turn(serves=False)
                self._hub.attempted(self.url, refused=failed.refused, problem=str(failed))
            await trio.sleep(max(0.0, began_s + POLL_S - self._clock.now_s()))

    def _turn(self, *, serves: bool) -> None:
        self._serves = serves
        if serves:
            turned, self._turned = self._turned, trio.Event()
            turned.set()

    async def _import(self, calls: RpcCalls) -> None:
        """Cold start: take over everything the peer knows."""
        instances = [i for i in await calls.services(self._region_id, self._zone_id) if _has_identity(i)]
        for start in range(0, len(instances), IMPORT_SLICE):
            self._take_over(instances[start : start + IMPORT_SLICE])
            await trio.lowlevel.checkpoint()
        self._counted.imported += len(instances)
        logger.info("took over %d instances from %s", len(instances), self.url)
        self._hub.synchronised(self.url)

    async def _tell_changes(self, calls: RpcCalls, queue: _Queue) -> None:
        while True:
            await queue.wait()
            entry, since_s = queue.take(1)[0]
            if self._clock.now_s() - since_s > EXPIRY_S:
                self._counted.dropped += 1
                continue
            if not self._serves:
                queue.offer(entry, since_s)
                await self._pause()
                continue
            try:
                if entry.live:
                    await calls.register(entry.json)
                elif not entry.gone:
                    await calls.unregister(_removed(entry, self._region_id, self._zone_id))
                self._counted.told += 1
            except RpcFailed as failed:
                if not failed.again:
                    logger.warning("%s does not take %r: %s", self.url, entry, failed)
                    self._counted.dropped += 1
                    continue
                self._counted.retries += 1
                queue.offer(entry, since_s)
                await trio.sleep(RETRY_S)

    async def _tell_heartbeats(self, calls: RpcCalls) -> None:
        while True:
            await self._heartbeats.wait()
            await trio.sleep(BATCH_S)
            # What is offered while these are being told belongs to the next batch.
            for _ in range(-(-len(self._heartbeats) // BATCH)):
                await self._tell_batch(calls, self._heartbeats.take(BATCH))

    async def _tell_batch(self, calls: RpcCalls, batch: Sequence[tuple[Entry, float]]) -> None:
        oldest_s = self._clock.now_s() - EXPIRY_S
        fresh = [(entry, since_s) for entry, since_s in batch if entry.live and since_s >= oldest_s]
        if not fresh:
            return
        try:
            await calls.heartbeat([entry.json for entry, _ in fresh])
            self._counted.heartbeats += len(fresh)
            self._counted.batches += 1
        except RpcFailed as failed:
            if failed.again:
                self._counted.retries += 1
                for entry, since_s in fresh:
                    self._heartbeats.offer(entry, since_s)

    async def _pause(self) -> None:
        """Wait until the peer can be told something again, but look from time to time what has become too old."""
        with trio.move_on_after(EXPIRY_S / 4):
            await self._turned.wait()


def _has_identity(instance: Instance) -> bool:
    """Whether an instance has ids that other nodes of ours take for ids; one that has not would end our links."""
    ids = (instance.service_id or "", instance.instance_id or "")
    return ids[0] != ALL_SERVICES and all(
        text and text.isprintable() and len(text) <= ID_CHARACTERS_MAX for text in ids
    )


def _can_register(status: NodeStatus) -> bool:
    if status.status in ("up", "down"):
        return status.status == "up"
    return bool(status.can_service_registry)


def _word(status: NodeStatus, now_ms: int) -> Word:
    return Word(
        status=status.status or "unknown",
        now_ms=now_ms,
        can_register=status.can_service_registry,
        can_discover=status.can_service_discovery,
        allow_register=status.allow_registry_from_other_zone is not False,
        allow_discover=status.allow_discovery_from_other_zone is not False,
    )


def _removed(entry: Entry, region_id: str, zone_id: str) -> bytes:
    """An instance that is gone, as far as its identity matters; the original wants a url, whatever it is."""
    return msgspec.json.encode(
        {
            "regionId": region_id,
            "zoneId": entry.zone_key or zone_id,
            "serviceId": entry.service.service_id,
            "instanceId": entry.key,
            "url": "unregistered",
        }
    )
