"""The fast lane: HTTP/1.1 on a raw socket, made for the routes that must answer ten thousand times a second.

How it works
* Everything that depends on the head of a request alone (route, media types, framing, start of the answer) is decided
  once and kept as a `Plan` under the bytes of that head: clients send the same head for every heartbeat.
* What has arrived is answered in place, in order, and leaves with one send. Nothing is awaited for a request that
  came in one piece, except the next one.
* The lane knows its hot routes only. Anything else is received here as well, and the app is asked for its answer: one
  judgement of heads, one framing, the same limits and deadlines for every request of every connection.
* Only a WebSocket ends a conversation, with a `Departure`: the connection is the session's from its handshake on.
* Time is looked at from outside: a conversation says until when it may wait, and the watch of the listener cancels it
  when it has waited longer. So a request costs no timer.
"""

import socket
import time
from contextlib import suppress
from enum import Enum, auto
from typing import NamedTuple

import trio

from .bodies import Chunks, inflate
from .errors import ClientError, Header
from .heads import Head, screen
from .observation import UNROUTED
from .plans import Lane, Plan, header_too_large
from .requests import JSON, NOTHING, Caller, Reply, Request, error_reply
from .responses import CLOSE, CONTINUE, KEEP_ALIVE, render
from .sockets import PeerRoute, SocketRoute
from .wire import RECEIVE_BYTES, Wire

HEAD_END = b"\r\n\r\n"
BATCH_MAX = 32
"""Pipelined requests answered in one go; then other connections have their turn."""
LARGE_ANSWER_BYTES = 64 * 1024
"""A larger answer leaves before the next pipelined request is looked at: 32 of these would be a lot of memory."""
FIRST_RECEIVE_BYTES = 16 * 1024
CONNECTION = CLOSE + KEEP_ALIVE
LAST_WORDS_S = 1.0
"""For the end of an answer to leave, when the node is stopping and nothing more is expected."""


class Phase(Enum):
    """What a conversation is waiting for, and so what its silence means."""

    FRESH = auto()
    """The first byte of the connection."""
    IDLE = auto()
    """The next request of a kept-alive connection."""
    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    """Nothing: it is not the client's turn."""


_IDLE = Phase.IDLE


class Departure(NamedTuple):
    """A WebSocket that is about to be opened."""

    route: SocketRoute | PeerRoute
    head: Head


class Conversation:
    """One connection, from its first byte until it ends or departs."""

    __slots__ = (
        "_closing",
        "_lane",
        "_out",
        "_plan",
        "_socket",
        "caller",
        "deadline_s",
        "phase",
        "scope",
        "wire",
    )

    def __init__(self, lane: Lane, wire: Wire, caller: Caller) -> None:
        self.wire = wire
        self.caller = caller
        self.scope = trio.CancelScope()
        """The watch cancels it when `deadline_s` has passed."""
        self.phase = Phase.FRESH
        self.deadline_s = lane.now_s + lane.limits.header_timeout_s
        self._lane = lane
        self._socket: socket.socket = wire.socket
        self._out: list[bytes] = []
        self._plan: Plan | None = None
        """What is being answered, or what `_answer` stopped at; None when it only ran out of bytes."""
        self._closing = False

    async def run(self) -> Departure | None:
        """Answer until the connection ends (None), or becomes a WebSocket."""
        try:
            with self.scope:
                return await self._converse()
            if self.phase in (Phase.HEAD, Phase.BODY):
                part = "headers" if self.phase is Phase.HEAD else "body"
                await self.refuse(ClientError(408, f"the {part} of the request took too long to arrive"))
        except ClientError as error:
            await self.refuse(error)
        except (_Gone, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        return None

    def give_up(self) -> None:
        """Wait no longer for the rest of the request, as if its time were over."""
        self.scope.cancel()

    @property
    def is_idle(self) -> bool:
        """Between two requests, or before the first."""
        return self.phase in (Phase.IDLE, Phase.FRESH)

    def rest(self) -> None:
        """The next request may take its time; but not when this node is about to stop."""
        patience_s = LAST_WORDS_S if self._lane.draining else self._lane.limits.idle_timeout_s
        self.phase, self.deadline_s = Phase.IDLE, self._lane.now_s + patience_s

    def work(self) -> None:
        """The client waits for us, as long as it takes."""
        self.phase, self.deadline_s = Phase.BUSY, float("inf")

    async def refuse(self, error: ClientError) -> None:
        """Answer with an error, as the last thing on this connection."""
        await self.conclude(error_reply(error, "" if self._plan is None else self._plan.path))

    async def conclude(self, reply: Reply) -> None:
        """Answer, as the last thing on this connection. Does not raise when the client is gone."""
        self.work()
        plan = self._plan
        tail = () if plan is None else tuple(header for header in plan.tail if header not in CONNECTION)
        self._out.append(render(reply, self._lane.date, (*tail, *CLOSE)))
        self._observe(UNROUTED if plan is None else plan.name, reply, 0.0)
        with suppress(_Gone, trio.BrokenResourceError, trio.ClosedResourceError):
            await self._flush()

    async def _converse(self) -> Departure | None:
        lane = self._lane
        receive, readable, descriptor = self._socket.recv, trio.lowlevel.wait_readable, self._socket.fileno()
        idle_timeout_s = lane.limits.idle_timeout_s
        data = b""
        while True:
            if not data:
                await readable(descriptor)
                try:
                    data = receive(FIRST_RECEIVE_BYTES)
                except BlockingIOError:
                    continue
                except OSError:
                    return None
                if not data:
                    return None
            position = self._answer(data)
            if self._out:
                await self._flush()
            if self._closing:
                return None
            data = data[position:]
            plan = self._plan
            if plan is None:
                if data:
                    data = await self._rest_of_head(data)
                else:
                    self.phase, self.deadline_s = _IDLE, lane.now_s + idle_timeout_s
            elif plan.socket is not None and plan.refusal is None:
                assert plan.head is not None
                if len(data) > plan.size:  # RFC 6455, 4.1; the library would leave these bytes unread
                    raise ClientError(
                        400, "a client must wait for the answer to its opening handshake before it sends more"
                    )
                self.work()
                return Departure(plan.socket, plan.head)
            else:
                data = await self._answer_slowly(plan, data)
                if self._closing:
                    return None
                if data:
                    await trio.lowlevel.checkpoint()
                else:
                    self.rest()

    def _answer(self, data: bytes) -> int:
        """Answer the requests that are here in one piece. Returns where the first other one begins."""
        lane = self._lane
        plans = lane.plans
        position, size = 0, len(data)
        for _ in range(BATCH_MAX):
            end = data.find(HEAD_END, position) + 4
            if end < 4:
                break
            raw = data[position:end]
            plan = plans.get(raw)
            if plan is None:
                if not raw.strip(b"\r\n"):  # blank lines before a request line are forgiven
                    position = end
                    continue
                plan = lane.plan(raw, self.caller.ip)
            self._plan = plan
            if not plan.in_place or end + plan.length > size:
                return position
            self._respond(plan, data[end : end + plan.length])
            position = end + plan.length
            if position == size or self._closing or len(self._out[-1]) > LARGE_ANSWER_BYTES:
                break
        self._plan = None
        return position

    def _respond(self, plan: Plan, body: bytes) -> None:
        """Call the handler, and queue its answer."""
        lane = self._lane
        observer = lane.observer
        started_s = 0.0 if observer is None else time.perf_counter()
        caller = self.caller if plan.forwarded_for is None else Caller(self.caller.ip, plan.forwarded_for)
        try:
            if plan.encoding:
                body = inflate(body, plan.encoding, lane.limits.body_bytes)
            reply = plan.handler(  # type: ignore[misc]
                Request(plan.method, plan.path, plan.query, body, caller, plan.headers, NOTHING, plan.loose)
            )
        except ClientError as error:
            reply = error_reply(error, plan.path)
        status, body, headers, content_type, outcome = reply
        if status == 200 and not headers and content_type is JSON and plan.keep_alive and not lane.draining:
            self._out.append(b"%b%b%d\r\n\r\n%b" % (plan.start, lane.date, len(body), body))
        else:
            self._queue(plan, reply)
        if observer is not None:
            observer.request(plan.name, status, outcome, time.perf_counter() - started_s)

    def _queue(self, plan: Plan, reply: Reply) -> None:
        self._out.append(render(reply, self._lane.date, self._tail(plan)))

    def _tail(self, plan: Plan) -> tuple[Header, ...]:
        """The headers of the plan, and whether this is the last answer."""
        if plan.keep_alive and not self._lane.draining:
            return plan.tail
        self._closing = True
        return (*(header for header in plan.tail if header not in CONNECTION), *CLOSE)

    async def _flush(self) -> None:
        """Send what is queued, with one call if the client can take it."""
        out = self._out
        if len(out) > 1 and len(out[-1]) > LARGE_ANSWER_BYTES:
            body = out.pop()
            await self._send(b"".join(out))
            out.clear()
            await self._send(body)
            return
        payload = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        await self._send(payload)

    async def _send(self, payload: bytes) -> None:
        try:
            sent = self._socket.send(payload)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise _Gone from None
        if sent < len(payload):
            self.work()
            await self.wire.send_all(memoryview(payload)[sent:])

    async def _rest_of_head(self, data: bytes) -> bytes:
        """Receive until there is a whole head."""
        limits = self._lane.limits
        if self.phase is not Phase.FRESH:
            self.deadline_s = self._lane.now_s + limits.header_timeout_s
        self.phase = Phase.HEAD
        buffer, searched = bytearray(data), 0
        while buffer.find(HEAD_END, max(0, searched - 3)) < 0:
            screen(buffer, searched)
            if len(buffer) > limits.header_bytes:
                raise header_too_large(limits)
            searched = len(buffer)
            buffer += await self._receive()
        await trio.lowlevel.checkpoint()
        return bytes(buffer)

    async def _answer_slowly(self, plan: Plan, data: bytes) -> bytes:
        """Answer a request that is not hot, or did not come in one piece. Returns what follows it."""
        if plan.refusal is not None and (plan.fatal or plan.expects):
            raise plan.refusal
        rest = data[plan.size :]
        self.phase, self.deadline_s = Phase.BODY, self._lane.now_s + self._lane.limits.body_timeout_s
        if plan.expects and not rest:
            await self.wire.send_all(CONTINUE)
        body, rest = await self._receive_body(plan, rest)
        if plan.refusal is not None:
            reply = error_reply(plan.refusal, plan.path)
            self._queue(plan, reply)
            self._observe(plan.name, reply, 0.0)
        elif plan.handler is not None:
            self._respond(plan, body)
        else:
            await self._ask_guest(plan, body)
        self._plan = None
        await self._flush()
        return rest

    async def _ask_guest(self, plan: Plan, body: bytes) -> None:
        assert plan.head is not None
        self.work()
        answer = await self._lane.guest.answer(plan.head, body, self.caller.ip)
        bytes_max = self._lane.limits.unsent_bytes_per_connection
        self._out += answer.render(self._lane.date, self._tail(plan), bytes_max=bytes_max)

    async def _receive_body(self, plan: Plan, rest: bytes) -> tuple[bytes, bytes]:
        arriving = self._lane.arriving
        try:
            if plan.chunked:
                chunks = Chunks(self._lane.limits.body_bytes)
                while not chunks.feed(rest):
                    arriving.hold(self, chunks.size)
                    rest = await self._receive()
                return chunks.body, chunks.rest
            buffer = bytearray(rest)
            while len(buffer) < plan.length:
                arriving.hold(self, len(buffer))
                buffer += await self._receive()
            return bytes(buffer[: plan.length]), bytes(buffer[plan.length :])
        finally:
            arriving.release(self)

    async def _receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                raise _Gone from None
            if not data:
                raise _Gone
            return data

    def _observe(self, name: str, reply: Reply, seconds: float) -> None:
        if self._lane.observer is not None:
            self._lane.observer.request(name, reply.status, reply.outcome, seconds)


class _Gone(Exception):
    """The client hung up in the middle of a request."""
