"""The sockets in use: how each session ends, and how all of them are told that the node is leaving."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from .sockets import FAILED, GOING_AWAY, NO_BINARY, NORMAL, BinaryRefused, SocketClosed


class Closeable(Protocol):
    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close within a bounded time; nothing happens when it is closed already."""
        ...


class _Open:
    __slots__ = ("ended", "scope", "socket")

    def __init__(self, socket: Closeable) -> None:
        self.socket = socket
        self.scope = trio.CancelScope()
        self.ended = trio.Event()


class OpenSockets:
    """Every socket with a session, whichever library it comes from."""

    def __init__(self) -> None:
        self._open: set[_Open] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def attend(self, socket: Closeable, session: Callable[[], Awaitable[None]]) -> None:
        """Run a session to its end, and close its socket with the code that says how it ended."""
        entry = _Open(socket)
        self._open.add(entry)
        code, reason = FAILED, "internal error"
        try:
            with entry.scope:
                try:
                    await session()
                    code, reason = NORMAL, ""
                except* SocketClosed:
                    code, reason = NORMAL, ""
                except* BinaryRefused:
                    code, reason = NO_BINARY, "Binary messages not supported"
            if entry.scope.cancelled_caught:
                code, reason = GOING_AWAY, ""
        except trio.Cancelled:
            code, reason = GOING_AWAY, ""
            raise
        finally:
            self._open.discard(entry)
            with trio.CancelScope(shield=True):  # `close` is bounded by itself
                await socket.close(code, reason)
            entry.ended.set()

    async def dismiss(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """Close every socket with a code and a reason, and end its session."""
        async with trio.open_nursery() as nursery:
            for entry in list(self._open):
                nursery.start_soon(_dismiss, entry, code, reason, name="dismissal of a socket")


async def _dismiss(entry: _Open, code: int, reason: str) -> None:
    await entry.socket.close(code, reason)
    entry.scope.cancel()
    await entry.ended.wait()
