"""The WebSocket sessions of clients: heartbeats, the two change streams of the RPC contract, and `/ws`.

A session has a subscriber: what is to be sent waits there, a task sends it, and whoever wants the session closed says
so there. So a client that stops reading holds up its own queue and nothing else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import trio

from artemis.actors.broadcaster import EVERYTHING, GOING_AWAY, Encode, Subscriber, Subscriptions
from artemis.actors.clock import Clock
from artemis.store.changes import ServiceChange
from artemis.store.registry import Registry
from artemis.store.table import CHANGE_LOG_BOUND

from .errors import ClientError
from .operations.answers import answer, encode_json, failure
from .operations.decoding import decode
from .operations.discovery import DiscoveryConfig
from .pushes import (
    PONG,
    RPC_TEXT_MAX,
    rpc_texts,
    said_wrong,
    subscribed_everything,
    subscribed_resumed,
    subscribed_snapshot,
    unsubscribed,
    ws_texts,
)
from .requests import Caller, Reply, Request
from .sockets import NORMAL, POLICY, TRY_AGAIN, Socket, SocketClosed

SUBSCRIPTIONS_MAX: Final = 10_000
"""Services that one session may subscribe to. More are refused on `/ws` and ignored on the RPC sockets."""

UNSENT_MAX: Final = 256 * 1024
"""Characters of answers that may wait to be sent before a session hears the next command."""

ANSWERS_S: Final = 30.0
"""How long a session that asks on `/ws` may leave its answers unread. Longer and it is closed with 1013."""

MISSED_SPAN_MAX: Final = CHANGE_LOG_BOUND
"""Revisions that a subscriber may be behind and still resume: the log holds no more."""

MISSED_MAX: Final = 256
"""Answers to resuming subscribers that are kept. One more and all are found again as they are asked for."""

HEARTBEAT_PATH: Final = "/artemis/websocket/registry/heartbeat"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """`ttl_s`: age at which RPC sessions are closed, None for never; `backlog`: pushes that may wait per session;
    `subscribe_s`: for a session to be of use, by a subscription or a heartbeat;
    `id_characters`: no service has a longer id, so nobody subscribes to one."""

    ttl_s: float | None = 360.0
    backlog: int = 1024
    subscribe_s: float = 60.0
    id_characters: int = 256


class Snapshots(Protocol):
    """Who makes the answer that a subscription begins with."""

    def snapshot(self, service_id: str) -> bytes:
        """The contract's Service as it is now."""
        ...


class Command(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a client says on `/ws`."""

    type: str | None = None
    service_id: str | None = None
    since: int | None = None


Listen = Callable[[Socket, Subscriber], Awaitable[None]]


class Sessions:
    """All client WebSockets of this node."""

    def __init__(
        self,
        registry: Registry,
        subscriptions: Subscriptions,
        clock: Clock,
        *,
        heartbeat: Callable[[Request], Reply],
        snapshots: Snapshots,
        serves: Callable[[], bool],
        settings: SessionSettings,
    ) -> None:
        """`serves` says whether this node answers questions now."""
        self._registry = registry
        self._subscriptions = subscriptions
        self._clock = clock
        self._heartbeat = heartbeat
        self._snapshots = snapshots
        self._serves = serves
        self._settings = settings
        self._heartbeating: set[Subscriber] = set()
        self._discovering: set[Subscriber] = set()
        self._missed: dict[tuple[str, int], list[ServiceChange] | None] = {}
        self._missed_version = -1
        self._closing = False

    def registry_connections(self) -> int:
        return len(self._heartbeating)

    def discovery_connections(self) -> int:
        return len(self._discovering)

    def open_count(self) -> int:
        return len(self._heartbeating) + len(self._subscriptions.subscribers)

    def dismiss(self, reason: str) -> None:
        """The node stops: everybody is told to go elsewhere, and newcomers too."""
        self._closing = True
        self._subscriptions.dismiss(GOING_AWAY, reason)
        for subscriber in list(self._heartbeating):
            subscriber.leave(GOING_AWAY, reason)

    # The four endpoints

    async def heartbeats(self, socket: Socket, caller: Caller) -> None:
        """RPC contract 2.2: one answer per request."""
        subscriber = Subscriber(f"heartbeat {caller.ip}", backlog=self._settings.backlog)
        self._heartbeating.add(subscriber)
        try:
            await self._serve(socket, subscriber, self._hear_heartbeats, rpc_texts, ttl_s=self._settings.ttl_s)
        finally:
            self._heartbeating.discard(subscriber)

    async def changes(self, socket: Socket, caller: Caller) -> None:
        """RPC contract 2.3: a bare DiscoveryConfig subscribes; no acknowledgement, no snapshot."""
        subscriber = Subscriber(f"changes {caller.ip}", backlog=self._settings.backlog)
        self._discovering.add(subscriber)
        try:
            await self._subscribed(socket, subscriber, self._hear_configs, rpc_texts, ttl_s=self._settings.ttl_s)
        finally:
            self._discovering.discard(subscriber)

    async def all_changes(self, socket: Socket, caller: Caller) -> None:
        """RPC contract 2.4: everything, and what the client says is ignored."""
        subscriber = Subscriber(f"all changes {caller.ip}", backlog=self._settings.backlog)
        await self._subscribed(socket, subscriber, self._hear_nothing, rpc_texts, ttl_s=self._settings.ttl_s)

    async def watch(self, socket: Socket, caller: Caller) -> None:
        """REST contract 3: `/ws`, with snapshots and revisions. A node that is not up would give incomplete ones."""
        if not self._serves() and not self._closing:
            await socket.close(TRY_AGAIN, "this node is not up; ask another one, or this one later")
            return
        subscriber = Subscriber(f"ws {caller.ip}", backlog=self._settings.backlog)
        await self._subscribed(socket, subscriber, self._hear_commands, ws_texts, ttl_s=None)

    # The life of a session

    async def _subscribed(
        self, socket: Socket, subscriber: Subscriber, listen: Listen, encode: Encode, *, ttl_s: float | None
    ) -> None:
        self._subscriptions.open(subscriber)
        try:
            await self._serve(socket, subscriber, listen, encode, ttl_s=ttl_s)
        finally:
            self._subscriptions.close(subscriber)

    async def _serve(
        self, socket: Socket, subscriber: Subscriber, listen: Listen, encode: Encode, *, ttl_s: float | None
    ) -> None:
        if self._closing:
            subscriber.leave(GOING_AWAY, "this node is stopping")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard, subscriber, self._send, socket, subscriber, encode)
            nursery.start_soon(self._guard, subscriber, listen, socket, subscriber)
            await self._last(subscriber, ttl_s if ttl_s is not None else float("inf"))
            subscriber.leave(NORMAL, "this session has reached its age; connect anew")
            nursery.cancel_scope.cancel()
        farewell = subscriber.farewell
        assert farewell is not None
        await socket.close(farewell.code, farewell.reason)

    async def _last(self, subscriber: Subscriber, ttl_s: float) -> None:
        """Wait until the session has a reason to end, or has reached its age."""
        ends_s, subscribe_s = trio.current_time() + ttl_s, self._settings.subscribe_s
        if subscribe_s < ttl_s:
            with trio.move_on_after(subscribe_s):
                await subscriber.leaving.wait()
            if not subscriber.active:
                subscriber.leave(POLICY, f"nothing was asked of this session for {subscribe_s:g} s")
        with trio.move_on_at(ends_s):
            await subscriber.leaving.wait()

    async def _guard(self, subscriber: Subscriber, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """The end of the connection ends the session, and is nobody's failure."""
        try:
            await work(*arguments)
        except SocketClosed:
            subscriber.leave(NORMAL, "closed by the client")

    async def _send(self, socket: Socket, subscriber: Subscriber, encode: Encode) -> None:
        async for item in subscriber.waiting:
            subscriber.taken(item)
            if isinstance(item, str):
                await socket.send(item)
                subscriber.sent(item)
            else:
                for text in item.texts(encode):
                    await socket.send(text)

    # What clients say

    async def _hear_heartbeats(self, socket: Socket, subscriber: Subscriber) -> None:
        while True:
            text = await socket.receive()
            subscriber.active = True
            await socket.send(self._answer_heartbeat(text, socket.caller))

    def _answer_heartbeat(self, text: str, caller: Caller) -> str:
        if text.strip() == "null":
            return failure("bad-request", "request is null", "failedInstances").body.decode()
        request = Request("POST", HEARTBEAT_PATH, b"", text.encode(), caller)
        try:
            reply = self._heartbeat(request)
        except ClientError:
            return answer(b'"failedInstances":null').body.decode()
        return fit_answer(reply.body).decode()

    async def _hear_configs(self, socket: Socket, subscriber: Subscriber) -> None:
        while True:
            text = await socket.receive()
            try:
                service_id = decode(DiscoveryConfig, text).service_id
            except ClientError:
                continue
            if not service_id or service_id.isspace() or len(service_id) > self._settings.id_characters:
                continue
            if len(subscriber.floors) < SUBSCRIPTIONS_MAX:
                key = service_id.lower()
                service = self._registry.services.get(key)
                self._subscriptions.subscribe(subscriber, key, floor=service.revision if service else 0)

    async def _hear_nothing(self, socket: Socket, subscriber: Subscriber) -> None:
        self._subscriptions.subscribe(subscriber, EVERYTHING, floor=self._registry.version)
        while True:
            await socket.receive()

    async def _hear_commands(self, socket: Socket, subscriber: Subscriber) -> None:
        while True:
            with trio.move_on_after(ANSWERS_S) as patience:
                await subscriber.wait_answered(UNSENT_MAX)
            if patience.cancelled_caught:
                subscriber.leave(TRY_AGAIN, f"too slow: answers were not read for {ANSWERS_S:g} s")
                return
            text = await socket.receive()
            try:
                command = decode(Command, text)
            except ClientError as error:
                subscriber.say(said_wrong(error.message))
                continue
            self._obey(command, subscriber)

    def _obey(self, command: Command, subscriber: Subscriber) -> None:
        kind, service_id = command.type, command.service_id
        if kind == "ping":
            subscriber.say(PONG)
        elif kind not in ("subscribe", "unsubscribe"):
            subscriber.say(said_wrong(f"type must be subscribe, unsubscribe or ping, not {kind!r}"))
        elif not service_id or service_id.isspace():
            subscriber.say(said_wrong(f"{kind} needs a serviceId"))
        elif len(service_id) > self._settings.id_characters:
            subscriber.say(said_wrong(f"a serviceId has at most {self._settings.id_characters} characters"))
        elif kind == "unsubscribe":
            self._subscriptions.unsubscribe(subscriber, service_id.lower())
            subscriber.say(unsubscribed(service_id))
        elif len(subscriber.floors) >= SUBSCRIPTIONS_MAX:
            subscriber.say(said_wrong(f"at most {SUBSCRIPTIONS_MAX} services per connection"))
        else:
            self._subscribe(subscriber, service_id, command.since)

    def _subscribe(self, subscriber: Subscriber, service_id: str, since: int | None) -> None:
        if service_id == EVERYTHING:
            self._subscriptions.subscribe(subscriber, EVERYTHING, floor=self._registry.version)
            subscriber.say(subscribed_everything(self._registry.version))
            return
        key = service_id.lower()
        revision = self._registry.revision_of(key, now_ms=self._clock.now_ms())
        self._subscriptions.subscribe(subscriber, key, floor=revision)
        missed = self._missed_since(key, since, revision) if since is not None else None
        if missed is not None:
            subscriber.say(subscribed_resumed(service_id, revision, missed))
        else:
            subscriber.say(subscribed_snapshot(service_id, revision, self._snapshots.snapshot(service_id)))

    def _missed_since(self, key: str, since: int, revision: int) -> list[ServiceChange] | None:
        """The changes of a service after revision `since`, oldest first; None when they are not all known any more.

        When many subscribers come back at once they ask the same: the answer is kept while nothing changes.
        """
        if since == revision and revision:
            return []
        if since > revision or since <= 0 or revision - since > MISSED_SPAN_MAX:
            return None
        if self._missed_version != self._registry.version:
            self._missed_version = self._registry.version
            self._missed.clear()
        if (key, since) not in self._missed:
            if len(self._missed) >= MISSED_MAX:
                self._missed.clear()
            self._missed[key, since] = self._search(key, since, revision)
        return self._missed[key, since]

    def _search(self, key: str, since: int, revision: int) -> list[ServiceChange] | None:
        found: list[ServiceChange] = []
        for change in self._registry.log.since(0):
            if change.service_key != key:
                continue
            if change.revision <= since:
                break
            found.append(change)
            if change.revision == since + 1:
                break
        found.reverse()
        complete = len(found) == revision - since and bool(found) and found[0].revision == since + 1
        return found if complete else None


def fit_answer(body: bytes) -> bytes:
    """A heartbeat answer that the Java client can receive: what does not fit is left to the next heartbeat.

    The client registers the instances that it finds in the answer; the others are unknown again five seconds later.
    """
    if len(body) <= RPC_TEXT_MAX:
        return body
    document = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    failures = msgspec.json.decode(document["failedInstances"], type=list[msgspec.Raw] | None) or []
    kept: list[msgspec.Raw] = []
    size = 200
    for failed in failures:
        size += len(bytes(failed)) + 1
        if size > RPC_TEXT_MAX and kept:
            break
        kept.append(failed)
    document["failedInstances"] = msgspec.Raw(encode_json(kept))
    return encode_json(document)
