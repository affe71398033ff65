"""The load generator: many keep-alive connections on one core, as fast as they go or at a fixed rate.

Closed loop: every connection sends its next request when the answer to the last one is complete; this finds
the highest rate. Open loop: requests become due at a fixed rate, whether or not the node keeps up, and their
latency counts from the moment they were due; a node that stalls cannot hide it by being asked less.
"""

import gc
import math
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .http import HEAD_END, RECEIVE_BYTES, Address, BenchFailed, answer_length
from .measurements import percentile

SUCCESS = b'"success"'
"""In every answer that reports success, in both APIs' envelopes."""

TAIL_BYTES = 256
STALL_S = 20.0
"""No answer at all for this long ends the measurement."""

now_s: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load of one kind found."""

    requests: int
    elapsed_s: float
    latencies_s: list[float]
    late: int = 0
    """Open loop: requests that found no free connection when they were due."""
    percentiles_s: Mapping[float, float] | None = None
    """Given by a generator that does not hand out every single latency."""

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.elapsed_s if self.elapsed_s else 0.0

    def latency_ms(self, percent: float) -> float:
        """The latency that `percent` of the requests did not exceed."""
        if self.percentiles_s is not None:
            return self.percentiles_s.get(percent, math.nan) * 1000
        return percentile(self.latencies_s, percent) * 1000


class _Channel:
    """One connection of the load: its requests in turn, and how much of the current answer is missing."""

    __slots__ = ("is_successful", "missing", "position", "receive", "requests", "send", "since_s", "socket", "tail")

    def __init__(self, address: Address, requests: Sequence[bytes]) -> None:
        self.socket = socket.create_connection(address, timeout=STALL_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)
        limit = struct.pack("ll", int(STALL_S), 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.receive = self.socket.recv
        self.send = self.socket.sendall
        self.requests = requests
        self.position = 0
        self.since_s = 0.0
        self.missing = 0
        self.is_successful = False
        self.tail = b""

    def ask(self, since_s: float) -> None:
        """Send the next request; `since_s` is when its latency starts to count."""
        self.since_s = since_s
        position = self.position
        self.send(self.requests[position])
        position += 1
        self.position = position if position < len(self.requests) else 0

    def hear(self) -> bool:
        """Take in what has arrived. True when an answer is complete; a failure raises `BenchFailed`."""
        data = self.receive(RECEIVE_BYTES)
        if not data:
            raise BenchFailed("the node closed the connection")
        if self.missing:
            self.missing -= len(data)
        else:
            data = self.tail + data
            end = data.find(HEAD_END)
            if end < 0:
                if len(data) > RECEIVE_BYTES:
                    raise BenchFailed(f"no HTTP answer: {data[:100]!r}")
                self.tail = data
                return False
            self.tail = b""
            if data[9:12] not in (b"200", b"201"):
                raise BenchFailed(data[:400].decode(errors="replace"))
            self.missing = end + 4 + answer_length(data[:end]) - len(data)
            self.is_successful = False
        self.is_successful = self.is_successful or SUCCESS in data or SUCCESS in self.tail + data[:TAIL_BYTES]
        if self.missing > 0:
            self.tail = data[-TAIL_BYTES:]
            return False
        if self.missing < 0 or not self.is_successful:
            raise BenchFailed(f"not the answer of a success: {data[-400:].decode(errors='replace')}")
        self.tail = b""
        return True


@contextmanager
def _open_channels(address: Address, scripts: Sequence[Sequence[bytes]]) -> Generator[dict[int, _Channel]]:
    channels: dict[int, _Channel] = {}
    gc.disable()
    try:
        for requests in scripts:
            channel = _Channel(address, requests)
            channels[channel.socket.fileno()] = channel
        yield channels
    finally:
        for channel in channels.values():
            channel.socket.close()
        gc.enable()


def closed_loop(
    address: Address, scripts: Sequence[Sequence[bytes]], *, duration_s: float, warmup_s: float = 0.5
) -> LoadResult:
    """One connection per script, each repeating its requests, as fast as the answers come."""
    with _open_channels(address, scripts) as channels, select.epoll() as epoll:
        for descriptor, channel in channels.items():
            epoll.register(descriptor, select.EPOLLIN)
            channel.ask(now_s())
        started_s = now_s() + warmup_s
        end_s = started_s + duration_s
        latencies_s: list[float] = []
        current_s = 0.0
        while current_s < end_s:
            events = epoll.poll(STALL_S)
            if not events:
                raise BenchFailed(f"no answer for {STALL_S:g} s")
            for descriptor, _ in events:
                channel = channels[descriptor]
                if channel.hear():
                    current_s = now_s()
                    if current_s >= started_s:
                        latencies_s.append(current_s - channel.since_s)
                    channel.ask(current_s)
        return LoadResult(len(latencies_s), current_s - started_s, latencies_s)


def open_loop(
    address: Address,
    scripts: Sequence[Sequence[bytes]],
    *,
    rate: float,
    duration_s: float,
    warmup_s: float = 0.5,
) -> LoadResult:
    """`rate` requests become due per second, whatever the answers; latency counts from when one was due.

    The waiting is done without sleep: a timer of a millisecond would be all that is measured.
    """
    with _open_channels(address, scripts) as channels, select.epoll() as epoll:
        for descriptor in channels:
            epoll.register(descriptor, select.EPOLLIN)
        idle = deque(channels.values())
        latencies_s: list[float] = []
        interval_s = 1.0 / rate
        due_s = now_s()
        started_s, last_heard_s = due_s + warmup_s, due_s
        end_s = started_s + duration_s
        late = 0
        while True:
            current_s = now_s()
            while due_s <= current_s and due_s < end_s and idle:
                late += current_s - due_s > interval_s
                idle.popleft().ask(due_s)
                due_s += interval_s
            for descriptor, _ in epoll.poll(0):
                channel = channels[descriptor]
                if channel.hear():
                    last_heard_s = now_s()
                    if channel.since_s >= started_s:
                        latencies_s.append(last_heard_s - channel.since_s)
                    idle.append(channel)
            if due_s >= end_s and len(idle) == len(channels):
                return LoadResult(len(latencies_s), duration_s, latencies_s, late)
            if current_s - max(last_heard_s, started_s) > STALL_S:
                raise BenchFailed(f"no answer for {STALL_S:g} s")
