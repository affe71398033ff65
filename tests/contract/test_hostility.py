"""Clients that misbehave: they stop reading, send a storm, vanish, or say what is no HTTP. The others go on."""

import json
import signal
from contextlib import AsyncExitStack

import pytest
import trio

from ..pace import PATIENCE_S, paced
from .building import SUCCESS, ids_of, instance, instances_of, register
from .conftest import StartNode
from .nodes import NodeProcess
from .sockets import ALL_CHANGES, CHANGES, HEARTBEAT, WATCH, Session, handshake, shake_hands, text_frame, websocket
from .waiting import eventually
from .wire import RPC, Connection, ask, connected, encoded, get, message, rpc

REGISTER = f"{RPC}/registry/register.json"
BEAT = f"{RPC}/registry/heartbeat.json"
NODE_STATUS = f"{RPC}/status/node.json"

STORM = 20_000
"""Requests in a row on one connection; in the Quart lane a twentieth of them, it is slower by that much."""


async def test_a_storm_of_heartbeats_is_answered_in_order_and_to_the_last(
    node: NodeProcess, name: str, fast_lane: bool
) -> None:
    """Pipelined without waiting. Every hundredth is for an unknown instance: so the order can be seen."""
    total = STORM if fast_lane else STORM // 20
    await register(node, instance(name))
    known = message("POST", BEAT, encoded({"instances": [instance(name)]}))

    def request(number: int) -> bytes:
        if number % 100:
            return known
        return message("POST", BEAT, encoded({"instances": [instance(name, f"unknown{number}")]}))

    async with connected(node) as connection, trio.open_nursery() as nursery:

        async def send() -> None:
            for start in range(0, total, 100):
                await connection.send(b"".join(request(number) for number in range(start, start + 100)))

        nursery.start_soon(send)
        for number in range(total):
            answer = json.loads((await connection.answer()).body)
            if number % 100:
                assert answer["failedInstances"] is None
            else:
                (failed,) = answer["failedInstances"]
                assert failed["instance"]["instanceId"] == f"unknown{number}"
    assert await ids_of(node, name) == ["i1"]


async def test_during_a_storm_others_are_answered(node: NodeProcess, name: str, fast_lane: bool) -> None:
    await register(node, instance(name))
    beat = message("POST", BEAT, encoded({"instances": [instance(name)]}))
    async with trio.open_nursery() as nursery:

        async def rage() -> None:
            async with connected(node) as connection, trio.open_nursery() as pair:
                pair.start_soon(read_answers, connection)
                while True:
                    await connection.send(beat * (200 if fast_lane else 20))

        for _ in range(3):
            nursery.start_soon(rage)
        for _ in range(10):
            with trio.fail_after(PATIENCE_S):
                assert await ids_of(node, name) == ["i1"]
                assert (await ask(node, "GET", "/health")).status == 200
        nursery.cancel_scope.cancel()


async def read_answers(connection: Connection) -> None:
    while await connection.stream.receive_some():
        pass


async def test_a_storm_of_registrations_and_farewells_ends_as_the_last_one_said(node: NodeProcess, name: str) -> None:
    body = encoded({"instances": [instance(name)]})
    pair = message("POST", REGISTER, body) + message("POST", f"{RPC}/registry/unregister.json", body)
    async with connected(node) as connection:
        await connection.send(pair * 100 + message("POST", REGISTER, body))
        for _ in range(201):
            assert (await connection.answer()).json["responseStatus"] == SUCCESS
    assert await instances_of(node, name) == [instance(name)]


async def test_a_client_that_reads_no_answers_holds_up_nobody_and_costs_little(node: NodeProcess, name: str) -> None:
    """It asks for a large service again and again; what it does not read is not asked for on its behalf."""
    await register(node, *(instance(name, f"i{number}", metadata={"k": "v" * 4000}) for number in range(100)))
    asked = message("GET", f"{RPC}/discovery/service.json?serviceId={name}&regionId=lab&zoneId=zone1")
    before = node.resident_bytes()
    async with connected(node, buffer_bytes=4096) as mute:
        with trio.move_on_after(1):
            for _ in range(100):
                await mute.send(asked)
        with trio.fail_after(PATIENCE_S):
            assert len(await ids_of(node, name)) == 100
        assert node.resident_bytes() - before < 48 << 20


async def test_subscribers_that_stop_reading_hold_up_neither_others_nor_the_end_of_the_node(
    start_node: StartNode, fast_lane: bool, name: str
) -> None:
    """One of each kind stops reading, one of each kind hears everything, and the node ends in its time."""
    node = start_node(
        {"websocket": {"backlog": 8}, "node": {"fast_lane": fast_lane, "shutdown_deadline_s": paced(1.5)}}
    )
    subscription = {"type": "subscribe", "serviceId": name}
    async with AsyncExitStack() as stack:
        others: list[Session] = []
        for path in (CHANGES, ALL_CHANGES, WATCH):
            mute = await stack.enter_async_context(connected(node, buffer_bytes=4096))
            await shake_hands(mute, path)
            await mute.send(text_frame(subscription))
            other = await stack.enter_async_context(websocket(node, path))
            await other.send(subscription)
            await other.ping()
            others.append(other)
        changes, all_changes, watch = others
        assert (await watch.receive())["type"] == "subscribed"
        for step in range(30):
            # Just under what clients of the RPC sockets can receive.
            large = {"k": f"{step} " + "v" * 7_000}
            several = [instance(name, f"i{number}", metadata=large) for number in range(30)]
            await register(node, *several)
            assert len((await watch.receive())["changes"]) == 30
            for one in several:
                assert (await changes.receive())["instance"] == one
                assert (await all_changes.receive())["instance"] == one
        with trio.fail_after(PATIENCE_S):
            assert len(await ids_of(node, name)) == 30
        started_s = trio.current_time()
        node.signal(signal.SIGTERM)
        for other in others:
            assert await other.closed() == (1001, "this node is stopping")
        assert await node.ended() == 0
        assert trio.current_time() - started_s < paced(6)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"POST " + REGISTER.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST " + REGISTER.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST "
        + REGISTER.encode()
        + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST " + REGISTER.encode() + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 7000,
    ],
    ids=lambda junk: repr(junk[:30]),
)
@pytest.mark.parametrize("first", [None, BEAT, NODE_STATUS], ids=["fresh", "after a hot one", "after a cold one"])
async def test_what_is_no_http_is_refused_and_closed(node: NodeProcess, junk: bytes, first: str | None) -> None:
    async with connected(node) as connection:
        if first is not None:
            assert (await connection.ask("POST", first, b"{}")).status == 200
        await connection.send(junk)
        answer = await connection.answer()
        assert answer.status in (400, 415, 501, 505)
        assert answer.message
        assert answer.header("connection") == "close"
        assert await connection.is_closed()


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"PO",
        b"POST " + REGISTER.encode() + b" HTTP/1.1\r\nHost: a\r\n",
        message("POST", REGISTER, b"{}", content_length="100"),
        message("POST", NODE_STATUS, b"{}", content_length="100"),
        handshake(HEARTBEAT, b"dGhlIHNhbXBsZSBub25jZQ==")[:-10],
        handshake(WATCH, b"dGhlIHNhbXBsZSBub25jZQ=="),
        handshake(WATCH, b"dGhlIHNhbXBsZSBub25jZQ==") + b"\x81\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["at once", "two bytes", "half a head", "half a body", "half a cold body", "half a handshake", "a handshake"]
    + ["half a frame", "a preface"],
)
async def test_who_hangs_up_in_the_middle_harms_nobody(node: NodeProcess, name: str, beginning: bytes) -> None:
    """The log of the node is looked through at its end: it may not complain about them."""
    for _ in range(5):
        async with connected(node) as connection:
            if beginning:
                await connection.send(beginning)
        assert (await get(node, NODE_STATUS))["responseStatus"] == SUCCESS


async def test_who_resets_the_connection_harms_nobody(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    linger = b"\x01\0\0\0\0\0\0\0"
    for asked in (
        message("POST", BEAT, encoded({"instances": [instance(name)]})) * 50,
        message("GET", NODE_STATUS) * 50,
        handshake(WATCH, b"dGhlIHNhbXBsZSBub25jZQ==") + text_frame({"type": "subscribe", "serviceId": name}),
    ):
        async with connected(node) as connection:
            await connection.send(asked)
            connection.stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
    assert await ids_of(node, name) == ["i1"]


async def test_thousands_of_connections_come_and_go_and_leave_nothing(node: NodeProcess) -> None:
    async def visit() -> None:
        for _ in range(20):
            async with connected(node) as connection:
                assert (await connection.ask("POST", REGISTER, b"{}")).status == 200

    descriptors = node.descriptors()
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(visit)
    await eventually(lambda: node.descriptors() <= descriptors)


async def test_hundreds_of_idle_connections_are_no_burden(node: NodeProcess, name: str) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(500):
            await nursery.start(idle, node)
        with trio.fail_after(PATIENCE_S):
            await register(node, instance(name))
            answer = await rpc(node, "registry/heartbeat", {"instances": [instance(name)]})
            assert answer["responseStatus"] == SUCCESS
        nursery.cancel_scope.cancel()


async def idle(node: NodeProcess, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    async with connected(node):
        task_status.started()
        await trio.sleep_forever()


async def test_what_strangers_call_themselves_neither_fills_nor_forges_the_log(start_node: StartNode) -> None:
    """Fifty who want to be peers, behind addresses that turn lines round and move cursors."""
    node = start_node({"cluster": {"secret": "a secret of the cluster"}})
    name = "10.1.1.1\x85error \x9b31m".encode("latin-1") + b"x" * 5_000
    opening = handshake("/artemis/peer", b"dGhlIHNhbXBsZSBub25jZQ==")
    opening = opening.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: " + name + b"\r\n\r\n")

    async def knock() -> None:
        async with connected(node) as connection:
            await connection.send(opening)
            assert (await connection.answer(head_only=True)).status == 101
            await connection.send(b"\x82\x81\0\0\0\0\0")
            await connection.is_cut()

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(knock)
    await eventually(lambda: "was not accepted" in node.log())
    lines = [line for line in node.log().split("\n") if "was not accepted" in line]
    assert len(lines) <= 10, "one in ten seconds"
    assert all(line.isprintable() for line in node.log().split("\n"))
    assert max(map(len, lines)) < 1_000
