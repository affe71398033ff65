"""A small fleet of services: each registers by heartbeats as the Java client does, and leaves a node that fails it."""

import gzip
import json
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from ...contract.waiting import eventually
from ...contract.wire import RPC
from ...pace import paced
from .clusters import HEARTBEAT_S, REGION, Place

CONNECT_S: Final = paced(1.0)
ANSWER_S: Final = paced(1.0)
"""A third of the lease; the Java client waits for half of it."""
ATTEMPTS: Final = 5
BETWEEN_ATTEMPTS_S: Final = 0.1

HEARTBEAT: Final = f"{RPC}/registry/heartbeat.json"
REGISTER: Final = f"{RPC}/registry/register.json"
UNREGISTER: Final = f"{RPC}/registry/unregister.json"
LOOKUP: Final = f"{RPC}/discovery/lookup.json"


class Unanswered(Exception):
    """No answer that could be used, with the reason."""


def instance(service_id: str, instance_id: str, **fields: object) -> dict[str, Any]:
    """An instance with what it must have."""
    return {
        "regionId": REGION,
        "zoneId": "zone1",
        "serviceId": service_id,
        "instanceId": instance_id,
        "ip": "10.0.0.1",
        "port": 8080,
        "url": f"http://10.0.0.1:8080/{instance_id}",
        **fields,
    }


def request_of(path: str, document: object) -> bytes:
    """A call as the Java client makes it: a gzip body in one chunk, on a connection that stays."""
    body = gzip.compress(json.dumps(document).encode(), 1)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: registry\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nConnection: Keep-Alive\r\n\r\n"
    )
    return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head.encode(), len(body), body)


class Line:
    """One connection to a node, kept as long as it works."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._stream: trio.SocketStream | None = None

    async def call(self, request: bytes) -> dict[str, Any]:
        """The answer to one request. Raises Unanswered, after which the next call connects anew."""
        answered = False
        try:
            with trio.fail_after(ANSWER_S):
                stream = self._stream = self._stream or await self._connect()
                await stream.send_all(request)
                answer = await _read(stream)
            answered = True
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise Unanswered(f"{self.place.name}: {error!r}") from None
        finally:
            if not answered:
                self.close()
        return answer

    def close(self) -> None:
        if self._stream is not None:
            self._stream.socket.close()
            self._stream = None

    async def _connect(self) -> trio.SocketStream:
        with trio.fail_after(CONNECT_S):
            return await trio.open_tcp_stream(self.place.host, self.place.port)


async def _read(stream: trio.SocketStream) -> dict[str, Any]:
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += await _some(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head[9:12])
    lines = (line.partition(b":") for line in bytes(head).lower().split(b"\r\n"))
    length = next(int(value) for name, _, value in lines if name == b"content-length")
    while len(body) < length:
        body += await _some(stream)
    if status >= 300:
        raise Unanswered(f"HTTP {status}")
    document: dict[str, Any] = json.loads(body)
    return document


async def _some(stream: trio.SocketStream) -> bytes:
    piece = await stream.receive_some()
    if not piece:
        raise Unanswered("the connection ended")
    return bytes(piece)


class Client:
    """Calls whichever node answers. Stays with it, and tries another one when it fails."""

    def __init__(self, places: Sequence[Place], *, first: int = 0) -> None:
        self._lines = [Line(place) for place in places]
        self._current = first % len(places)
        self.failovers = 0

    @property
    def place(self) -> Place:
        return self._lines[self._current].place

    async def call(self, request: bytes) -> dict[str, Any]:
        """The first answer of a node that serves. Raises Unanswered when none does."""
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await trio.sleep(BETWEEN_ATTEMPTS_S)
            try:
                answer = await self._lines[self._current].call(request)
            except Unanswered as unanswered:
                problem = str(unanswered)
            else:
                status = answer["responseStatus"]
                if status["errorCode"] not in ("internal-service-error", "service-unavailable", "rate-limited"):
                    return answer
                problem = f"{self.place.name}: {status}"
            self._current = (self._current + 1) % len(self._lines)
            self.failovers += 1
        raise Unanswered(problem)

    def close(self) -> None:
        for line in self._lines:
            line.close()


@dataclass
class Service:
    """One process of a service: some instances, and the client that keeps them registered."""

    instances: list[dict[str, Any]]
    client: Client
    heard_s: list[float] = field(default_factory=list[float])
    """When its heartbeats were answered."""
    silent: bool = False
    """It is dead: nothing comes from it, and nobody was told."""

    @property
    def ids(self) -> set[str]:
        return {str(each["instanceId"]) for each in self.instances}

    async def run(self, offset_s: float) -> None:
        """Heartbeat until cancelled or dead."""
        request = request_of(HEARTBEAT, {"instances": self.instances})
        due_s = trio.current_time() + offset_s
        while not self.silent:
            await trio.sleep_until(due_s)
            due_s = max(due_s + HEARTBEAT_S, trio.current_time() - HEARTBEAT_S)
            if self.silent:
                return
            try:
                await self._heartbeat(request)
            except Unanswered:
                continue  # the next heartbeat tries again, as the client does

    async def _heartbeat(self, request: bytes) -> None:
        answer = await self.client.call(request)
        unknown = [
            failed["instance"]
            for failed in answer["failedInstances"] or ()
            if failed["errorCode"] in ("data-not-found", "unknown")
        ]
        if unknown:
            answer = await self.client.call(request_of(REGISTER, {"instances": unknown}))
        if not answer["failedInstances"]:
            self.heard_s.append(trio.current_time())


class Fleet:
    """Services that live as long as the block of `open_fleet`, except those that are made to leave or to die."""

    def __init__(self, service_id: str, services: list[Service]) -> None:
        self.service_id = service_id
        self.services = services
        self.alive: set[str] = {one for service in services for one in service.ids}
        """Instances that no answer may lack and whose `delete` would be a lie, once they have been registered."""

    @property
    def heartbeats(self) -> int:
        return sum(len(service.heard_s) for service in self.services)

    @property
    def failovers(self) -> int:
        return sum(service.client.failovers for service in self.services)

    def all_heard(self) -> bool:
        """Whether each service has had an answer."""
        return all(service.heard_s for service in self.services)

    async def unregister(self, service: Service) -> None:
        """A service leaves in good order. It is told to have gone as soon as it begins to leave."""
        service.silent = True
        self.alive -= service.ids
        await service.client.call(request_of(UNREGISTER, {"instances": service.instances}))

    def die(self, service: Service) -> None:
        """A service dies without a word."""
        service.silent = True
        self.alive -= service.ids


@asynccontextmanager
async def open_fleet(
    service_id: str, count: int, places: Sequence[Place], *, each: int = 1, prefix: str = "i"
) -> AsyncGenerator[Fleet, None]:
    """`count` services of `each` instances, spread over the nodes; returns when all of them are registered."""
    services = [
        Service([instance(service_id, f"{prefix}{number}-{one}") for one in range(each)], Client(places, first=number))
        for number in range(count)
    ]
    fleet = Fleet(service_id, services)
    spread = random.Random(service_id)
    async with trio.open_nursery() as nursery:
        for service in services:
            nursery.start_soon(service.run, spread.uniform(0, HEARTBEAT_S))
        await eventually(fleet.all_heard)
        try:
            yield fleet
        finally:
            nursery.cancel_scope.cancel()
            for service in services:
                service.client.close()
