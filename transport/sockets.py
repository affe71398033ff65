"""WebSockets as sessions see them: text for clients, binary for peers, whichever library is underneath.

Rules for a session
* It keeps receiving. What it does not read fills a short queue, and behind a full queue not even pings are answered.
* Any number of its tasks may send; one receives.
* It may end in four ways: by returning (closed with 1000), by closing itself, by `SocketClosed` from any call, or
  by being cancelled, when the node stops. So it cleans up in `finally`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from .requests import Caller

NORMAL, GOING_AWAY, NO_BINARY, POLICY, TOO_BIG, FAILED, TRY_AGAIN = 1000, 1001, 1003, 1008, 1009, 1011, 1013
NO_TEXT = NO_BINARY


class SocketClosed(Exception):
    """The other side is gone or leaving, or we closed; nothing more can be sent or received."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class BinaryRefused(Exception):
    """A binary message on a text socket. A session that lets this pass is closed with 1003."""


class Socket(Protocol):
    """A text socket to a client."""

    @property
    def caller(self) -> Caller: ...

    async def send(self, text: str) -> None:
        """Hand one text message to the network. Raises SocketClosed, also when the reader is too slow."""
        ...

    async def receive(self) -> str:
        """The next text message. Raises SocketClosed, or BinaryRefused."""
        ...

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close with a code and a reason; returns within a bounded time, and does not raise when already closed."""
        ...


class BinarySocket(Protocol):
    """A binary socket to a peer."""

    async def send(self, frame: bytes) -> None:
        """Hand one frame to the network. Raises SocketClosed."""
        ...

    async def receive(self) -> bytes:
        """The next frame. Raises SocketClosed; a text message closes the socket."""
        ...

    async def aclose(self) -> None: ...


Session = Callable[[Socket, Caller], Awaitable[None]]
PeerSession = Callable[[BinarySocket, Caller], Awaitable[None]]


def everyone(caller: Caller) -> bool:
    """Nobody is refused at the handshake."""
    return True


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """A path that clients upgrade. Who is not admitted gets an empty 200 and no upgrade, as in the RPC contract."""

    path: str
    session: Session
    name: str
    admits: Callable[[Caller], bool] = everyone


@dataclass(frozen=True, slots=True)
class PeerRoute:
    """A path that other nodes upgrade."""

    path: str
    session: PeerSession
    name: str = "peer"
    admits: Callable[[Caller], bool] = everyone
