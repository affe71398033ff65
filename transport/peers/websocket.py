"""The dialling end of a peer link: a WebSocket without tasks of its own.

Nothing runs in the background, so nothing can crash there: a frame is read when somebody waits for one, and a peer
that is not read from feels it in its own buffers. (The reader task of trio-websocket raises into the nursery that it
was given when a handshake is rejected, and leaves the socket open when the other side closes.)
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
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from artemis.actors.frames import FRAME_BYTES_MAX
from artemis.actors.ports import LinkLost

RECEIVE_BYTES: Final = 64 * 1024


class DialledLink:
    """Implements Link on a connection that this node opened."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._sending = trio.Lock()
        self._events: deque[Event] = deque()

    async def open(self, host: str, path: str) -> None:
        """Do the opening handshake. Raises LinkLost."""
        await self._say(Request(host=host, target=path))
        match await self._next():
            case AcceptConnection():
                return
            case RejectConnection(status_code=status):
                raise LinkLost(f"answers {status} instead of a WebSocket")
            case event:
                raise LinkLost(f"unexpected {type(event).__name__} in the opening handshake")

    async def send(self, frame: bytes, /) -> None:
        await self._say(BytesMessage(data=frame))

    async def receive(self) -> bytes:
        """The next frame. Raises LinkLost, also for a text message, or a frame that is too long."""
        parts: list[bytes | bytearray] = []
        size = 0
        while True:
            match await self._next():
                case BytesMessage(data=data, message_finished=finished):
                    size += len(data)
                    if size > FRAME_BYTES_MAX:
                        raise LinkLost(f"a frame of more than {FRAME_BYTES_MAX} bytes")
                    parts.append(data)
                    if finished:
                        return b"".join(parts)
                case Ping() as ping:
                    await self._say(ping.response())
                case Pong():
                    pass
                case CloseConnection(code=code, reason=reason):
                    raise LinkLost(f"closed with {int(code)} {reason or ''}".rstrip())
                case TextMessage():
                    raise LinkLost("a text message on a peer link")
                case event:
                    raise LinkLost(f"unexpected {type(event).__name__}")

    async def aclose(self) -> None:
        """Say so to the other side, without waiting for what it says, and end the connection."""
        try:
            await self._say(CloseConnection(code=1000))
        except LinkLost:
            pass
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _say(self, event: Event) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(self._protocol.send(event))
            except LocalProtocolError:
                raise LinkLost("closed") from None
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise LinkLost("the connection is gone") from None

    async def _next(self) -> Event:
        """The next event that is not part of a rejection's body."""
        while True:
            while self._events:
                event = self._events.popleft()
                if not isinstance(event, RejectData):
                    return event
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
                if not data:
                    raise LinkLost("the connection was closed")
                self._protocol.receive_data(bytes(data))
            except RemoteProtocolError as error:
                raise LinkLost(f"not a WebSocket: {error}") from None
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise LinkLost("the connection is gone") from None
            self._events.extend(self._protocol.events())
