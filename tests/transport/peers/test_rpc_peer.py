"""The RPC dialect, spoken to a node of the original system: what it is told, how often, and what it may refuse."""

import gzip
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from trio.testing import MockClock

from artemis.actors.effects import Effects
from artemis.actors.frames import Word
from artemis.actors.supervisor import open_supervisor
from artemis.actors.sweeper import LeaseSweeper
from artemis.store.instances import Instance
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock, origin_of
from artemis.transport.peers.rpc_peer import RpcPeer

from ...actors.cluster_world import SkewedClock, eventually, instance

SUCCESS = {"status": "success", "message": "", "errorCode": "success"}
URL = "http://old:8080"


class OldNode:
    """A node of the original system, as far as its replication endpoints go."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.times: list[float] = []
        self.status = "up"
        self.can_register: bool | None = True
        self.known: list[dict[str, object]] = []
        self.answer: Callable[[str], httpx.Response | None] = lambda operation: None
        self.polls = 0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        assert request.headers["content-encoding"] == "gzip"
        assert request.headers["content-type"] == "application/json"
        body = json.loads(gzip.decompress(request.content))
        operation = request.url.path.rpartition("/")[2].removesuffix(".json")
        refusal = self.answer(operation)
        if refusal is not None:
            return refusal
        if operation == "node":
            self.polls += 1
            status = {"status": self.status, "canServiceRegistry": self.can_register, "node": {"url": URL}}
            return httpx.Response(200, json={"nodeStatus": status, "responseStatus": SUCCESS})
        if operation == "services":
            services = [{"serviceId": "svc", "instances": self.known, "logicInstances": None}]
            return httpx.Response(200, json={"services": services, "responseStatus": SUCCESS})
        self.calls.append((operation, [i["instanceId"] for i in body["instances"]]))
        self.times.append(trio.current_time())
        return httpx.Response(200, json={"failedInstances": None, "responseStatus": SUCCESS})

    def told(self, operation: str) -> list[list[str]]:
        return [names for what, names in self.calls if what == operation]


class NoGzip(httpx.AsyncByteStream):
    """A body that is not compressed, whatever its headers say."""

    def __init__(self) -> None:
        self._parts = [b"this is no gzip"]

    def __aiter__(self) -> "NoGzip":
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


class Hub:
    """Remembers what it is told."""

    def __init__(self, *, synchronised: bool) -> None:
        self.is_synchronised = synchronised
        self.words: list[Word] = []
        self.problems: list[str] = []

    def polled(self, url: str, word: Word) -> None:
        self.words.append(word)

    def attempted(self, url: str, *, refused: bool, problem: str) -> None:
        self.problems.append(problem)

    def synchronised(self, url: str) -> None:
        self.is_synchronised = True


class Scene:
    """Our node with one old peer."""

    def __init__(self, *, synchronised: bool) -> None:
        self.old = OldNode()
        self.hub = Hub(synchronised=synchronised)
        self.clock = SkewedClock()
        origin = origin_of("new")
        self.registry = Registry(
            RegistrySettings("lab"),
            clock=HybridClock(origin),
            origin=origin,
            now_s=self.clock.now_s(),
            now_ms=self.clock.now_ms(),
        )
        self.peer = RpcPeer(
            URL,
            region_id="lab",
            zone_id="zone1",
            hub=self.hub,
            clock=self.clock,
            take_over=self._take_over,
            transport=httpx.MockTransport(self.old.handle),
        )

    def _take_over(self, instances: Sequence[Instance]) -> None:
        self.registry.register(instances, now_s=self.clock.now_s(), now_ms=self.clock.now_ms())

    def register(self, *names: str) -> None:
        instances = [instance("svc", name) for name in names]
        outcome = self.registry.register(instances, now_s=self.clock.now_s(), now_ms=self.clock.now_ms())
        self.peer.offer_states(outcome.entries)

    def unregister(self, name: str) -> None:
        outcome = self.registry.unregister([("svc", name)], now_s=self.clock.now_s(), now_ms=self.clock.now_ms())
        self.peer.offer_states(outcome.entries)

    def heartbeat(self, *names: str) -> None:
        lease_s = self.registry.lease_time(self.clock.now_s())
        entries = [self.registry.renew("svc", name, lease_s=lease_s) for name in names]
        self.peer.offer_renewals([entry for entry in entries if entry is not None])


@asynccontextmanager
async def open_scene(
    *, synchronised: bool = True, known: Sequence[dict[str, object]] = ()
) -> AsyncGenerator[Scene, None]:
    scene = Scene(synchronised=synchronised)
    scene.old.known = list(known)
    async with open_supervisor() as supervisor:
        supervisor.start("old", lambda: scene.peer)
        await trio.sleep(0.1)
        yield scene


async def test_registrations_and_removals_are_told_one_by_one_and_at_once(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.register("i1", "i2")
        await trio.sleep(0.1)
        assert sorted(scene.old.told("register")) == [["i1"], ["i2"]]
        scene.unregister("i1")
        await trio.sleep(0.1)
        assert scene.old.told("unregister") == [["i1"]]


async def test_news_of_one_instance_stays_in_order(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.register("i1")
        scene.unregister("i1")
        scene.register("i1")
        await trio.sleep(0.1)
        assert scene.old.calls[-1] == ("register", ["i1"])


async def test_heartbeats_are_told_in_batches(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        names = [f"i{n}" for n in range(600)]
        scene.register(*names)
        await trio.sleep(2)
        for _ in range(3):
            scene.heartbeat(*names)
            await trio.sleep(0.1)
        await trio.sleep(2)
        batches = scene.old.told("heartbeat")
        assert [len(batch) for batch in batches] == [250, 250, 100]


async def test_a_node_that_cannot_register_is_told_nothing_until_it_can(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.old.status, scene.old.can_register = "starting", None
        await trio.sleep(5)
        scene.register("early")
        await trio.sleep(6)
        scene.old.status = "up"
        scene.register("late")
        await trio.sleep(5)
        assert scene.old.told("register") == [["late"]]
        assert scene.peer.statistics().dropped == 1


async def test_a_lost_call_is_retried_until_the_news_is_five_seconds_old(autojump_clock: MockClock) -> None:
    def lost(operation: str) -> httpx.Response | None:
        if operation == "register":
            raise httpx.ReadError("connection reset")
        return None

    async with open_scene() as scene:
        scene.old.answer = lost
        scene.register("i1")
        await trio.sleep(3)
        scene.old.answer = lambda operation: None
        await eventually(lambda: scene.old.told("register") == [["i1"]], within_s=1)
        scene.old.answer = lost
        scene.register("i2")
        await trio.sleep(8)
        scene.old.answer = lambda operation: None
        await trio.sleep(8)
        assert scene.old.told("register") == [["i1"]]
        assert scene.peer.statistics().dropped == 1


@pytest.mark.parametrize(("code", "again"), [("rate-limited", True), ("no-permission", False), ("unknown", True)])
async def test_what_is_refused_for_good_is_not_retried(autojump_clock: MockClock, code: str, again: bool) -> None:
    async with open_scene() as scene:
        refusal = {"status": "fail", "message": "no", "errorCode": code}
        asked: list[str] = []

        def refuse(operation: str) -> httpx.Response | None:
            if operation != "register":
                return None
            asked.append(operation)
            return httpx.Response(200, json={"failedInstances": None, "responseStatus": refusal})

        scene.old.answer = refuse
        scene.register("i1")
        await trio.sleep(2)
        assert (len(asked) > 1) == again


async def test_the_node_is_asked_every_five_seconds_how_it_is(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        await trio.sleep(20.5)
        assert scene.old.polls == 5
        assert {word.status for word in scene.hub.words} == {"up"}
        scene.old.answer = lambda operation: httpx.Response(503)
        await trio.sleep(5)
        assert scene.hub.problems == ["HTTP 503"]


async def test_a_cold_start_takes_over_what_the_old_node_knows(autojump_clock: MockClock) -> None:
    known: list[dict[str, object]] = [
        {"regionId": "lab", "serviceId": "Svc.A", "instanceId": f"i{n}", "url": "http://x", "port": 80, "new": 1}
        for n in range(250)
    ]
    async with open_scene(synchronised=False, known=known) as scene:
        assert scene.hub.is_synchronised
        assert scene.registry.live_count == 250
        assert scene.peer.statistics().imported == 250


async def test_ids_that_would_end_our_own_links_are_not_taken_over(autojump_clock: MockClock) -> None:
    names = ["good", "two\nlines", "x" * 5000, " "]
    known: list[dict[str, object]] = [
        {"serviceId": "svc", "instanceId": name, "url": "http://x", "regionId": "lab"} for name in names
    ]
    async with open_scene(synchronised=False, known=known) as scene:
        await eventually(lambda: scene.hub.is_synchronised)
        assert set(scene.registry.services["svc"].entries) == {"good", " "}


@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")  # httpx leaves them when decoding fails
async def test_an_answer_that_is_not_compressed_as_it_says_is_a_failure_like_any_other(
    autojump_clock: MockClock,
) -> None:
    async with open_scene() as scene:
        headers = {"content-encoding": "gzip"}
        scene.old.answer = lambda operation: httpx.Response(200, headers=headers, stream=NoGzip())
        await eventually(lambda: len(scene.hub.problems) >= 5, within_s=60)


async def test_an_old_node_that_knows_nothing_is_no_reason_to_wait(autojump_clock: MockClock) -> None:
    async with open_scene(synchronised=False) as scene:
        assert scene.hub.is_synchronised


async def test_an_instance_that_expired_here_is_not_removed_there(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        effects = Effects()
        effects.peers[URL] = scene.peer
        async with open_supervisor() as supervisor:
            sweeper = LeaseSweeper(scene.registry, effects, scene.clock, interval_s=0.1)
            supervisor.start("sweeper", lambda: sweeper)
            scene.register("i1")
            await trio.sleep(30)
        assert scene.registry.live_count == 0
        assert scene.old.told("unregister") == []
