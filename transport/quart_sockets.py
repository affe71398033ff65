"""WebSockets through Quart: for HTTP/2, and for everybody while the fast lane is switched off.

A lost connection cancels the session here, and a send to it says nothing: that is how Quart-Trio tells.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import cast

import h11
import trio
from quart import Blueprint, websocket
from quart.wrappers import Websocket
from quart_trio.wrappers import TrioResponse
from werkzeug.local import LocalProxy

from .app import caller_of
from .limits import Limits
from .requests import JSON, Caller
from .sessions import OpenSockets
from .sockets import NO_TEXT, NORMAL, TOO_BIG, BinaryRefused, PeerRoute, SocketClosed, SocketRoute
from .upgrades import cut


def socket_blueprint(
    routes: Iterable[SocketRoute | PeerRoute], *, limits: Limits, open_sockets: OpenSockets
) -> Blueprint:
    """The sockets of this node, for Quart."""
    blueprint = Blueprint("sockets", __name__)
    for number, route in enumerate(routes):
        view = partial(_serve, route, limits, open_sockets)
        blueprint.add_websocket(route.path, f"{route.name}-{number}", view)
    return blueprint


async def _serve(route: SocketRoute | PeerRoute, limits: Limits, open_sockets: OpenSockets) -> TrioResponse | None:
    """One session. Who is not admitted gets an empty 200, and no upgrade."""
    headers = [(name.lower(), value) for name, value in websocket.scope["headers"]]
    caller = caller_of(websocket.scope["client"], headers)
    caller = replace(caller, origin=websocket.headers.get("Origin"))
    if not route.admits(caller):
        return TrioResponse(b"", 200, content_type=JSON.decode())
    # Sessions speak from several tasks; the proxy would look for the socket in each one's context.
    connection = cast("LocalProxy[Websocket]", websocket)._get_current_object()
    try:
        await connection.accept()
    except h11.LocalProtocolError:
        return None  # the client spoke before its handshake was answered: what it said was taken for bad HTTP
    if isinstance(route, SocketRoute):
        text = _TextSocket(connection, caller, limits)
        await open_sockets.attend(text, partial(route.session, text, caller))
    else:
        frames = _FrameSocket(connection, caller, limits)
        await open_sockets.attend(frames, partial(route.session, frames, caller))
    return None


class _Socket:
    """What both kinds have in common."""

    def __init__(self, connection: Websocket, caller: Caller, limits: Limits) -> None:
        self._connection = connection
        self._caller = caller
        self._limits = limits
        self._closed = False

    @property
    def caller(self) -> Caller:
        return self._caller

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        with trio.move_on_after(self._limits.websocket_close_s):
            await self._connection.close(code, cut(reason))

    async def _send(self, message: str | bytes) -> None:
        if self._closed:
            raise SocketClosed
        await self._connection.send(message)

    async def _receive(self) -> str | bytes | None:
        if self._closed:
            raise SocketClosed
        message: str | bytes | None = await self._connection.receive()
        return message


class _TextSocket(_Socket):
    """A client's socket, see `sockets.Socket`."""

    async def send(self, text: str) -> None:
        await self._send(text)

    async def receive(self) -> str:
        message = await self._receive()
        if not isinstance(message, str):  # an empty binary message comes as None
            raise BinaryRefused
        if len(message) > self._limits.websocket_text_bytes:
            await self.close(TOO_BIG, f"a message is larger than {self._limits.websocket_text_bytes} bytes")
            raise SocketClosed(TOO_BIG)
        return message


class _FrameSocket(_Socket):
    """A peer's socket, see `sockets.BinarySocket`."""

    async def send(self, frame: bytes) -> None:
        await self._send(frame)

    async def receive(self) -> bytes:
        message = await self._receive()
        if isinstance(message, str):
            await self.close(NO_TEXT, "only binary messages are spoken here")
            raise SocketClosed(NO_TEXT)
        return message or b""

    async def aclose(self) -> None:
        await self.close()
