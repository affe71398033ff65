"""HTTP byte by byte: what goes over the socket is what a test says, and what comes back is looked at whole."""

import gzip
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import trio

from ..pace import PATIENCE_S

RPC: Final = "/artemis/api"
REST: Final = "/api"
JSON_HEADERS: Final = {"Content-Type": "application/json"}


class Address(Protocol):
    """Where a node listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Answer:
    """One answer, whole. Names of headers are lower-case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        assert (self.header("content-type") or "").partition(";")[0] == "application/json", self
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The text of an error body, which every error must have."""
        body = self.json
        assert body["success"] is False
        assert body["status"] == self.status
        text = body["message"]
        assert isinstance(text, str)
        assert text
        return text


class Connection:
    """One connection, and the bytes that came over it and were not looked at yet."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a segment of its own."""
        for piece in pieces:
            await self.stream.send_all(piece)

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        await self.send(message(method, path, body, **headers))
        return await self.answer(head_only=method == "HEAD")

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer."""
        with trio.fail_after(PATIENCE_S):
            head = await self._until(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
            answer = Answer(int(first.split()[1]), headers, b"")
            if head_only or answer.status < 200:
                return answer
            assert answer.header("content-length") is not None, f"no length in {head!r}"
            body = await self._exactly(int(answer.header("content-length") or "0"))
            return Answer(answer.status, headers, body)

    async def is_closed(self) -> bool:
        """Wait for the end of the connection. False when something else comes."""
        with trio.fail_after(PATIENCE_S):
            return not self._buffer and await self.stream.receive_some() == b""

    async def is_cut(self) -> None:
        """Read until the node has ended the connection, in whatever way; what comes until then is thrown away."""
        with trio.fail_after(PATIENCE_S):
            try:
                while await self.stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"the connection ended after {self._buffer!r}"
        self._buffer += data


@asynccontextmanager
async def connected(node: Address, *, buffer_bytes: int | None = None) -> AsyncGenerator[Connection, None]:
    """A connection as long as the block lasts; with so much memory for what we do not read, if that is given."""
    socket = trio.socket.socket()
    if buffer_bytes is not None:
        socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, buffer_bytes)
    try:
        await socket.connect((node.host, node.port))
        yield Connection(trio.SocketStream(socket))
    finally:
        socket.close()


def message(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """A request. `content_type="..."` becomes Content-Type; an empty one leaves a header out."""
    everything: dict[str, str] = {"Host": "registry"}
    if body is not None:
        everything |= {**JSON_HEADERS, "Content-Length": str(len(body))}
    everything |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in everything.items() if value]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + (body or b"")


def java_message(path: str, document: object, *, pieces: int = 2) -> list[bytes]:
    """A request as the Java client sends it: the head, then each chunk of a gzip body in a segment of its own."""
    body = gzip.compress(json.dumps(document).encode())
    size = -(-len(body) // pieces)
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    head = (
        f"POST {path} HTTP/1.1\r\nContent-Encoding: gzip\r\nAccept: application/json\r\n"
        "Accept-Encoding: gzip,deflate\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        "Host: registry\r\nConnection: Keep-Alive\r\nUser-Agent: Apache-HttpClient/4.5 (Java/1.8)\r\n\r\n"
    )
    return [head.encode(), *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\n\r\n"]


async def ask(node: Address, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    async with connected(node) as connection:
        return await connection.ask(method, path, body, **headers)


async def post(node: Address, path: str, document: object) -> Any:
    """A call as the Java client makes it. Business failures are answers like others."""
    async with connected(node) as connection:
        await connection.send(*java_message(path, document))
        answer = await connection.answer()
    assert answer.status == 200, answer
    return answer.json


async def get(node: Address, path: str) -> Any:
    """A question that is answered."""
    answer = await ask(node, "GET", path)
    assert answer.status == 200, answer
    return answer.json


async def rpc(node: Address, name: str, document: object) -> Any:
    """A call of the RPC API: `registry/register`, for example."""
    return await post(node, f"{RPC}/{name}.json", document)


async def rest(node: Address, name: str, document: object) -> Any:
    """A call of the REST API."""
    return await post(node, f"{REST}/{name}.json", document)


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def joined(pieces: Sequence[bytes]) -> bytes:
    return b"".join(pieces)
