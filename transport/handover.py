"""Hypercorn as a guest: its HTTP stream runs the Quart app for one request at a time, and owns no connection.

Heads are judged, bodies are framed and answers are written by the conversation, for every request of every connection;
so the app sees no byte that belongs to another request, and a proxy no answer that it did not ask for. An answer is
gathered before it leaves: handlers make theirs in one piece anyway.
"""

import logging
from typing import Final, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from quart_trio import QuartTrio

from .errors import ClientError, Header
from .heads import Head
from .requests import error_reply
from .responses import start_of

logger = logging.getLogger(__name__)

STREAM: Final = 1
SHARED_BYTES_MIN: Final = 64 * 1024
"""A larger body is sent as it is, not copied behind its head."""
OURS: Final = frozenset({b"connection", b"content-length", b"date", b"server", b"transfer-encoding"})
"""Headers of an answer that are written by the conversation, which knows how it is framed."""


class Guest:
    """An app that answers what is not hot."""

    def __init__(self, app: QuartTrio) -> None:
        self._app = ASGIWrapper(cast(ASGIFramework, app))
        self._config = Config()
        self._config.errorlog = logger
        self._context = WorkerContext(None)

    async def answer(self, head: Head, body: bytes, ip: str) -> "Answer":
        """Ask the app. Whatever goes wrong in there is an answer, too."""
        answer = Answer(head)
        async with TaskGroup() as tasks:
            stream = HTTPStream(
                self._app, self._config, self._context, tasks, False, (ip, 0), None, answer.take, STREAM
            )
            await stream.handle(
                Request(
                    stream_id=STREAM,
                    headers=list(head.headers),
                    http_version="1.0" if head.http_1_0 else "1.1",
                    method=head.method.decode(),
                    raw_path=head.path + b"?" + head.query if head.query else head.path,
                    state=ConnectionState({}),
                )
            )
            if body:
                await stream.handle(Body(stream_id=STREAM, data=body))
            await stream.handle(EndBody(stream_id=STREAM))
            await answer.complete.wait()
            await stream.handle(StreamClosed(stream_id=STREAM))  # the app waits for it, and ends
        return answer


class Answer:
    """What the app says to one request."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._status = 0
        self._headers: list[Header] = []
        self._pieces: list[bytes] = []
        self._length: bytes | None = None
        self.complete = trio.Event()

    async def take(self, event: Event) -> None:
        """The next part of the answer, from Hypercorn."""
        match event:
            case Response(headers=headers, status_code=status):
                self._status = status
                self._length = next((value for name, value in headers if name.lower() == b"content-length"), None)
                self._headers = [(name, value) for name, value in headers if name.lower() not in OURS]
            case Body(data=data):
                self._pieces.append(data)
            case EndBody() | StreamClosed():
                self.complete.set()
            case _:
                raise AssertionError(f"an answer over HTTP/1.1 has no {type(event).__name__}")
        await trio.lowlevel.checkpoint_if_cancelled()

    def render(self, date: bytes, headers: tuple[Header, ...], *, bytes_max: int) -> list[bytes]:
        """All of it, with the headers that depend on the connection. A large body stays the object that it is, so that
        many can be sent the same; one of more than `bytes_max` is none that we can answer with."""
        body = b"".join(self._pieces)
        if len(body) > bytes_max:
            reply = error_reply(
                ClientError(503, f"the answer has {len(body)} bytes, more than limits.unsent_bytes_per_connection"),
                self._head.path.decode("latin-1"),
            )
            self._status, self._headers, body = 503, [(b"Content-Type", reply.content_type)], reply.body
        if self._status == 500 and not body and self._head.method != b"HEAD":  # the app ended without an answer
            reply = error_reply(
                ClientError(500, "the node failed to answer; its log says why"), self._head.path.decode("latin-1")
            )
            self._headers, body = [(b"Content-Type", reply.content_type)], reply.body
        length = self._length if self._head.method == b"HEAD" and self._length else b"%d" % len(body)
        start = start_of(self._status, b"", (*headers, *self._headers))
        head = b"%b%b%b\r\n\r\n" % (start, date, length)
        return [head, body] if len(body) > SHARED_BYTES_MIN else [head + body]
