"""A watch: snapshot, changes, and no update lost through reconnects, gaps, and slow readers."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from artemis.transport.client import Refused, ServiceUpdate, open_discovery_client
from artemis.transport.client.sockets import Disconnected, TextSocket

A, B = "http://a:1", "http://b:2"


class FakeSocket:
    """One connection, seen from the node: `say` to the client, look at what it `heard`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[dict[str, object]] = []
        self.answers_pings = True
        self._say, self._received = trio.open_memory_channel[str](1000)

    async def send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        message = json.loads(text)
        self.heard.append(message)
        if message["type"] == "ping" and self.answers_pings:
            self.say(type="pong")

    async def receive(self) -> str:
        try:
            return await self._received.receive()
        except trio.EndOfChannel:
            raise Disconnected("the connection was lost") from None

    def say(self, **message: object) -> None:
        self._say.send_nowait(json.dumps(message))

    def lose(self) -> None:
        self._say.close()

    def snapshot(self, revision: int, *ids: str) -> None:
        service = {"serviceId": "orders", "instances": [{"instanceId": name} for name in ids]}
        self.say(type="subscribed", serviceId="orders", revision=revision, service=service)

    def change(self, revision: int, change_type: str, name: str) -> None:
        change = {
            "changeType": change_type,
            "instance": {"instanceId": name},
            "changeTime": "1970-01-01T00:00:00.001Z",
            "changeTimeMs": 1,
        }
        self.say(type="service_change", serviceId="orders", revision=revision, changes=[change])


class FakeNodes:
    """Takes every connection, unless its node is down."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.down: set[str] = set()

    @asynccontextmanager
    async def dial(self, url: str) -> AsyncGenerator[TextSocket, None]:
        await trio.lowlevel.checkpoint()
        if url in self.down:
            raise Disconnected("connection refused")
        self.sockets.append(FakeSocket(url))
        yield self.sockets[-1]

    async def connection(self, number: int) -> FakeSocket:
        """The connection of this number, once it is there and has subscribed."""
        with trio.fail_after(60):
            while not self._has_subscribed(number):
                await wait_all_tasks_blocked()
                await trio.sleep(0.01)
        return self.sockets[number - 1]

    def _has_subscribed(self, number: int) -> bool:
        return len(self.sockets) >= number and bool(self.sockets[number - 1].heard)


@asynccontextmanager
async def watching(
    nodes: FakeNodes, *urls: str, service: str = "orders"
) -> AsyncGenerator[trio.MemoryReceiveChannel[ServiceUpdate], None]:
    async with open_discovery_client(*urls, dial=nodes.dial) as discovery, discovery.watch(service) as updates:
        with trio.fail_after(300):
            yield updates


def names(update: ServiceUpdate) -> list[str | None]:
    return [instance.instance_id for instance in update.instances]


async def test_the_first_update_is_a_snapshot_and_changes_follow(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        socket = await nodes.connection(1)
        assert socket.url == "ws://a:1/ws"
        assert socket.heard == [{"type": "subscribe", "serviceId": "orders"}]
        socket.snapshot(5, "o1", "o2")
        socket.change(6, "delete", "O1")
        socket.change(7, "new", "o3")
        first, second, third = [await updates.receive() for _ in range(3)]
    assert (first.kind, first.revision, names(first)) == ("snapshot", 5, ["o1", "o2"])
    assert (second.kind, second.revision, names(second)) == ("changes", 6, ["o2"])
    assert (third.changes[0].change_type, names(third)) == ("new", ["o2", "o3"])


async def test_a_lost_connection_is_resumed_where_it_ended(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        first = await nodes.connection(1)
        first.snapshot(5, "o1")
        await updates.receive()
        first.lose()
        second = await nodes.connection(2)
        assert second.heard[0]["since"] == 5
        missed = {"changeType": "new", "instance": {"instanceId": "o2"}}
        second.say(type="subscribed", serviceId="orders", revision=6, changes=[missed])
        update = await updates.receive()
    assert (update.kind, update.revision, names(update)) == ("changes", 6, ["o1", "o2"])


async def test_nothing_is_reported_when_nothing_was_missed(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        first = await nodes.connection(1)
        first.snapshot(5, "o1")
        await updates.receive()
        first.lose()
        second = await nodes.connection(2)
        second.say(type="subscribed", serviceId="orders", revision=5, changes=[])
        second.change(6, "new", "o2")
        update = await updates.receive()
    assert update.revision == 6


async def test_another_node_is_asked_for_a_snapshot_because_revisions_are_its_own(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A, B) as updates:
        first = await nodes.connection(1)
        first.snapshot(5, "o1")
        await updates.receive()
        nodes.down.add("ws://a:1/ws")
        first.lose()
        second = await nodes.connection(2)
        assert second.url == "ws://b:2/ws"
        assert "since" not in second.heard[0]
        second.snapshot(900, "o1")
        assert (await updates.receive()).kind == "snapshot"


async def test_a_missing_revision_leads_to_a_snapshot(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        first = await nodes.connection(1)
        first.snapshot(5, "o1")
        await updates.receive()
        first.change(7, "new", "o3")
        second = await nodes.connection(2)
        assert "since" not in second.heard[0]
        second.snapshot(7, "o1", "o2", "o3")
        update = await updates.receive()
    assert (update.kind, names(update)) == ("snapshot", ["o1", "o2", "o3"])


async def test_a_service_may_be_watched_before_it_exists(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        socket = await nodes.connection(1)
        socket.snapshot(0)
        socket.change(3_677_453_895_806_220, "new", "o1")
        socket.change(3_677_453_895_806_221, "new", "o2")
        revisions = [(await updates.receive()).revision for _ in range(3)]
    assert revisions == [0, 3_677_453_895_806_220, 3_677_453_895_806_221]


async def test_a_push_that_the_snapshot_contains_already_is_dropped(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        socket = await nodes.connection(1)
        socket.change(4, "new", "o1")
        socket.snapshot(5, "o1")
        socket.change(5, "new", "o1")
        socket.change(6, "reload", "reload")
        first, second = [await updates.receive() for _ in range(2)]
    assert first.kind == "snapshot"
    assert (second.revision, second.changes[0].change_type, names(second)) == (6, "reload", ["o1"])


async def test_a_silent_node_is_pinged_and_left_when_it_stays_silent(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A, B) as updates:
        first = await nodes.connection(1)
        first.snapshot(5, "o1")
        await updates.receive()
        await trio.sleep(40)
        assert first.heard.count({"type": "ping"}) == 2
        assert len(nodes.sockets) == 1
        first.answers_pings = False
        second = await nodes.connection(2)
        assert second.url == "ws://b:2/ws"


async def test_attempts_to_connect_become_rarer_and_stay_frequent_enough(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    nodes.down.add("ws://a:1/ws")
    async with watching(nodes, A) as updates:
        await trio.sleep(60)
        nodes.down.clear()
        began_s = trio.current_time()
        (await nodes.connection(1)).snapshot(1)
        await updates.receive()
        assert trio.current_time() - began_s <= 5.1


async def test_a_slow_reader_holds_the_socket_up_and_misses_nothing(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A) as updates:
        socket = await nodes.connection(1)
        socket.snapshot(1)
        for revision in range(2, 102):
            socket.change(revision, "new", f"o{revision}")
        await wait_all_tasks_blocked()
        assert updates.statistics().current_buffer_used == 16
        assert [(await updates.receive()).revision for _ in range(101)] == list(range(1, 102))


async def test_all_services_have_no_snapshot_but_a_mark_after_a_reconnect(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()
    async with watching(nodes, A, service="*") as updates:
        first = await nodes.connection(1)
        first.say(type="subscribed", serviceId="*", revision=0)
        first.change(6, "new", "o1")
        assert (await updates.receive()).service_id == "orders"
        first.lose()
        second = await nodes.connection(2)
        second.say(type="subscribed", serviceId="*", revision=0)
        assert (await updates.receive()).kind == "resync"


async def test_a_subscription_that_the_node_rejects_is_an_error_of_the_caller(autojump_clock: MockClock) -> None:
    nodes = FakeNodes()

    async def watch() -> None:
        async with watching(nodes, A) as updates:
            (await nodes.connection(1)).say(type="error", message="serviceId is blank")
            await updates.receive()

    with pytest.raises(Refused, match="serviceId"):
        await watch()
