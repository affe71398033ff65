"""A server in this process with a route table of its own, and clients that speak HTTP byte by byte.

The policy of these tests: loopback and port 0 only; deadlines are short and real, because sockets do not wait for a
virtual clock; every test ends within `PATIENCE_S`, whatever it waits for.
"""

import gzip
import json
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from artemis.transport.errors import ClientError
from artemis.transport.limits import Limits
from artemis.transport.observation import Observer
from artemis.transport.origins import Cors
from artemis.transport.requests import Reply, Request, Route
from artemis.transport.server import Server, open_server
from artemis.transport.sockets import PeerRoute, SocketRoute

from ..pace import PATIENCE_S, paced

SHORT_S = paced(0.2)
QUICK = Limits(
    header_timeout_s=SHORT_S,
    body_timeout_s=SHORT_S,
    idle_timeout_s=SHORT_S,
    send_timeout_s=paced(0.3),
    linger_s=paced(0.5),
)
ROOMY = Limits(linger_s=paced(0.5))


def echo(request: Request) -> Reply:
    """The body as it arrived, or what it was in numbers."""
    return Reply(200, request.body)


async def echo_slowly(request: Request) -> Reply:
    await trio.lowlevel.checkpoint()
    return Reply(200, request.body)


def describe(request: Request) -> Reply:
    facts = {
        "method": request.method,
        "path": request.path,
        "params": dict(request.params),
        "name": request.argument("serviceId"),
        "ip": request.caller.ip,
        "forwarded": request.caller.forwarded_for,
        "size": len(request.body),
    }
    return Reply(200, json.dumps(facts).encode())


def refuse(request: Request) -> Reply:
    raise ClientError(409, "exists already")


def crash(request: Request) -> Reply:
    raise ZeroDivisionError("secret detail")


def large(request: Request) -> Reply:
    return Reply(200, b"x" * 8_000_000)


def text(request: Request) -> Reply:
    return Reply(200, b"up 1\n", content_type=b"text/plain; version=0.0.4")


ROUTES = [
    Route("POST", "/echo", echo, "echo", hot=True),
    Route("POST", "/artemis/api/echo.json", echo, "rpc-echo", hot=True),
    Route("GET", "/facts", describe, "facts", hot=True),
    Route("GET", "/loose", describe, "loose", hot=True, loose=True),
    Route("POST", "/facts", describe, "post-facts", hot=True),
    Route("POST", "/refuse", refuse, "refuse", hot=True),
    Route("POST", "/crash", crash, "crash", hot=True),
    Route("GET", "/large", large, "large", hot=True),
    Route("GET", "/metrics", text, "metrics", produces=b"text/plain"),
    Route("POST", "/cold", echo_slowly, "cold"),
    Route("GET", "/things/{name}", describe, "thing"),
    Route("DELETE", "/things/{name}", describe, "thing-delete"),
    Route("POST", "/things/{name}/publish", describe, "publish", body_optional=True),
]


@asynccontextmanager
async def serving(
    *,
    fast_lane: bool = True,
    routes: Iterable[Route] = ROUTES,
    sockets: Iterable[SocketRoute | PeerRoute] = (),
    limits: Limits = ROOMY,
    cors: Cors | None = None,
    observer: Observer | None = None,
    **more: Any,
) -> AsyncGenerator[Server, None]:
    """A server on a free port of the loopback, cut off when the block ends or the test takes too long."""
    with trio.fail_after(PATIENCE_S):
        async with open_server(
            routes, sockets=sockets, limits=limits, cors=cors, observer=observer, fast_lane=fast_lane, **more
        ) as server:
            yield server


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        assert self.header("content-type") == "application/json", self
        return json.loads(self.body)


class Client:
    """A connection, and the bytes that came over it and were not looked at."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        await self.send(message(method, path, body, **headers))
        return await self.answer(head_only=method == "HEAD")

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, which must have a Content-Length."""
        head = await self.until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        answer = Answer(int(first.split()[1]), headers, b"")
        if answer.status >= 200 and not head_only:
            answer.body = await self.exactly(int(answer.header("content-length") or "0"))
        return answer

    async def ended(self) -> bool:
        """Whether nothing more comes: waits for the end, and says whether it is a clean one."""
        return not self._buffer and await self.stream.receive_some() == b""

    async def until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"the connection ended after {self._buffer!r}"
        self._buffer += data


@asynccontextmanager
async def connected(server: Server) -> AsyncGenerator[Client, None]:
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    try:
        yield Client(stream)
    finally:
        with trio.CancelScope(shield=True):
            await stream.aclose()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds. `serving` has the deadline."""
    while not condition():  # noqa: ASYNC110 - the server has no event for this
        await trio.sleep(0.005)


def message(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """A request. `content_type=...` becomes Content-Type; "" leaves a header out."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    everything = {"host": "registry", **given}
    if body is not None:
        everything = {"content-type": "application/json", "content-length": str(len(body)), **everything}
    lines = [f"{name}: {value}" for name, value in everything.items() if value]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def bomb(size: int) -> bytes:
    """A small gzip file that becomes a large one."""
    return gzip.compress(b"\0" * size, compresslevel=9)
