"""The change broadcaster: tells every subscriber of every change, in order, and waits for none of them.

A subscriber that does not keep up loses its place: it is closed with 1013 and a reason, and resumes by revision. The
same happens to all of them when the broadcaster itself falls behind. Nothing is ever skipped in silence.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from artemis.store.changes import ServiceChange
from artemis.store.instances import ALL_SERVICES

from .mailbox import Mailbox

logger = logging.getLogger(__name__)

EVERYTHING: Final = ALL_SERVICES
"""Subscribing to this key means every service."""

POSTS_MAX: Final = 10_000
"""Posts that may wait for the broadcaster. One more, and every subscriber has to resume."""

PUSH_BYTES: Final = 200
"""Of a push, beside its instances."""

BYTES_MAX: Final = 256 * 1024 * 1024
"""What may wait for all subscribers together. Beyond, the one for whom most is waiting has to resume."""

SUBSCRIBER_BYTES_MAX: Final = 128 * 1024 * 1024
"""What may wait for one subscriber. Beyond, it has to resume."""

OFFERS_PER_TURN: Final = 200
"""Subscribers that are served before other tasks get their turn."""

GOING_AWAY: Final = 1001
TRY_AGAIN: Final = 1013

Encode = Callable[[ServiceChange], tuple[str, ...]]


class Push:
    """One change on its way to many subscribers; encoded once per dialect, when the first of them needs it."""

    __slots__ = ("_texts", "change", "size", "waiting")

    def __init__(self, change: ServiceChange) -> None:
        self.change = change
        self.size = sum([len(one.json) for one in change.changes]) + PUSH_BYTES
        """About as many bytes as it takes, once, while it waits for anybody."""
        self.waiting = 0
        """Subscribers that it waits for."""
        self._texts: dict[Encode, tuple[str, ...]] = {}

    def texts(self, encode: Encode) -> tuple[str, ...]:
        """The messages of this change in the dialect of `encode`."""
        texts = self._texts.get(encode)
        if texts is None:
            texts = self._texts[encode] = encode(self.change)
        return texts


@dataclass(frozen=True, slots=True)
class Farewell:
    """How a subscriber is closed."""

    code: int
    reason: str


class Subscriber:
    """One open push socket: what it wants to hear of, and what it has not yet been sent."""

    def __init__(self, name: str, *, backlog: int) -> None:
        """`backlog`: pushes that may wait to be sent; one more closes the subscriber."""
        self.name = name
        self.waiting: Mailbox[Push | str] = Mailbox(name, backlog)
        self.leaving = trio.Event()
        self.farewell: Farewell | None = None
        self.floors: dict[str, int] = {}
        """By service key, the revision it has already; for EVERYTHING, the version of the registry."""
        self._unsent = 0
        """Characters of answers that wait to be sent."""
        self._sent = trio.Event()
        self.active = False
        """Something was asked of it: it has subscribed, or sent a heartbeat."""
        self.held = 0
        """Bytes that wait for it, pushes and answers."""
        self._owner: Subscriptions | None = None

    def belong(self, owner: "Subscriptions") -> None:
        """From now on what waits counts for the bounds of all subscribers together."""
        self._owner = owner

    def offer(self, push: Push) -> None:
        """Queue a push that is news to this subscriber."""
        change = push.change
        floor = self.floors.get(change.service_key)
        if floor is not None:
            if change.revision <= floor:
                return
        elif change.version <= self.floors.get(EVERYTHING, -1):
            return
        if self.farewell is not None:
            return
        if not self.waiting.post(push):
            self.leave(TRY_AGAIN, f"too slow: more than {self.waiting.bound} changes were waiting; resume by revision")
        elif self._owner is not None:
            self._owner.queued(self, push)

    def say(self, text: str) -> None:
        """Queue an answer to something the subscriber said."""
        if not self.waiting.post(text):
            self.leave(TRY_AGAIN, f"too slow: more than {self.waiting.bound} messages were waiting")
            return
        self._unsent += len(text)
        if self._owner is not None:
            self._owner.queued(self, text)

    def taken(self, item: Push | str) -> None:
        """A push or an answer does not wait any more."""
        if self._owner is not None:
            self._owner.taken(self, item)

    def sent(self, text: str) -> None:
        """An answer has left."""
        self._unsent -= len(text)
        sent, self._sent = self._sent, trio.Event()
        sent.set()

    def drop(self) -> None:
        """Forget what waits: nobody will read it."""
        while True:
            try:
                self.taken(self.waiting.receive_nowait())
            except trio.WouldBlock:
                return

    async def wait_answered(self, characters: int) -> None:
        """Wait until no more than so much of the answers waits to be sent, and half of the queue is free.

        Who hears what a subscriber says waits for this: somebody who asks, and does not read, holds one answer, and
        somebody who asks a thousand times in one breath is heard as fast as the answers leave.
        """
        while self._unsent > characters or (self._unsent and 2 * len(self.waiting) > self.waiting.bound):
            await self._sent.wait()

    def leave(self, code: int, reason: str) -> None:
        """Close this subscriber; the first reason counts."""
        if self.farewell is None:
            self.farewell = Farewell(code, reason)
            self.leaving.set()


class Subscriptions:
    """Who listens to what. Owned by the node, so that it outlives a broadcaster that crashed."""

    def __init__(self, *, bytes_max: int = BYTES_MAX, subscriber_bytes_max: int = SUBSCRIBER_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.subscriber_bytes_max = subscriber_bytes_max
        self.bytes = 0
        """What waits for all of them: a push counts once, however many it waits for."""
        self.subscribers: set[Subscriber] = set()
        self._by_service: dict[str, dict[Subscriber, None]] = {}
        self.lagged = 0
        """Subscribers that were closed because they, or we, fell behind."""

    def open(self, subscriber: Subscriber) -> None:
        self.subscribers.add(subscriber)
        subscriber.belong(self)

    def queued(self, subscriber: Subscriber, item: Push | str) -> None:
        """Something waits for a subscriber now. Whoever is too far behind has to resume."""
        if isinstance(item, str):
            size = len(item)
            self.bytes += size
        else:
            size = item.size
            item.waiting += 1
            if item.waiting == 1:
                self.bytes += size
        subscriber.held += size
        if subscriber.held > self.subscriber_bytes_max:
            self._give_up(subscriber)
        while self.bytes > self.bytes_max:
            self._give_up(max((one for one in self.subscribers if one.held), key=_held))

    def taken(self, subscriber: Subscriber, item: Push | str) -> None:
        """It does not wait for that subscriber any more."""
        if isinstance(item, str):
            size = len(item)
            self.bytes -= size
        else:
            size = item.size
            item.waiting -= 1
            if not item.waiting:
                self.bytes -= size
        subscriber.held -= size

    def _give_up(self, subscriber: Subscriber) -> None:
        subscriber.leave(TRY_AGAIN, f"too slow: {subscriber.held} bytes were waiting; resume by revision")
        subscriber.drop()

    def subscribe(self, subscriber: Subscriber, key: str, *, floor: int) -> None:
        """From now on this subscriber hears of the service; `floor` is the revision it knows already."""
        assert subscriber in self.subscribers
        subscriber.floors[key] = floor
        subscriber.active = True
        self._by_service.setdefault(key, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, key: str) -> None:
        subscriber.floors.pop(key, None)
        listeners = self._by_service.get(key)
        if listeners is not None:
            listeners.pop(subscriber, None)
            if not listeners:
                del self._by_service[key]

    def close(self, subscriber: Subscriber) -> None:
        """The socket is closed: forget it."""
        for key in list(subscriber.floors):
            self.unsubscribe(subscriber, key)
        self.subscribers.discard(subscriber)
        subscriber.drop()
        if subscriber.farewell is not None and subscriber.farewell.code == TRY_AGAIN:
            self.lagged += 1

    def listeners(self, service_key: str) -> list[Subscriber]:
        """Who is to hear of a change of this service, each of them once."""
        everybody = self._by_service.get(EVERYTHING)
        listeners = self._by_service.get(service_key)
        if not everybody:
            return list(listeners) if listeners else []
        return list(everybody | listeners) if listeners else list(everybody)

    def is_listening(self, subscriber: Subscriber, key: str) -> bool:
        return key in subscriber.floors

    def dismiss(self, code: int, reason: str) -> None:
        """Close everybody."""
        for subscriber in list(self.subscribers):
            subscriber.leave(code, reason)


def _held(subscriber: Subscriber) -> int:
    return subscriber.held


class Broadcaster:
    """The actor between the registry's changes and the subscribers' queues."""

    def __init__(self, subscriptions: Subscriptions, mailbox: Mailbox[tuple[ServiceChange, ...]] | None = None) -> None:
        self._subscriptions = subscriptions
        if mailbox is None:
            mailbox = Mailbox[tuple[ServiceChange, ...]]("broadcaster", POSTS_MAX)
        self.mailbox = mailbox
        self.pushed = 0
        self._began = False

    def post(self, changes: Sequence[ServiceChange]) -> None:
        """Take changes to be told, in order. Never waits."""
        if not self._subscriptions.subscribers:
            return
        if not self.mailbox.post(tuple(changes)):
            logger.error("%d posts are waiting; every subscriber has to resume", len(self.mailbox))
            self._subscriptions.dismiss(TRY_AGAIN, "this node fell behind; resume by revision")

    async def run(self) -> None:
        if self._began:
            # A predecessor crashed in the middle of a change: nobody can know who was told.
            self._subscriptions.dismiss(TRY_AGAIN, "an internal error; resume by revision")
        self._began = True
        async for changes in self.mailbox:
            await self._tell(changes)

    async def _tell(self, changes: Iterable[ServiceChange]) -> None:
        offers = 0
        for change in changes:
            push = Push(change)
            for subscriber in self._subscriptions.listeners(change.service_key):
                subscriber.offer(push)
                self.pushed += 1
                offers += 1
                if offers % OFFERS_PER_TURN == 0:
                    await trio.lowlevel.checkpoint()
