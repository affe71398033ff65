"""The accepting end of a peer's WebSocket: binary messages, without a task of its own.

Nothing is read that nobody waits for, so a peer that has not said who it is cannot make us hold more than its first
message may have. Extensions are not offered: frames are small, and compression would keep a window for each link.
"""

from collections import deque
from typing import Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from .limits import Limits
from .sockets import NO_TEXT, NORMAL, TOO_BIG, SocketClosed

RECEIVE_BYTES: Final = 64 * 1024
STRANGER_RECEIVE_BYTES: Final = 4096
"""Before the hello: frames that are handled in one go, however small, until others have their turn."""


class FrameSocket:
    """A peer's socket, see `sockets.BinarySocket`."""

    def __init__(self, stream: trio.abc.Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._bytes_max = limits.websocket_hello_bytes
        self._receive_bytes = STRANGER_RECEIVE_BYTES
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._events: deque[Event] = deque()
        self._sending = trio.Lock()
        self._closed = False

    async def accept(self) -> None:
        """Answer the opening handshake, which is next on the stream and was found good. Raises SocketClosed."""
        event = await self._next()
        assert isinstance(event, Request), event
        await self._say(AcceptConnection())

    async def send(self, frame: bytes) -> None:
        await self._say(BytesMessage(data=frame))

    async def receive(self) -> bytes:
        parts: list[bytes | bytearray] = []
        size = 0
        while True:
            match await self._next():
                case BytesMessage(data=data, message_finished=finished):
                    size += len(data)
                    if size > self._bytes_max:
                        await self._refuse(TOO_BIG, f"a message is larger than {self._bytes_max} bytes")
                    parts.append(data)
                    if finished:
                        self._bytes_max = self._limits.websocket_binary_bytes
                        self._receive_bytes = RECEIVE_BYTES
                        return b"".join(parts)
                case Ping() as ping:
                    await self._say(ping.response())
                case Pong():
                    pass
                case CloseConnection(code=code, reason=reason) as close:
                    if not self._closed:
                        self._closed = True
                        await self._say(close.response())
                    raise SocketClosed(int(code), reason or "")
                case TextMessage():
                    await self._refuse(NO_TEXT, "only binary messages are accepted here")
                case event:
                    raise SocketClosed(reason=f"unexpected {type(event).__name__}")

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say so to the other side. What it answers is for whoever receives, and for the end of the stream."""
        if self._closed:
            return
        self._closed = True
        with trio.move_on_after(self._limits.websocket_close_s):
            try:
                await self._say(CloseConnection(code=code, reason=cut(reason)))
            except SocketClosed:
                pass  # the other side is gone already

    async def aclose(self) -> None:
        await self.close()

    async def _refuse(self, code: int, reason: str) -> None:
        await self.close(code, reason)
        raise SocketClosed(code, reason)

    async def _say(self, event: Event) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(self._protocol.send(event))
            except LocalProtocolError:
                raise SocketClosed from None
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise SocketClosed from None

    async def _next(self) -> Event:
        while not self._events:
            try:
                data = await self._stream.receive_some(self._receive_bytes)
                if not data:
                    raise SocketClosed
                self._protocol.receive_data(bytes(data))
            except RemoteProtocolError as error:
                raise SocketClosed(reason=f"not a WebSocket: {error}") from None
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise SocketClosed from None
            self._events.extend(self._protocol.events())
        return self._events.popleft()


REASON_BYTES_MAX: Final = 123
"""Of a close frame. A longer reason is cut."""


def cut(reason: str) -> str:
    """The reason, as much of it as fits into a close frame."""
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
