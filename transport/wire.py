"""One accepted TCP connection: bytes in and out with deadlines, and an end that the client gets to see.

Conversations and WebSockets run over this stream; whatever they send has its deadline here.
"""

import socket

import trio

from .limits import Limits
from .unsent import Unsent

RECEIVE_BYTES = 64 * 1024
SEND_BYTES_PER_S_MIN = 32 * 1024
"""A client that takes a long answer more slowly than this is cut off."""
PING = b"\x89\x00"
"""Of a server to a client of a WebSocket: final, opcode 9, not masked, empty."""
LINGER_BYTES_MAX = 16 * 1024 * 1024
"""What a refused client may still send before its connection is reset under it."""


class Wire(trio.abc.Stream):
    """A non-blocking socket as a Trio stream, beginning with bytes that were read from it already."""

    def __init__(
        self, sock: socket.socket, limits: Limits, *, unread: bytes = b"", unsent: Unsent | None = None
    ) -> None:
        """`unsent`: where to count what the client does not take."""
        self.socket = sock
        self.took_s = self.heard_s = trio.current_time()
        """When the client last took something of what it had not taken at once, and when something came from it."""
        self._limits = limits
        self._unread = unread
        self._unsent = unsent or Unsent(limits.unsent_bytes, reader_bytes_max=limits.unsent_bytes_per_connection)
        self.listens = False
        """Whether somebody waits for what comes next."""
        self._sending = False
        self._closed = False

    def ping(self) -> None:
        """Send the ping frame of a WebSocket, between two frames of its session; nothing when one is under way."""
        if self._sending or self._closed:
            return
        try:
            sent = self.socket.send(PING)
        except OSError:
            return  # the client takes nothing, and so will not answer
        if sent < len(PING):
            self.abort()

    def unread(self, data: bytes) -> None:
        """Give bytes back: they are the next to be received."""
        self._unread = data + self._unread

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; b"" at the end of what the client sends."""
        if self._unread:
            await trio.lowlevel.checkpoint()
            size = max_bytes or len(self._unread)
            data, self._unread = self._unread[:size], self._unread[size:]
            self.heard_s = trio.current_time()
            return data
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            self.listens = True
            try:
                await trio.lowlevel.wait_readable(self.socket)
                data = self.socket.recv(max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
            finally:
                self.listens = False
            self.heard_s = trio.current_time()
            return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, or cut the connection when the client does not take it in time."""
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.checkpoint_if_cancelled()
        with memoryview(data) as view:
            sent = self._send(view)
            if sent == len(view):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            self._sending = True
            self.took_s = trio.current_time()
            self._unsent.hold(self, view.obj, memoryview(view.obj).nbytes)
            try:
                with trio.move_on_after(self._limits.send_timeout_s + len(view) / SEND_BYTES_PER_S_MIN):
                    while sent < len(view):
                        if self._closed:
                            raise trio.ClosedResourceError
                        await trio.lowlevel.wait_writable(self.socket)
                        sent += self._send(view[sent:])
                        self.took_s = trio.current_time()
                    return
            except trio.Cancelled:
                if sent:  # whatever would be sent next, the client would take it for the rest of this
                    self.abort()
                raise
            finally:
                self._sending = False
                self._unsent.release(self)
        self.abort()
        raise trio.BrokenResourceError("the client does not take what it asked for")

    def _send(self, view: memoryview) -> int:
        try:
            return self.socket.send(view)
        except BlockingIOError:
            return 0
        except OSError as error:
            if self._closed:
                raise trio.ClosedResourceError from error
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self.socket)

    async def aclose(self) -> None:
        """Close so that the client can read our last answer, even while it is still sending.

        Closing a socket with unread bytes resets the connection, and the reset overtakes the answer. So what has
        arrived is read first; only a client that is in the middle of sending is waited for, and not for long.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        trio.lowlevel.notify_closing(self.socket)
        try:
            self.socket.shutdown(socket.SHUT_WR)
            with trio.move_on_after(self._limits.linger_s, shield=True):
                await self._drain()
        except OSError:
            pass  # the other side is gone already
        finally:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def _drain(self) -> None:
        if not self._discard():
            return
        drained = 0
        while drained < LINGER_BYTES_MAX:
            await trio.lowlevel.wait_readable(self.socket)
            size = self._discard()
            if not size:
                return
            drained += size

    def _discard(self) -> int:
        try:
            return len(self.socket.recv(RECEIVE_BYTES))
        except BlockingIOError:
            return 0

    def abort(self) -> None:
        """Close at once. Whoever waits for this stream gets ClosedResourceError."""
        if self.socket.fileno() < 0:
            return
        self._closed = True
        trio.lowlevel.notify_closing(self.socket)
        self.socket.close()
