"""Those who look on: they ask every node all the time and follow pushes, and write down what must not be."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio
import trio_websocket
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError

from ...contract.sockets import CHANGES, WATCH
from ...contract.waiting import eventually
from ...pace import PATIENCE_S, paced
from .clients import LOOKUP, Fleet, Line, Unanswered, request_of
from .clusters import REGION, Place

BETWEEN_QUESTIONS_S: Final = 0.05
RECONNECT_S: Final = 0.05
HANDSHAKE_S: Final = paced(2.0)
BEGIN_S: Final = PATIENCE_S / 2
GRACE_S: Final = paced(1.0)
"""What an observer may lag behind the world: news on its way, on a machine that is busy."""

LOST = (
    Unanswered,
    OSError,
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    trio.TooSlowError,
    trio.BrokenResourceError,
)


def lookup_of(service_id: str) -> bytes:
    return request_of(LOOKUP, {"discoveryConfigs": [{"serviceId": service_id}], "regionId": REGION, "zoneId": "zone1"})


async def knows(place: Place, fleet: Fleet) -> bool:
    """Whether the answer of a node holds the whole fleet."""
    return (await ids_at(place, fleet.service_id) or set()) >= fleet.alive


async def ids_at(place: Place, service_id: str) -> set[str] | None:
    """The instances in the answer of a node; None when it does not serve."""
    line = Line(place)
    try:
        return _ids(await line.call(lookup_of(service_id)))
    except Unanswered:
        return None
    finally:
        line.close()


def _ids(answer: dict[str, Any]) -> set[str] | None:
    return ids_in(answer) if answer["responseStatus"]["status"] == "success" else None


def ids_in(answer: dict[str, Any]) -> set[str]:
    """The instances in an answer to a look-up of one service."""
    return {str(each["instanceId"]) for each in answer["services"][0]["instances"] or ()}


@dataclass
class Prober:
    """Asks one node for a service again and again, and notes whatever an answer lacks."""

    place: Place
    fleet: Fleet
    answers: int = 0
    refusals: int = 0
    missing: list[tuple[float, set[str]]] = field(default_factory=list[tuple[float, set[str]]])
    latencies_s: list[float] = field(default_factory=list[float])

    async def run(self) -> None:
        request, line = lookup_of(self.fleet.service_id), Line(self.place)
        try:
            while True:
                await trio.sleep(BETWEEN_QUESTIONS_S)
                expected, asked_s = set(self.fleet.alive), trio.current_time()
                try:
                    found = _ids(await line.call(request))
                except Unanswered:
                    self.refusals += 1
                    continue
                if found is None:
                    self.refusals += 1
                    continue
                self.answers += 1
                self.latencies_s.append(trio.current_time() - asked_s)
                if lacking := (expected & self.fleet.alive) - found:
                    self.missing.append((asked_s, lacking))
        finally:
            line.close()


class Follower:
    """Follows a service by pushes, at one node or at whichever can be had, and keeps a picture of it."""

    def __init__(self, places: Sequence[Place], fleet: Fleet) -> None:
        self._places = list(places)
        self._fleet = fleet
        self.picture: dict[str, dict[str, Any]] = {}
        self.connects = 0
        self.resumed = 0
        self.snapshots = 0
        self.events = 0
        self.goodbyes: list[tuple[int, str]] = []
        """Codes and reasons with which nodes closed."""
        self.lies: list[str] = []
        """What was pushed and not true: instances removed that live, and steps left out."""
        self.is_following = False
        self.problem = ""
        """Why it lost its node last."""

    async def begun(self) -> None:
        """Wait for the first picture."""
        with trio.move_on_after(BEGIN_S):
            await eventually(lambda: self.is_following, 2 * BEGIN_S)
        assert self.is_following, f"{type(self).__name__} cannot follow: {self.problem}"

    async def run(self) -> None:
        number = 0
        while True:
            place = self._places[number % len(self._places)]
            try:
                await self._follow(place)
            except LOST as lost:
                self._note_end(lost)
                number += 1
            except BaseExceptionGroup as group:
                ends, others = group.split(LOST)
                if others is not None or ends is None:
                    raise
                self._note_end(_leaf(ends))
                number += 1
            self.is_following = False
            await trio.sleep(RECONNECT_S)

    async def _follow(self, place: Place) -> None:
        raise NotImplementedError

    def _note_end(self, end: BaseException) -> None:
        self.problem = repr(end)
        if isinstance(end, ConnectionClosed) and end.reason is not None:
            self.goodbyes.append((end.reason.code, end.reason.reason or ""))

    def _apply(self, change: dict[str, Any]) -> None:
        self.events += 1
        instance_id, kind = str(change["instance"]["instanceId"]), change["changeType"]
        if kind == "delete":
            self.picture.pop(instance_id, None)
            if instance_id in self._fleet.alive:
                self.lies.append(f"delete of {instance_id}, which lives")
        elif kind in ("new", "change"):
            self.picture[instance_id] = change["instance"]

    def _replace(self, instances: Sequence[dict[str, Any]]) -> None:
        self.snapshots += 1
        picture = {str(each["instanceId"]): each for each in instances}
        if gone := (self.picture.keys() & self._fleet.alive) - picture.keys():
            self.lies.append(f"a snapshot without {sorted(gone)[:5]} of {len(gone)}")
        self.picture = picture


class WatchFollower(Follower):
    """On `/ws`: resumes where it left off when it comes back to the same node, else begins with a snapshot."""

    def __init__(self, places: Sequence[Place], fleet: Fleet) -> None:
        super().__init__(places, fleet)
        self._revisions: dict[str, int] = {}

    async def _follow(self, place: Place) -> None:
        async with connected(place, WATCH) as connection:
            self.connects += 1
            service_id, since = self._fleet.service_id, self._revisions.get(place.name)
            await connection.send_message(json.dumps({"type": "subscribe", "serviceId": service_id, "since": since}))
            while True:
                self._take(json.loads(await connection.get_message()), place.name)

    def _take(self, message: dict[str, Any], node: str) -> None:
        if message["type"] == "subscribed":
            if "changes" in message:
                self.resumed += 1
            else:
                self._replace(message["service"]["instances"] or [])
            self._revisions = {node: message["revision"]}
            self.is_following = True
        elif message["type"] == "service_change":
            if message["revision"] != self._revisions[node] + 1:
                self.lies.append(f"revision {message['revision']} after {self._revisions[node]}")
            self._revisions[node] = message["revision"]
        else:
            self.lies.append(f"unexpected: {message}")
        for change in message.get("changes") or ():
            self._apply(change)


class RpcFollower(Follower):
    """On the change socket of the Java client: asks for the service after each connect, then applies pushes."""

    async def _follow(self, place: Place) -> None:
        async with connected(place, CHANGES) as connection:
            self.connects += 1
            await connection.send_message(json.dumps({"serviceId": self._fleet.service_id}))
            await connection.ping(b"in order: answered after the subscription was read")
            line = Line(place)
            try:
                answer = await line.call(lookup_of(self._fleet.service_id))
            finally:
                line.close()
            if _ids(answer) is None:
                raise Unanswered("the node does not serve")
            self._replace(answer["services"][0]["instances"] or [])
            self.is_following = True
            while True:
                self._apply(json.loads(await connection.get_message()))


@asynccontextmanager
async def connected(place: Place, path: str) -> AsyncGenerator[trio_websocket.WebSocketConnection, None]:
    """A WebSocket that is dropped, not closed, when the block ends."""
    with trio.fail_after(HANDSHAKE_S):
        stream = await trio.open_tcp_stream(place.host, place.port)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(HANDSHAKE_S):
                connection = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    f"{place.host}:{place.port}",
                    path,
                    message_queue_size=1000,
                    max_message_size=1 << 26,
                )
            try:
                yield connection
            finally:
                nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _leaf(first) if isinstance(first, BaseExceptionGroup) else first


@dataclass
class Observers:
    """Everybody who looks on at one fleet."""

    probers: dict[str, Prober]
    followers: list[Follower]

    def judge(self) -> None:
        """Fail if anything was seen that must not be."""
        for prober in self.probers.values():
            assert not prober.missing, f"answers of {prober.place.name} lacked: {prober.missing[:3]}"
        for follower in self.followers:
            assert not follower.lies, f"{type(follower).__name__}: {follower.lies[:5]}"

    def answers(self) -> int:
        return sum(prober.answers for prober in self.probers.values())


@asynccontextmanager
async def open_observers(
    fleet: Fleet, places: Sequence[Place], *, following: Sequence[Place] = ()
) -> AsyncGenerator[Observers, None]:
    """Ask all `places` while the block lasts, and follow pushes of both dialects at one of `following`.

    Begins when everybody has a complete picture. The caller judges.
    """
    followers: list[Follower] = [WatchFollower(following, fleet), RpcFollower(following, fleet)] if following else []
    observers = Observers({place.name: Prober(place, fleet) for place in places}, followers)
    async with trio.open_nursery() as nursery:
        for follower in observers.followers:
            nursery.start_soon(follower.run)
        for follower in observers.followers:
            await follower.begun()
        for place in places:
            await eventually(partial(knows, place, fleet))
        for prober in observers.probers.values():
            nursery.start_soon(prober.run)
        yield observers
        nursery.cancel_scope.cancel()
