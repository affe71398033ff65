"""Fault-injecting TCP proxies: one listener per directed pair, all ruled by one table of faults.

`Network` is the switchboard: change its table through `apply`, and every open connection follows. A proxy
forwards bytes without looking at them. Pieces wait in a short queue with the moment at which they are due,
so that delay does not cost bandwidth; a flow that is cut is simply not read, and goes on after the heal with
nothing missing, as TCP itself would. A proxy whose far node does not listen stops listening too, so that
"refused", from which nodes learn that there is nobody, stays "refused".
"""

import errno
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from .faults import RETRANSMIT_S, Cut, Fault, FaultTable

PIECE_BYTES = 64 * 1024
"""The most that is read at once, and therefore what one loss or one reset is thrown for."""

PIECES_MAX = 64
"""Pieces under way in one flow. One more, and the sender is no longer read: TCP pushes back."""

CONNECTIONS_MAX = 4096
"""Connections of one proxy. One more is reset at once."""

PROBE_S = 0.05
"""How often a node that refused is tried again."""

CONNECT_S = 2.0
"""How long the far node may take to accept."""


@dataclass(slots=True)
class PathStatistics:
    """What went through one proxy so far."""

    opened: int = 0
    open: int = 0
    reset: int = 0
    bytes: int = 0


class Network:
    """The faults that are in force, and the moment they change."""

    def __init__(self, table: FaultTable, *, seed: int | None = None) -> None:
        self.table = table
        self.random = random.Random(seed)
        self.changed = trio.Event()

    def apply(self, change: Callable[[FaultTable], None]) -> None:
        """Change the table, and let every connection notice."""
        change(self.table)
        self.notify()

    def notify(self) -> None:
        """Let everybody who waits look again."""
        self.changed.set()
        self.changed = trio.Event()

    async def until_flowing(self, source: str, target: str) -> Fault:
        """Wait until bytes may go from source to target, and tell how they fare."""
        while (fault := self.table.flow(source, target)).cut is not Cut.NONE:
            await self.changed.wait()
        return fault

    async def until_link_is_not(self, source: str, target: str, *cuts: Cut) -> Cut:
        """Wait until a connection between the two meets something else than `cuts`."""
        while (cut := self.table.link(source, target)) in cuts:
            await self.changed.wait()
        return cut


@dataclass(slots=True)
class Proxy:
    """Listens for `source`, and forwards to `target`, what the network allows."""

    network: Network
    source: str
    target: str
    target_address: tuple[str, int]
    host: str = "127.0.0.1"
    port: int = 0
    """Known after `run` has started when it was 0."""
    statistics: PathStatistics = field(default_factory=PathStatistics)
    _is_refused: bool = False
    """Whether the far node refused the last connection: nobody listens there."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Started once the port is known."""
        listeners = await trio.open_tcp_listeners(self.port, host=self.host)
        self.port = int(listeners[0].socket.getsockname()[1])
        task_status.started()
        async with trio.open_nursery() as conversations:
            while True:
                async with trio.open_nursery() as listening:
                    serve = partial(trio.serve_listeners, handler_nursery=conversations)
                    listening.start_soon(serve, self._serve, listeners, name="accept")
                    await self._until_unreachable()
                    listening.cancel_scope.cancel()
                await self._until_reachable()
                listeners = await self._listen_again()

    async def _until_unreachable(self) -> None:
        """Wait until whoever connects should be refused."""
        while not (self._is_refused or self._cut() is Cut.RESET):
            await self.network.changed.wait()

    async def _until_reachable(self) -> None:
        while True:
            while self._cut() is Cut.RESET:
                await self.network.changed.wait()
            if not self._is_refused:
                return
            probe = await self._dial()
            if probe is not None:
                await trio.aclose_forcefully(probe)
                self._is_refused = False
            else:
                await trio.sleep(PROBE_S)

    async def _listen_again(self) -> list[trio.SocketListener]:
        """The same port once more; waits while somebody else has it."""
        while True:
            try:
                return await trio.open_tcp_listeners(self.port, host=self.host)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            await trio.sleep(PROBE_S)

    def _cut(self) -> Cut:
        return self.network.table.link(self.source, self.target)

    async def _serve(self, near: trio.SocketStream) -> None:
        self.statistics.opened += 1
        self.statistics.open += 1
        try:
            await self._connect_and_forward(near)
        finally:
            self.statistics.open -= 1

    async def _connect_and_forward(self, near: trio.SocketStream) -> None:
        cut = await self.network.until_link_is_not(self.source, self.target, Cut.SILENT)
        if cut is Cut.RESET or self.statistics.open > CONNECTIONS_MAX:
            self._reset(near)
            return
        far = await self._dial()
        if far is None:
            self._reset(near)
            return
        try:
            if await self._forward(near, far):
                self._reset(near, far)
        finally:
            near.socket.close()
            far.socket.close()

    async def _dial(self) -> trio.SocketStream | None:
        with trio.move_on_after(CONNECT_S):
            try:
                return await trio.open_tcp_stream(*self.target_address)
            except OSError:
                self._is_refused = True
                self.network.notify()
        return None

    async def _forward(self, near: trio.SocketStream, far: trio.SocketStream) -> bool:
        """Carry both flows until they end. True when the connection has to be reset."""
        is_broken = False

        async def flow(reader: trio.SocketStream, writer: trio.SocketStream, source: str, target: str) -> None:
            nonlocal is_broken
            try:
                await self._flow(reader, writer, source, target)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                is_broken = True
                everything.cancel()

        async def watch() -> None:
            nonlocal is_broken
            await self.network.until_link_is_not(self.source, self.target, Cut.NONE, Cut.SILENT)
            is_broken = True
            everything.cancel()

        with trio.CancelScope() as everything:
            async with trio.open_nursery() as watching:
                watching.start_soon(watch, name="reset watch")
                async with trio.open_nursery() as flowing:
                    flowing.start_soon(flow, near, far, self.source, self.target, name="up")
                    flowing.start_soon(flow, far, near, self.target, self.source, name="down")
                watching.cancel_scope.cancel()
        return is_broken

    async def _flow(self, reader: trio.SocketStream, writer: trio.SocketStream, source: str, target: str) -> None:
        """One direction: read, wait until due, write; the end of the stream travels the same way."""
        pieces_in, pieces_out = trio.open_memory_channel[tuple[float, bytes]](PIECES_MAX)

        async def read() -> None:
            due_s = 0.0
            async with pieces_in:
                while True:
                    await self.network.until_flowing(source, target)
                    piece = await reader.receive_some(PIECE_BYTES)
                    fault = self.network.table.flow(source, target)
                    due_s = self._due_s(fault, len(piece), due_s)
                    await pieces_in.send((due_s, piece))
                    if not piece:
                        return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, name="read")
            async for due_s, piece in pieces_out:
                await trio.sleep_until(due_s)
                await self.network.until_flowing(source, target)
                if piece:
                    self.statistics.bytes += len(piece)
                    await writer.send_all(piece)
                else:
                    await writer.send_eof()

    def _due_s(self, fault: Fault, size: int, previous_s: float) -> float:
        """When a piece arrives that is read now, given when the one before it does."""
        random_ = self.network.random
        now_s = trio.current_time()
        if fault.reset and size and random_.random() < fault.reset:
            raise trio.BrokenResourceError("reset by a fault")
        wait_s = fault.delay_s + fault.jitter_s * random_.random()
        if fault.loss and random_.random() < fault.loss:
            wait_s += RETRANSMIT_S
        transfer_s = size / fault.bytes_per_s if fault.bytes_per_s else 0.0
        return max(now_s + wait_s, previous_s) + transfer_s

    def _reset(self, *streams: trio.SocketStream) -> None:
        """Close so that the other end sees a reset, and nothing lingers."""
        self.statistics.reset += 1
        for stream in streams:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.socket.close()
