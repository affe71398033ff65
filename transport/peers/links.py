"""Peer links over WebSocket: the ones this node dials, and the session for those that peers dial."""

import socket
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

import trio

from artemis.actors.ports import DialFailed, Link, LinkLost
from artemis.actors.quoting import quoted

from ..requests import Caller
from ..sockets import BinarySocket, PeerRoute, SocketClosed
from .websocket import DialledLink

PEER_PATH: Final = "/artemis/peer"
KEEPALIVE_S: Final = 10
"""Silence after which the kernel asks whether the machine at the other end is there."""
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_PROBES: Final = 3
UNACKNOWLEDGED_MS: Final = 15_000
"""Bytes that the other machine does not acknowledge for so long end the connection."""


class Acceptor(Protocol):
    """Who converses with peers that dial this node: the cluster."""

    async def accept(self, link: Link, peer_ip: str) -> None: ...


def peer_route(cluster: Acceptor) -> PeerRoute:
    """The path that other nodes dial."""

    async def session(binary: BinarySocket, caller: Caller) -> None:
        await cluster.accept(SocketLink(binary), _address(caller))

    return PeerRoute(PEER_PATH, session)


def _address(caller: Caller) -> str:
    """Where a peer is. Behind a proxy on this machine everybody would seem to be on this machine."""
    if caller.forwarded_for is None:
        return caller.ip
    return f"{quoted(caller.forwarded_for, 100)} by way of {caller.ip}"


class SocketLink:
    """A link over a socket that the listener accepted."""

    def __init__(self, binary: BinarySocket) -> None:
        self._socket = binary

    async def send(self, frame: bytes, /) -> None:
        try:
            await self._socket.send(frame)
        except SocketClosed as closed:
            raise LinkLost(str(closed)) from None

    async def receive(self) -> bytes:
        try:
            return await self._socket.receive()
        except SocketClosed as closed:
            raise LinkLost(str(closed)) from None

    async def aclose(self) -> None:
        await self._socket.aclose()


class WebSocketDialer:
    """Dials peers."""

    def __init__(self, *, addresses: Mapping[str, str] | None = None) -> None:
        """`addresses`: where to reach nodes to which their own URL does not lead from here."""
        self._addresses = addresses or {}

    async def dial(self, peer: str, *, answered: Callable[[], None] = lambda: None) -> DialledLink:
        """A link to the node of this URL. Raises DialFailed."""
        parts = urlsplit(self._addresses.get(peer, peer))
        host, port = parts.hostname or "", parts.port or 80
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            raise DialFailed(f"{host}:{port}: {_cause(error)}", refused=_is_refusal(error)) from None
        answered()
        link = DialledLink(stream)
        established = False
        try:
            _keep_alive(stream)
            await link.open(parts.netloc, PEER_PATH)
            established = True
        except LinkLost as lost:
            raise DialFailed(f"{host}:{port}: {lost}") from None
        finally:
            if not established:
                await trio.aclose_forcefully(stream)
        return link


def _keep_alive(stream: trio.SocketStream) -> None:
    """Let the kernel notice a machine that is gone, as a second line behind our own pings."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            stream.setsockopt(socket.IPPROTO_TCP, option, value)


def _is_refusal(error: OSError) -> bool:
    """Whether every address refused the connection: the machine is there, and nobody listens."""
    cause = error.__cause__
    if isinstance(cause, ExceptionGroup):
        return all(isinstance(attempt, ConnectionRefusedError) for attempt in cause.exceptions)
    return isinstance(error, ConnectionRefusedError)


def _cause(error: OSError) -> str:
    cause = error.__cause__
    causes = cause.exceptions if isinstance(cause, ExceptionGroup) else (error,)
    return "; ".join(
        attempt.strerror or str(attempt) if isinstance(attempt, OSError) else str(attempt) for attempt in causes
    )
