"""What one client of `/ws` may cost: answers that it does not read, revisions that it makes up, ids without end."""

import json
import tracemalloc
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from artemis.actors.broadcaster import Subscriptions
from artemis.actors.clock import SystemClock
from artemis.store.changes import ChangeLog
from artemis.store.instances import Instance
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock
from artemis.transport.push import ANSWERS_S, Sessions, SessionSettings
from artemis.transport.requests import Caller, Reply, Request
from artemis.transport.sockets import NORMAL, SocketClosed

CALLER = Caller("10.0.0.1")
SNAPSHOT = b'"' + b"x" * 1_000_000 + b'"'


class ClientSocket:
    """The node's end of a socket whose client says what a test puts in, and reads when a test lets it."""

    def __init__(self) -> None:
        self.caller = CALLER
        self.read: list[Any] = []
        self.reads = trio.Event()
        self.closed_with: list[tuple[int, str]] = []
        self.say, self._said = trio.open_memory_channel[str](100_000)

    async def send(self, text: str) -> None:
        await self.reads.wait()
        self.read.append(json.loads(text))

    async def receive(self) -> str:
        try:
            return await self._said.receive()
        except trio.EndOfChannel:
            raise SocketClosed from None

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        self.closed_with.append((code, reason))
        await trio.lowlevel.checkpoint()


class LargeSnapshots:
    def __init__(self) -> None:
        self.made = 0

    def snapshot(self, service_id: str) -> bytes:
        self.made += 1
        return SNAPSHOT


def nobody_beats(request: Request) -> Reply:
    raise AssertionError("no heartbeat is sent here")


def a_registry() -> Registry:
    now_ms = SystemClock().now_ms()
    registry = Registry(
        RegistrySettings("lab"), clock=HybridClock(7), origin=7, now_s=trio.current_time(), now_ms=now_ms
    )
    for number in range(3):
        svc = Instance(region_id="lab", service_id="svc", instance_id=f"i{number}", url="http://svc")
        registry.register([svc], now_s=trio.current_time(), now_ms=now_ms)
    return registry


def sessions_of(registry: Registry, snapshots: LargeSnapshots) -> Sessions:
    return Sessions(
        registry,
        Subscriptions(),
        SystemClock(),
        heartbeat=nobody_beats,
        snapshots=snapshots,
        serves=lambda: True,
        settings=SessionSettings(),
    )


def command(**fields: object) -> str:
    return json.dumps({"type": "subscribe", "serviceId": "svc", **fields})


async def test_a_client_that_asks_and_does_not_read_holds_one_answer_and_loses_none() -> None:
    socket, snapshots = ClientSocket(), LargeSnapshots()
    sessions = sessions_of(a_registry(), snapshots)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.watch, socket, CALLER)
        for _ in range(50):
            socket.say.send_nowait(command())
        await trio.testing.wait_all_tasks_blocked()
        assert snapshots.made <= 2
        socket.reads.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [text["type"] for text in socket.read] == ["subscribed"] * 50
        socket.say.close()


async def test_revisions_that_a_client_makes_up_are_not_remembered() -> None:
    socket, snapshots = ClientSocket(), LargeSnapshots()
    socket.reads.set()
    registry = a_registry()
    sessions = sessions_of(registry, snapshots)
    revision = registry.services["svc"].revision
    snapshots.snapshot = lambda service_id: b"{}"  # type: ignore[method-assign]
    tracemalloc.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.watch, socket, CALLER)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(4_000):
            socket.say.send_nowait(command(since=revision - 5 - number))
            if number % 500 == 0:
                await trio.testing.wait_all_tasks_blocked()
                socket.read.clear()
        await trio.testing.wait_all_tasks_blocked()
        socket.read.clear()
        assert tracemalloc.get_traced_memory()[0] - before < 300_000
        socket.say.close()
    tracemalloc.stop()


async def test_nobody_subscribes_to_an_id_that_no_service_may_have() -> None:
    socket, registry = ClientSocket(), a_registry()
    socket.reads.set()
    sessions = sessions_of(registry, LargeSnapshots())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.watch, socket, CALLER)
        socket.say.send_nowait(command(serviceId="s" * 257))
        await trio.testing.wait_all_tasks_blocked()
        assert socket.read == [{"type": "error", "message": "a serviceId has at most 256 characters"}]
        socket.say.close()


async def test_a_client_that_asks_more_than_its_backlog_at_once_is_answered_as_it_reads() -> None:
    socket, snapshots = ClientSocket(), LargeSnapshots()
    snapshots.snapshot = lambda service_id: b"{}"  # type: ignore[method-assign]
    sessions = sessions_of(a_registry(), snapshots)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.watch, socket, CALLER)
        for number in range(3_000):
            socket.say.send_nowait(command(serviceId=f"svc{number}"))
        await trio.testing.wait_all_tasks_blocked()
        assert not socket.closed_with
        socket.reads.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(socket.read) == 3_000
        socket.say.close()


async def test_a_client_that_asks_and_never_reads_is_closed_in_time(autojump_clock: MockClock) -> None:
    socket, snapshots = ClientSocket(), LargeSnapshots()
    sessions = sessions_of(a_registry(), snapshots)
    for _ in range(3):
        socket.say.send_nowait(command())
    await sessions.watch(socket, CALLER)
    assert socket.closed_with == [(1013, "too slow: answers were not read for 30 s")]
    assert trio.current_time() == pytest.approx(ANSWERS_S)


async def test_a_session_of_which_nothing_is_asked_is_closed(autojump_clock: MockClock) -> None:
    """On every socket but that of all changes, which has subscribed by being opened."""
    for open_one in (Sessions.watch, Sessions.changes, Sessions.heartbeats):
        socket, opened_s = ClientSocket(), trio.current_time()
        await open_one(sessions_of(a_registry(), LargeSnapshots()), socket, CALLER)
        assert socket.closed_with == [(1008, "nothing was asked of this session for 60 s")]
        assert trio.current_time() - opened_s == pytest.approx(60)


async def test_a_session_of_which_something_was_asked_stays(autojump_clock: MockClock) -> None:
    socket = ClientSocket()
    socket.reads.set()
    with trio.move_on_after(3600) as hour:
        socket.say.send_nowait(command())
        await sessions_of(a_registry(), LargeSnapshots()).watch(socket, CALLER)
    assert hour.cancelled_caught
    for open_one in (Sessions.changes, Sessions.all_changes):
        socket, opened_s = ClientSocket(), trio.current_time()
        socket.say.send_nowait('{"serviceId":"svc"}')
        await open_one(sessions_of(a_registry(), LargeSnapshots()), socket, CALLER)
        assert trio.current_time() - opened_s == pytest.approx(360)
        assert socket.closed_with[0][0] == NORMAL


async def test_who_missed_more_than_the_log_holds_gets_a_snapshot_and_no_part_of_the_changes() -> None:
    socket, snapshots, registry = ClientSocket(), LargeSnapshots(), a_registry()
    snapshots.snapshot = lambda service_id: b"{}"  # type: ignore[method-assign]
    socket.reads.set()
    registry.log = ChangeLog(2, registry.version)
    for number in range(5):
        changed = Instance(region_id="lab", service_id="svc", instance_id="i0", url=f"http://svc/{number}")
        registry.register([changed], now_s=trio.current_time(), now_ms=SystemClock().now_ms())
    revision = registry.services["svc"].revision
    sessions = sessions_of(registry, snapshots)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.watch, socket, CALLER)
        for behind in (0, 1, 2, 3, 4):
            socket.say.send_nowait(command(since=revision - behind))
        await trio.testing.wait_all_tasks_blocked()
        told = [len(text["changes"]) if "changes" in text else "snapshot" for text in socket.read]
        assert told == [0, 1, 2, "snapshot", "snapshot"]
        socket.say.close()
