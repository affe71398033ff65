"""The WebSocket to a node, as the SDK needs it: text in, text out, and one way to fail."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket_url

CONNECT_TIMEOUT_S: Final = 5.0
TEXT_BYTES_MAX: Final = 16 * 1024 * 1024
"""A snapshot of a very large service fits; what is larger ends the connection."""


class Disconnected(Exception):
    """There is no connection, or there is none any more; the text says why."""


class TextSocket(Protocol):
    async def send(self, text: str) -> None: ...

    async def receive(self) -> str: ...


Dial = Callable[[str], AbstractAsyncContextManager[TextSocket]]
"""Opens the socket of a url for the length of a block. Everything that goes wrong is Disconnected."""


class _Socket:
    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as closed:
            raise Disconnected(_reason(closed)) from None

    async def receive(self) -> str:
        try:
            message = await self._connection.get_message()
        except ConnectionClosed as closed:
            raise Disconnected(_reason(closed)) from None
        if isinstance(message, bytes):
            raise Disconnected("the node sent a binary message")
        return message


@asynccontextmanager
async def dial(url: str) -> AsyncGenerator[TextSocket, None]:
    """A WebSocket over TCP, or TLS for wss."""
    try:
        async with open_websocket_url(
            url,
            max_message_size=TEXT_BYTES_MAX,
            connect_timeout=CONNECT_TIMEOUT_S,
            disconnect_timeout=CONNECT_TIMEOUT_S,
        ) as connection:
            yield _Socket(connection)
    except (HandshakeError, OSError, trio.TooSlowError, ConnectionClosed) as error:
        raise Disconnected(str(error) or type(error).__name__) from None


def _reason(closed: ConnectionClosed) -> str:
    if closed.reason is None:
        return "the connection was lost"
    return f"closed with {closed.reason.code} {closed.reason.reason or closed.reason.name}"
