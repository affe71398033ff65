"""The port of a node: its connections, their limits, who serves them, and their end.

A connection begins in the fast lane. It may leave it once, for a WebSocket session or for Hypercorn, and stays there.
With the lane switched off its tables are empty, so every connection leaves at its first request; the front door, with
the limits and deadlines of that first head, stays the same.
"""

import logging
import socket
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from quart import Blueprint

from .app import build_app
from .errors import ClientError
from .fastlane import Conversation, Departure
from .handover import Guest
from .heads import Head
from .limits import Limits
from .listener import Acceptor, open_listener
from .observation import Observer
from .plans import Lane
from .quart_sockets import socket_blueprint
from .requests import Caller, Reply, Route, forwarded_for
from .responses import Cors
from .sessions import OpenSockets
from .sockets import GOING_AWAY, PeerRoute, SocketRoute
from .upgrades import check_handshake, is_upgrade, serve_socket
from .wire import Wire

logger = logging.getLogger(__name__)

REFUSALS_MAX = 256
"""Surplus connections that are being told so. One more is closed without a word."""
WATCH_S_MIN, WATCH_S_MAX = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """What the port is busy with."""

    connections: int
    sockets: int
    refused: int
    """Connections turned away since the start because there were too many."""


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
) -> AsyncGenerator["Server", None]:
    """Serve on `listener`, or on a new one for `host` and `port`. Raises OSError when the address cannot be had.

    Leaving the block cuts every connection that is still open: call `aclose` before, to end them well.
    """
    routes, sockets, limits, cors = list(routes), list(sockets), limits or Limits(), cors or Cors()
    open_sockets = OpenSockets()
    in_quart = socket_blueprint(sockets, limits=limits, open_sockets=open_sockets)
    app = build_app(routes, limits=limits, cors=cors, observer=observer, blueprints=(in_quart, *blueprints))
    async with trio.open_nursery() as nursery:
        server = Server(
            listener or open_listener(host, port, limits),
            lane=Lane(routes if fast_lane else (), limits=limits, cors=cors, observer=observer),
            guest=Guest(app, limits),
            sockets=sockets if fast_lane else (),
            open_sockets=open_sockets,
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
        guest: Guest,
        sockets: Sequence[SocketRoute | PeerRoute],
        open_sockets: OpenSockets,
    ) -> None:
        self.host: str = listener.getsockname()[0]
        self.port: int = listener.getsockname()[1]
        self._acceptor = Acceptor(listener, self._admit)
        self._accepting = trio.CancelScope()
        self._nursery: trio.Nursery
        self._ended = trio.Event()
        self._lane = lane
        self._limits = lane.limits
        self._guest = guest
        self._routes = {route.path: route for route in sockets}
        self._open_sockets = open_sockets
        self._conversations: set[Conversation] = set()
        self._refusals = 0
        self._refused = 0
        self._last_left = trio.Event()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(len(self._conversations), len(self._open_sockets), self._refused)

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
            await self._guest.drain()
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
        shortest_s = min(limits.header_timeout_s, limits.body_timeout_s, limits.idle_timeout_s)
        pause_s = min(WATCH_S_MAX, max(WATCH_S_MIN, shortest_s / 4))
        while True:
            await trio.sleep(pause_s)
            self._lane.tick()
            for conversation in self._conversations:
                if conversation.deadline_s < self._lane.now_s:
                    conversation.scope.cancel()

    def _admit(self, connection: socket.socket, ip: str) -> None:
        wire = Wire(connection, self._limits)
        conversation = Conversation(self._lane, wire, Caller(ip))
        if len(self._conversations) < self._limits.connections:
            self._conversations.add(conversation)
            self._nursery.start_soon(self._serve, conversation, name=f"connection from {ip}")
            return
        self._refused += 1
        if self._refusals < REFUSALS_MAX:
            self._refusals += 1
            self._nursery.start_soon(self._turn_away, conversation, name=f"refusal of {ip}")
        else:
            wire.abort()

    async def _turn_away(self, conversation: Conversation) -> None:
        try:
            retry = ((b"Retry-After", b"1"),)
            await conversation.refuse(ClientError(503, "this node has too many connections", headers=retry))
            await conversation.wire.aclose()
        finally:
            conversation.wire.abort()
            self._refusals -= 1

    async def _serve(self, conversation: Conversation) -> None:
        """One connection from its first byte to its end. Whatever goes wrong in it ends it, and nothing else."""
        try:
            departure = await conversation.run()
            if departure is not None:
                await self._send_off(conversation, departure)
            await conversation.wire.aclose()
        except Exception:  # the boundary of a connection
            logger.exception("a connection from %s failed", conversation.caller.ip)
            if not conversation.has_departed:
                await conversation.refuse(ClientError(500, "the node failed to answer; its log says why"))
                await conversation.wire.aclose()
        finally:
            conversation.wire.abort()
            self._conversations.discard(conversation)
            if not self._conversations:
                self._last_left.set()

    async def _send_off(self, conversation: Conversation, departure: Departure) -> None:
        """Give a connection to who serves its next request."""
        wire, head = conversation.wire, departure.head
        wire.unread(departure.unread)
        route = None if head is None else self._socket_route(head)
        if head is None or route is None:
            await self._guest.serve(conversation)
            return
        conversation.work()
        try:
            check_handshake(head)
        except ClientError as error:
            await conversation.refuse(error)
            return
        caller = _caller(conversation, head)
        if not route.admits(caller):
            await conversation.conclude(Reply(200, b""))
            return
        await serve_socket(wire, route, caller, limits=self._limits, open_sockets=self._open_sockets)

    def _socket_route(self, head: Head) -> SocketRoute | PeerRoute | None:
        return self._routes.get(head.path.decode("latin-1")) if is_upgrade(head) else None


def _caller(conversation: Conversation, head: Head) -> Caller:
    claim, origin = forwarded_for(head.headers), head.header(b"origin")
    if claim is None and origin is None:
        return conversation.caller
    return Caller(conversation.caller.ip, claim, None if origin is None else origin.decode("latin-1"))
