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
from artemis.store.leases import Entry, ServiceTable
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock, origin_of
from artemis.transport.peers.rpc_news import News
from artemis.transport.peers.rpc_peer import RpcPeer

from ...actors.cluster_world import SkewedClock, eventually, instance

SUCCESS = {"status": "success", "message": "", "errorCode": "success"}
CHOKED = {"status": "fail", "message": "java.lang.NullPointerException", "errorCode": "internal-service-error"}
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
        self.seconds = 0.0
        """How long it takes for a call."""
        self.chokes_on: set[str] = set()
        """Instances for which a whole call is answered with an internal error."""
        self.refuses: dict[str, str] = {}

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
        names = [i["instanceId"] for i in body["instances"]]
        await trio.sleep(self.seconds)
        if not self.chokes_on.isdisjoint(names):
            return httpx.Response(200, json={"failedInstances": None, "responseStatus": CHOKED})
        self.calls.append((operation, names))
        self.times.append(trio.current_time())
        codes = {name.lower(): code for name, code in self.refuses.items()}
        failed = [
            {"instance": each, "errorCode": codes[each["instanceId"].lower()], "errorMessage": "no"}
            for each in body["instances"]
            if each["instanceId"].lower() in codes
        ]
        return httpx.Response(200, json={"failedInstances": failed or None, "responseStatus": SUCCESS})

    def told(self, operation: str) -> list[list[str]]:
        return [names for what, names in self.calls if what == operation]


def failing(call: str) -> Callable[[str], httpx.Response | None]:
    """The connection breaks whenever this is asked."""

    def answer(operation: str) -> httpx.Response | None:
        if operation == call:
            raise httpx.ReadError("connection reset")
        return None

    return answer


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

    def attempted(self, url: str, *, refused: bool, problem: str, answered: bool) -> None:
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

    def unregister(self, *names: str) -> None:
        keys = [("svc", name) for name in names]
        outcome = self.registry.unregister(keys, now_s=self.clock.now_s(), now_ms=self.clock.now_ms())
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


async def test_registrations_and_removals_are_told_together_and_at_once(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.register("i1", "i2")
        await trio.sleep(0.1)
        assert scene.old.told("register") == [["i1", "i2"]]
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


async def test_a_node_that_cannot_register_is_told_everything_once_it_can(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.register("gone", "early")
        await trio.sleep(0.1)
        scene.old.status, scene.old.can_register = "starting", None
        await trio.sleep(5)
        scene.old.calls.clear()
        scene.unregister("gone")
        scene.register("news")
        await trio.sleep(60)
        assert scene.old.calls == []
        scene.old.status = "up"
        await trio.sleep(5)
        assert sorted(scene.old.calls) == [("register", ["news"]), ("unregister", ["gone"])]
        assert scene.peer.statistics().dropped == 0


async def test_a_lost_call_is_retried_for_as_long_as_it_takes_and_the_log_says_so(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scene() as scene:
        scene.register("i1")
        await trio.sleep(0.1)
        scene.old.answer = failing("unregister")
        scene.unregister("i1")
        await trio.sleep(60)
        assert scene.old.told("unregister") == []
        warnings = [record.getMessage() for record in caplog.records if "wait for" in record.getMessage()]
        assert len(warnings) == 1, "once a minute, from the fifth second on"
        assert warnings[0].startswith(f"1 registrations and removals wait for {URL}, the oldest for ")
        scene.old.answer = lambda operation: None
        await eventually(lambda: scene.old.told("unregister") == [["i1"]], within_s=6)
        assert scene.peer.statistics().waiting == 0


async def test_the_log_says_so_too_when_a_node_takes_news_more_slowly_than_they_come(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scene() as scene:
        names = [f"i{n}" for n in range(1000)]
        scene.register(*names)
        await eventually(lambda: sum(map(len, scene.old.told("register"))) == 1000, within_s=6)
        scene.old.seconds = 4.0  # no call fails
        scene.unregister(*names)
        await eventually(lambda: sum(map(len, scene.old.told("unregister"))) == 1000, within_s=20)
        (warning,) = [record.getMessage() for record in caplog.records if "wait for" in record.getMessage()]
        assert warning == (
            f"500 registrations and removals wait for {URL}, the oldest for 8 s, until it takes them: it is slow"
        )


async def test_what_became_obsolete_meanwhile_is_not_told(autojump_clock: MockClock) -> None:
    async with open_scene() as scene, open_supervisor() as supervisor:
        sweeper = LeaseSweeper(scene.registry, Effects(), scene.clock, interval_s=0.5)
        supervisor.start("sweeper", lambda: sweeper)
        scene.old.answer = failing("register")
        scene.register("expires", "removed", "changes")
        scene.old.status = "down"
        await trio.sleep(6)
        scene.unregister("removed", "changes")
        await trio.sleep(640)  # longer than tombstones live
        scene.register("changes")
        assert scene.registry.entry_count == 1
        scene.old.answer = lambda operation: None
        scene.old.status = "up"
        await trio.sleep(6)
        assert scene.old.calls == [("register", ["changes"])]


def test_what_waits_is_bounded_by_the_instances_that_there_are() -> None:
    news, service = News(), ServiceTable("svc", "svc", revision=1)
    for number in range(100_000):
        entry = Entry(service, f"i{number}")
        entry.gone = number % 100 > 0
        news.offer(entry, float(number))
        assert len(news) <= 2 * max(1000, number // 100) + 2
    assert news.oldest_s() == 0.0


@pytest.mark.parametrize("seconds", [0.5, 9.0])
async def test_a_thousand_removals_reach_a_slow_node(autojump_clock: MockClock, seconds: float) -> None:
    names = [f"i{number}" for number in range(1000)]
    async with open_scene() as scene:
        scene.register(*names)
        await eventually(lambda: scene.peer.statistics().told == 1000, within_s=5)
        scene.old.seconds = seconds
        scene.unregister(*names)
        scene.heartbeat(*names)
        await eventually(lambda: scene.peer.statistics().waiting == 0, within_s=60)
        await eventually(lambda: len(scene.old.told("unregister")) == 4, within_s=60)
        assert sorted(name for batch in scene.old.told("unregister") for name in batch) == sorted(names)
        assert scene.peer.statistics().dropped == 0


async def test_a_heartbeat_never_overtakes_a_removal(autojump_clock: MockClock) -> None:
    """The old node would register the instance again, from the data that the heartbeat carries."""
    async with open_scene() as scene:
        scene.register("i1")
        await trio.sleep(1)
        scene.old.seconds = 1.5
        scene.heartbeat("i1")
        await trio.sleep(1.1)  # the heartbeat is under way
        scene.unregister("i1")
        await trio.sleep(5)
        assert [operation for operation, _ in scene.old.calls] == ["register", "heartbeat", "unregister"]
        scene.register("i2")
        await trio.sleep(5)
        scene.heartbeat("i2")
        scene.unregister("i2")
        await trio.sleep(5)
        assert scene.old.calls[-1] == ("unregister", ["i2"]), "a heartbeat of what is gone is not told"


async def test_one_instance_that_the_node_chokes_on_does_not_hold_up_the_others(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scene() as scene:
        scene.old.chokes_on = {"i7"}
        scene.register(*(f"i{number}" for number in range(100)))
        await trio.sleep(2)
        told = {name for batch in scene.old.told("register") for name in batch}
        assert len(told) == 99
        assert scene.peer.statistics().waiting == 1
        assert any("did not take 1 instances of ours" in record.getMessage() for record in caplog.records)
        scene.old.chokes_on = set()
        await eventually(lambda: ["i7"] in scene.old.told("register"), within_s=11)
        assert scene.peer.statistics().waiting == 0


async def test_what_the_node_refuses_among_others_is_counted_and_told_no_more(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scene() as scene:
        scene.old.refuses = {"I7": "no-permission", "i8": "unknown"}
        scene.register(*(f"I{number}" for number in range(10)))
        await trio.sleep(20)
        assert scene.peer.statistics().dropped == 1
        assert scene.old.told("register")[1:], "what is not refused for good is tried again"
        assert {name for batch in scene.old.told("register")[1:] for name in batch} == {"I8"}
        warnings = [record.getMessage() for record in caplog.records if "did not take" in record.getMessage()]
        assert len(warnings) == 2, "not one for each"
        assert warnings[0].startswith(f"{URL} did not take 1 instances of ours; the last is <Entry svc/i7")
        assert warnings[0].endswith("no-permission: no")


@pytest.mark.parametrize("status", [429, 500, 503, 404])
async def test_a_node_that_answers_errors_while_it_starts_hears_everything_afterwards(
    autojump_clock: MockClock, status: int
) -> None:
    async with open_scene() as scene:
        scene.old.answer = lambda operation: None if operation == "node" else httpx.Response(status)
        scene.register(*(f"i{number}" for number in range(1000)))
        await trio.sleep(4)
        asked = scene.peer.statistics().requests
        assert asked < 60, "a node in trouble is spared"
        scene.old.answer = lambda operation: None
        await eventually(lambda: scene.peer.statistics().waiting == 0, within_s=15)
        assert scene.peer.statistics().dropped == 0
        assert {name for batch in scene.old.told("register") for name in batch} == {f"i{n}" for n in range(1000)}


async def test_large_instances_go_in_smaller_batches(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        large = [instance("svc", f"i{number}", metadata={"k": "x" * 300_000}) for number in range(5)]
        outcome = scene.registry.register(large, now_s=scene.clock.now_s(), now_ms=scene.clock.now_ms())
        scene.peer.offer_states(outcome.entries)
        await trio.sleep(1)
        assert [len(batch) for batch in scene.old.told("register")] == [3, 2]


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
        assert set(scene.registry.services["svc"].entries) == {"good"}
        assert scene.peer.statistics().import_refused == 3


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
