"""The sockets in use: how each session ends, and how all of them are told that the node is leaving."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from .sockets import FAILED, GOING_AWAY, NO_BINARY, NORMAL, BinaryRefused, SocketClosed


class Closeable(Protocol):
    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close within a bounded time; nothing happens when it is closed already."""
        ...


class Pulse(Protocol):
    """The connection under a socket, as far as it shows whether anybody is at the other end."""

    heard_s: float
    """When something came from there last."""

    @property
    def listens(self) -> bool:
        """Whether we would hear something now; not while its session is busy with what it said before."""
        ...

    def ping(self) -> None:
        """Ask for a sign of life. Never waits; nothing happens while something else is being sent."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class _Open:
    __slots__ = ("ended", "pinged_s", "pulse", "scope", "socket")

    def __init__(self, socket: Closeable, pulse: Pulse | None) -> None:
        self.socket = socket
        self.pulse = pulse
        self.pinged_s = 0.0
        self.scope = trio.CancelScope()
        self.ended = trio.Event()


class OpenSockets:
    """Every socket with a session, whichever library it comes from."""

    def __init__(self) -> None:
        self._open: set[_Open] = set()
        self.silent = 0
        """Sockets that were cut since the start because nobody was at the other end."""

    def __len__(self) -> int:
        return len(self._open)

    def sweep(self, now_s: float, *, ping_s: float, pong_s: float) -> None:
        """Ping the sockets that were silent for `ping_s`, and cut those that stayed so for `pong_s` after it."""
        for entry in self._open:
            pulse = entry.pulse
            if pulse is None or now_s - pulse.heard_s < ping_s:
                continue
            if entry.pinged_s <= pulse.heard_s:
                entry.pinged_s = now_s
                pulse.ping()
            elif now_s - entry.pinged_s >= pong_s and pulse.listens:
                self.silent += 1
                pulse.abort()

    async def attend(
        self, socket: Closeable, session: Callable[[], Awaitable[None]], *, wire: Pulse | None = None
    ) -> None:
        """Run a session to its end, and close its socket with the code that says how it ended.

        With a `wire` it is asked for signs of life; sockets that do so themselves have none here.
        """
        entry = _Open(socket, wire)
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
