"""Thousands of WebSocket subscribers in one process, on plain sockets: they read, and note when."""

import base64
import json
import os
import select
import socket
import struct
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from .http import HEAD_END, RECEIVE_BYTES, Address, BenchFailed

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

ARRIVAL_S = 10.0
"""A push that takes longer than this counts as lost."""


class Subscriber:
    """One WebSocket. What was received and not yet taken is in a buffer of its own."""

    def __init__(self, address: Address, path: str) -> None:
        self.socket = socket.create_connection(address, timeout=ARRIVAL_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (
                f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        while (end := self.buffer.find(HEAD_END)) < 0:
            self.fill()
        if not self.buffer.startswith(b"HTTP/1.1 101"):
            raise BenchFailed(f"no WebSocket at {path}: {bytes(self.buffer[:200])!r}")
        del self.buffer[: end + len(HEAD_END)]

    def send_text(self, text: str) -> None:
        """Send one text, masked as clients must."""
        self._send(TEXT, text.encode())

    def fill(self) -> None:
        """Read what there is; waits when there is nothing."""
        piece = self.socket.recv(RECEIVE_BYTES)
        if not piece:
            raise BenchFailed("the node closed a subscriber's connection")
        self.buffer += piece

    def texts(self) -> Iterator[bytes]:
        """Take every complete text out of the buffer; pings are answered on the way."""
        while (frame := _take_frame(self.buffer)) is not None:
            opcode, payload = frame
            if opcode == CLOSE:
                raise BenchFailed(f"a subscriber was closed: {payload[2:].decode(errors='replace')}")
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == TEXT:
                yield payload

    def next_text(self) -> dict[str, object]:
        """Wait for the next text, and decode it."""
        while True:
            for text in self.texts():
                decoded: object = json.loads(text)
                if isinstance(decoded, dict):
                    return decoded
                raise BenchFailed(f"not an object: {text[:100]!r}")
            self.fill()

    def _send(self, opcode: int, payload: bytes) -> None:
        assert len(payload) < 1 << 16
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)


@contextmanager
def open_subscribers(address: Address, service: str, count: int) -> Generator[list[Subscriber]]:
    """Subscribers of one service on /ws, each with its snapshot received."""
    subscribers: list[Subscriber] = []
    try:
        for _ in range(count):
            subscribers.append(subscriber := Subscriber(address, "/ws"))
            subscriber.send_text(json.dumps({"type": "subscribe", "serviceId": service}))
        for subscriber in subscribers:
            if (answer := subscriber.next_text()).get("type") != "subscribed":
                raise BenchFailed(f"not subscribed: {answer}")
        yield subscribers
    finally:
        for subscriber in subscribers:
            subscriber.socket.close()


def arrivals_s(subscribers: list[Subscriber], marker: bytes) -> list[float]:
    """When each subscriber had a text that contains `marker`, in order of arrival; waits for all of them."""
    waiting: dict[int, Subscriber] = {}
    arrived: list[float] = []
    for subscriber in subscribers:
        if any(marker in text for text in subscriber.texts()):
            arrived.append(time.perf_counter())
        else:
            waiting[subscriber.socket.fileno()] = subscriber
    deadline_s = time.perf_counter() + ARRIVAL_S
    with select.epoll() as epoll:
        for descriptor in waiting:
            epoll.register(descriptor, select.EPOLLIN)
        while waiting:
            events = epoll.poll(max(0.0, deadline_s - time.perf_counter()), maxevents=256)
            if not events:
                raise BenchFailed(f"{len(waiting)} of {len(subscribers)} subscribers heard nothing")
            for descriptor, _ in events:
                subscriber = waiting[descriptor]
                subscriber.fill()
                if any(marker in text for text in subscriber.texts()):
                    arrived.append(time.perf_counter())
                    epoll.unregister(descriptor)
                    del waiting[descriptor]
    return arrived


def _take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Remove one frame from the start of the buffer; None when it is not complete. Servers neither mask nor split."""
    if len(buffer) < 2:
        return None
    opcode, size, start = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
    if size == 126:
        start = 4
        size = int.from_bytes(buffer[2:4], "big") if len(buffer) >= 4 else 1 << 62
    elif size == 127:
        start = 10
        size = int.from_bytes(buffer[2:10], "big") if len(buffer) >= 10 else 1 << 62
    if len(buffer) < start + size:
        return None
    payload = bytes(buffer[start : start + size])
    del buffer[: start + size]
    return opcode, payload
