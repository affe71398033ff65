"""HTTP/1.1 as the bench speaks it: requests prepared as bytes, answers framed by Content-Length."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

Address = tuple[str, int]

HEAD_END: Final = b"\r\n\r\n"
LENGTH_HEADER: Final = b"content-length:"
RECEIVE_BYTES: Final = 256 * 1024

ANSWER_S: Final = 30.0
"""How long a single exchange may take before the bench gives up."""


class BenchFailed(Exception):
    """A measurement could not be taken, with the reason; a wrong answer is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        decoded: object = json.loads(self.body)
        if not isinstance(decoded, dict):
            raise BenchFailed(f"expected an object, got {self.body[:80]!r}")
        return decoded


def prepare(method: str, path: str, body: object = None, *, address: Address = ("127.0.0.1", 80)) -> bytes:
    """A request as it goes on the wire. A body that is not bytes is sent as JSON."""
    content = b"" if body is None else body if isinstance(body, bytes) else encode(body)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}"]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def encode(body: object) -> bytes:
    """Compact JSON, as clients send it."""
    return json.dumps(body, separators=(",", ":")).encode()


def answer_length(head: bytes) -> int:
    """The body length that a head (in any case, without the empty line) announces."""
    lowered = head.lower()
    start = lowered.find(LENGTH_HEADER)
    if start < 0:
        raise BenchFailed(f"an answer without Content-Length: {head[:200]!r}")
    end = lowered.find(b"\r\n", start)
    return int(lowered[start + len(LENGTH_HEADER) : end if end >= 0 else None])


class Connection:
    """One keep-alive connection for single exchanges, outside of what is measured."""

    def __init__(self, address: Address, *, timeout_s: float = ANSWER_S) -> None:
        self.address = address
        self.socket = socket.create_connection(address, timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> Answer:
        """Send a prepared request, and wait for its answer."""
        self.socket.sendall(request)
        received = bytearray()
        while (end := received.find(HEAD_END)) < 0:
            self._receive(received)
        head = bytes(received[:end])
        total = end + len(HEAD_END) + answer_length(head)
        while len(received) < total:
            self._receive(received)
        return Answer(int(head[9:12]), bytes(received[end + len(HEAD_END) : total]))

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """One request and its answer."""
        return self.exchange(prepare(method, path, body, address=self.address))

    def expect(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One request that has to succeed, as both APIs spell success. Returns the decoded answer."""
        answer = self.call(method, path, body)
        decoded = answer.json() if answer.body else {}
        if answer.status not in (200, 201) or not _is_success(decoded):
            raise BenchFailed(f"{method} {path}: {answer.status} {answer.body[:300].decode(errors='replace')}")
        return decoded

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _receive(self, received: bytearray) -> None:
        piece = self.socket.recv(RECEIVE_BYTES)
        if not piece:
            raise BenchFailed(f"the node closed the connection after {bytes(received[:200])!r}")
        received += piece


def _is_success(decoded: Mapping[str, object]) -> bool:
    for name in ("responseStatus", "status"):
        envelope = decoded.get(name)
        if isinstance(envelope, dict):
            return envelope.get("status") == "success"
    return decoded.get("success", True) is True
