"""The port of a node: its connections, their limits, who serves them, and their end.

Every connection is a conversation of the fast lane, until it becomes a WebSocket session. With the lane switched off
its table of hot routes is empty, so that the app answers every request; the front door, with its judgement of heads
and bodies, its limits and deadlines, stays the same.
"""

import logging
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from quart import Blueprint

from .app import build_app
from .errors import ClientError
from .fastlane import Conversation, Departure
from .handover import Guest
from .limits import Limits
from .listener import Acceptor, open_listener
from .observation import Observer
from .origins import Cors
from .plans import Lane
from .requests import Caller, Reply, Request, Route, forwarded_for
from .sessions import OpenSockets
from .slots import Near, Slots, is_this_machine, nearest
from .sockets import GOING_AWAY, PeerRoute, SocketRoute
from .unsent import Unsent
from .upgrades import plain_handshake, serve_socket
from .wire import Wire

logger = logging.getLogger(__name__)

REFUSALS_MAX = 256
"""Surplus connections that are being told so. One more is closed without a word."""
RETRY_SOON = ((b"Retry-After", b"1"),)
WATCH_S_MIN, WATCH_S_MAX = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """What the port is busy with."""

    connections: int
    sockets: int
    refused: int
    """Connections turned away since the start because there were too many."""
    arriving_bytes: int
    """Held of bodies that are not complete."""
    given_up: int
    """Requests that were given up since the start because too much was held of unfinished ones."""
    unsent_bytes: int
    """Held for clients that are behind."""
    silent: int
    """WebSockets that were cut off since the start because nobody was at the other end."""
    cut: int
    """Clients that were cut off since the start because too much was held for them."""


@asynccontextmanager
async def open_server(
    routes: Iterable[Route],
    *,
    sockets: Iterable[SocketRoute | PeerRoute] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    listener: socket.socket | None = None,
    limits: Limits | None = None,
    cors: Cors | None = None,
    observer: Observer | None = None,
    fast_lane: bool = True,
    blueprints: Sequence[Blueprint] = (),
    is_near: Near = is_this_machine,
    address_of: Callable[[Caller], str] = nearest,
) -> AsyncGenerator["Server", None]:
    """Serve on `listener`, or on a new one for `host` and `port`. Raises OSError when the address cannot be had.
    `is_near` and `address_of` are explained at Slots.

    Leaving the block cuts every connection that is still open: call `aclose` before, to end them well.
    """
    routes, sockets, limits, cors = list(routes), list(sockets), limits or Limits(), cors or Cors()
    open_sockets = OpenSockets()
    plain = [Route("GET", route.path, _only_upgrades, route.name) for route in sockets]
    app = build_app([*routes, *plain], limits=limits, cors=cors, observer=observer, blueprints=blueprints)
    async with trio.open_nursery() as nursery:
        server = Server(
            listener or open_listener(host, port, limits),
            lane=Lane(
                routes if fast_lane else (), sockets, guest=Guest(app), limits=limits, cors=cors, observer=observer
            ),
            open_sockets=open_sockets,
            slots=Slots(limits, is_near=is_near, address_of=address_of),
        )
        await nursery.start(server.run, name="server")
        try:
            yield server
        finally:
            with trio.CancelScope(shield=True):
                await server.aclose(deadline_s=0)


class Server:
    """A port that is open. Made by `open_server`."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        lane: Lane,
        open_sockets: OpenSockets,
        slots: Slots,
    ) -> None:
        self.host: str = listener.getsockname()[0]
        self.port: int = listener.getsockname()[1]
        self._acceptor = Acceptor(listener, self._admit)
        self._accepting = trio.CancelScope()
        self._nursery: trio.Nursery
        self._ended = trio.Event()
        self._lane = lane
        self._limits = lane.limits
        self._open_sockets = open_sockets
        self._slots = slots
        self._unsent = Unsent(lane.limits.unsent_bytes, reader_bytes_max=lane.limits.unsent_bytes_per_connection)
        self._conversations: set[Conversation] = set()
        self._refusals = 0
        self._refused = 0
        self._last_left = trio.Event()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(
            connections=len(self._conversations),
            sockets=len(self._open_sockets),
            refused=self._refused,
            silent=self._open_sockets.silent,
            arriving_bytes=self._lane.arriving.bytes,
            given_up=self._lane.arriving.given_up,
            unsent_bytes=self._unsent.bytes,
            cut=self._unsent.cut,
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept, watch, and serve until `aclose`."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._watch, name="watch of the connections")
                task_status.started()
                with self._accepting:
                    await self._acceptor.run()
                await trio.sleep_forever()
        finally:
            self._ended.set()

    async def aclose(self, deadline_s: float = 10.0, reason: str = "") -> None:
        """Stop: accept nothing more, dismiss the sockets, let open requests finish, and cut what is left in time.

        Idle connections are closed at once; requests in progress are answered with Connection: close.
        """
        self._lane.draining = True
        self._accepting.cancel()
        with trio.move_on_after(deadline_s):
            for _ in range(2):  # what has arrived is read in the first round, and answered before the second
                await trio.lowlevel.checkpoint()
            for conversation in self._conversations:
                if conversation.is_idle:
                    conversation.scope.cancel()
            await self._open_sockets.dismiss(GOING_AWAY, reason)
            while self._conversations:
                self._last_left = trio.Event()
                await self._last_left.wait()
        for conversation in self._conversations:
            conversation.wire.abort()
        self._nursery.cancel_scope.cancel()
        await self._ended.wait()

    async def _watch(self) -> None:
        """Look at the clock for all connections, and cancel those that have waited too long."""
        limits = self._limits
        shortest_s = min(
            limits.header_timeout_s,
            limits.body_timeout_s,
            limits.idle_timeout_s,
            limits.websocket_ping_s,
            limits.websocket_pong_s,
        )
        pause_s = min(WATCH_S_MAX, max(WATCH_S_MIN, shortest_s / 4))
        while True:
            await trio.sleep(pause_s)
            self._lane.tick()
            for conversation in self._conversations:
                if conversation.deadline_s < self._lane.now_s:
                    conversation.scope.cancel()
            self._open_sockets.sweep(self._lane.now_s, ping_s=limits.websocket_ping_s, pong_s=limits.websocket_pong_s)

    def _admit(self, connection: socket.socket, ip: str) -> None:
        wire = Wire(connection, self._limits, unsent=self._unsent)
        conversation = Conversation(self._lane, wire, Caller(ip))
        problem = self._slots.take(ip)
        if problem is None:
            self._conversations.add(conversation)
            self._nursery.start_soon(self._serve, conversation, name=f"connection from {ip}")
            return
        self._refused += 1
        if self._refusals < REFUSALS_MAX:
            self._refusals += 1
            self._nursery.start_soon(self._turn_away, conversation, problem, name=f"refusal of {ip}")
        else:
            wire.abort()

    async def _turn_away(self, conversation: Conversation, problem: str) -> None:
        try:
            await conversation.refuse(ClientError(503, problem, headers=RETRY_SOON))
            await conversation.wire.aclose()
        finally:
            conversation.wire.abort()
            self._refusals -= 1

    async def _serve(self, conversation: Conversation) -> None:
        """One connection from its first byte to its end. Whatever goes wrong in it ends it, and nothing else."""
        departure: Departure | None = None
        try:
            departure = await conversation.run()
            if departure is not None:
                await self._open_socket(conversation, departure)
            await conversation.wire.aclose()
        except Exception:  # the boundary of a connection
            logger.exception("a connection from %s failed", conversation.caller.ip)
            if departure is None:
                await conversation.refuse(ClientError(500, "the node failed to answer; its log says why"))
                await conversation.wire.aclose()
        finally:
            conversation.wire.abort()
            self._conversations.discard(conversation)
            self._slots.leave(conversation.caller.ip)
            if not self._conversations:
                self._last_left.set()

    async def _open_socket(self, conversation: Conversation, departure: Departure) -> None:
        wire, route = conversation.wire, departure.route
        wire.unread(plain_handshake(departure.head))
        caller = Caller(conversation.caller.ip, forwarded_for(departure.head.headers))
        if not route.admits(caller):
            await conversation.conclude(Reply(200, b""))
        elif isinstance(route, PeerRoute):
            await serve_socket(wire, route, caller, limits=self._limits, open_sockets=self._open_sockets)
        elif (problem := self._slots.take_socket(caller)) is not None:
            self._refused += 1
            await conversation.refuse(ClientError(503, problem, headers=RETRY_SOON))
        else:
            try:
                await serve_socket(wire, route, caller, limits=self._limits, open_sockets=self._open_sockets)
            finally:
                self._slots.leave_socket(caller)


def _only_upgrades(request: Request) -> Reply:
    raise ClientError(400, 'Can "Upgrade" only to "WebSocket".')
