"""WebSockets on the listener itself, by trio-websocket: cancelled at once, and with a deadline on every send."""

import re
from contextlib import suppress
from functools import partial
from typing import Final

import trio
import trio_websocket

from .errors import ClientError
from .frames import FrameSocket, cut
from .heads import Head
from .limits import Limits
from .requests import Caller
from .sessions import OpenSockets
from .sockets import NORMAL, BinaryRefused, PeerRoute, SocketClosed, SocketRoute
from .wire import Wire

FRAMES_BYTES: Final = 4096
"""Of frames that are handled in one go; then other connections have their turn. Empty ones cost as much as others, and
there are ten thousand of them in 64 KiB."""

_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""Sixteen bytes in base64."""


def is_upgrade(head: Head) -> bool:
    """Whether this request asks for a WebSocket."""
    return head.method == b"GET" and b"websocket" in head.tokens(b"upgrade")


def check_handshake(head: Head) -> ClientError | None:
    """What is wrong with this opening handshake by RFC 6455. None: nothing, and the library agrees."""
    key = b", ".join(value for name, value in head.headers if name == b"sec-websocket-key")
    upgrades = b"upgrade" in head.tokens(b"connection") and head.tokens(b"upgrade") == {b"websocket"}
    if head.http_1_0 or head.length or head.chunked or not upgrades or not _KEY.fullmatch(key):
        return ClientError(400, "this is not the opening handshake of a WebSocket")
    if head.header(b"sec-websocket-version") != b"13":
        version = ((b"Sec-WebSocket-Version", b"13"),)
        return ClientError(426, "only version 13 of the WebSocket protocol is supported", headers=version)
    return None


def plain_handshake(head: Head) -> bytes:
    """All of a handshake found good that the answer depends on, for a library that would judge its lines once more:
    by other rules, and, where they hold what is not ASCII, by failing."""
    key = head.header(b"sec-websocket-key") or b""
    return (
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
    )


async def serve_socket(
    wire: Wire, route: SocketRoute | PeerRoute, caller: Caller, *, limits: Limits, open_sockets: OpenSockets
) -> None:
    """Accept the handshake whose bytes are next on the wire, and run the session of the route to its end."""
    if isinstance(route, PeerRoute):
        frames = FrameSocket(wire, limits)
        with suppress(SocketClosed):
            await frames.accept()
            await open_sockets.attend(frames, partial(route.session, frames, caller))
        return
    async with trio.open_nursery() as nursery:
        connection = await _accept(nursery, wire, limits)
        if connection is not None:
            text = TextSocket(connection, caller, limits)
            await open_sockets.attend(text, partial(route.session, text, caller), wire=wire)
        nursery.cancel_scope.cancel()


async def _accept(nursery: trio.Nursery, wire: Wire, limits: Limits) -> trio_websocket.WebSocketConnection | None:
    """The connection; None when the client is gone, or when the library finds fault with the handshake, which it
    only says by silence."""
    with trio.move_on_after(limits.header_timeout_s):
        request = await trio_websocket.wrap_server_stream(
            nursery,
            wire,
            message_queue_size=limits.websocket_queue,
            max_message_size=limits.websocket_text_bytes,
            receive_buffer_size=FRAMES_BYTES,
        )
        with suppress(trio_websocket.ConnectionClosed):
            return await request.accept()
    return None


class TextSocket:
    """A client's socket, see `sockets.Socket`."""

    def __init__(self, connection: trio_websocket.WebSocketConnection, caller: Caller, limits: Limits) -> None:
        self._connection = connection
        self._caller = caller
        self._limits = limits
        self._closing: trio.Event | None = None

    @property
    def caller(self) -> Caller:
        return self._caller

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Whoever closes first says why; who comes later waits with it for the other side to agree."""
        with trio.move_on_after(self._limits.websocket_close_s):
            if self._closing is not None:
                await self._closing.wait()
                return
            self._closing = trio.Event()
            try:
                await self._connection.aclose(code, cut(reason))
            finally:
                self._closing.set()

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_message(text)
        except trio_websocket.ConnectionClosed as error:
            raise _closed(error) from None

    async def receive(self) -> str:
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise _closed(error) from None
        if not isinstance(message, str):
            raise BinaryRefused
        return message


def _closed(error: trio_websocket.ConnectionClosed) -> SocketClosed:
    if error.reason is None:
        return SocketClosed()
    return SocketClosed(error.reason.code, error.reason.reason or "")
