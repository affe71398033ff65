"""What is common to the WebSockets of the RPC API, rows 92 to 94 and `/ws` beside them: section 2.1."""

import pytest
import trio

from ..pace import PATIENCE_S, paced
from .building import SUCCESS, instance, register
from .conftest import StartNode
from .flavours import GATED, QUICK
from .nodes import NodeProcess
from .sockets import ALL_CHANGES, CHANGES, HEARTBEAT, WATCH, handshake, shake_hands, text_frame, websocket
from .waiting import eventually
from .wire import RPC, ask, connected, get

PATHS = [HEARTBEAT, CHANGES, ALL_CHANGES, WATCH]


@pytest.mark.parametrize("path", PATHS)
async def test_the_java_client_opens_a_socket_with_the_least_that_is_needed(node: NodeProcess, path: str) -> None:
    async with connected(node) as connection:
        await shake_hands(connection, path)
        await connection.send(b"\x89\x84\x00\x00\x00\x00ping")
        with trio.fail_after(PATIENCE_S):
            assert await connection.stream.receive_some() == b"\x8a\x04ping"


@pytest.mark.parametrize("path", PATHS)
async def test_the_node_s_own_origin_and_no_subprotocol_is_fine(node: NodeProcess, path: str) -> None:
    origin = (b"Origin", node.url.encode())
    async with websocket(node, path, headers=[origin], subprotocols=["unknown"]) as session:
        assert session.connection.subprotocol is None
        await session.ping()


@pytest.mark.parametrize("path", PATHS)
async def test_a_plain_get_is_400(node: NodeProcess, path: str) -> None:
    answer = await ask(node, "GET", path)
    assert answer.status == 400
    assert answer.message == 'Can "Upgrade" only to "WebSocket".'


@pytest.mark.parametrize("path", PATHS)
async def test_a_handshake_that_is_none_is_refused(node: NodeProcess, path: str) -> None:
    good = handshake(path, b"dGhlIHNhbXBsZSBub25jZQ==")
    for bad, statuses in (
        (good.replace(b"Version: 13", b"Version: 8"), {400, 426}),
        (good.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), {400}),
    ):
        async with connected(node) as connection:
            await connection.send(bad)
            assert (await connection.answer()).status in statuses


async def test_a_socket_at_a_path_that_is_none_is_refused(node: NodeProcess) -> None:
    for path in ("/nowhere", f"{RPC}/registry/heartbeat.json", f"{CHANGES}/more"):
        async with connected(node) as connection:
            await connection.send(handshake(path, b"dGhlIHNhbXBsZSBub25jZQ=="))
            assert (await connection.answer(head_only=True)).status in {400, 403, 404, 405}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("message", [b"binary", b'{"instances":[]}', b""], ids=["bytes", "JSON", "nothing"])
async def test_a_binary_message_closes_the_socket(node: NodeProcess, path: str, message: bytes) -> None:
    async with websocket(node, path) as session:
        await session.send(message)
        assert await session.closed() == (1003, "Binary messages not supported")


@pytest.mark.parametrize("path", PATHS)
async def test_a_text_over_the_limit_closes_the_socket(node: NodeProcess, path: str) -> None:
    async with websocket(node, path) as session:
        await session.send("x" * (64 * 1024 + 1))
        code, _reason = await session.closed()
        assert code == 1009


@pytest.mark.parametrize("path", PATHS)
async def test_a_text_of_the_original_s_limit_and_more_is_taken(node: NodeProcess, path: str) -> None:
    """A heartbeat of some twenty instances is larger than the 8 KiB of the original."""
    async with websocket(node, path) as session:
        await session.send("x" * 64 * 1024)
        await session.ping()


@pytest.mark.parametrize("path", PATHS)
async def test_a_ping_is_answered_at_once_with_its_payload(node: NodeProcess, path: str) -> None:
    """The Java client pings every second, and gives a session up that needs longer than a second."""
    async with websocket(node, path) as session:
        for payload in (b"0", b"x" * 125):
            with trio.fail_after(PATIENCE_S):
                await session.ping(payload)


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_may_close(node: NodeProcess, path: str) -> None:
    async with websocket(node, path) as session:
        await session.connection.aclose(1000, "enough")
        end = session.connection.closed
        assert end is not None
        assert end.code == 1000


async def test_sessions_end_at_their_age_however_busy_they_are_and_watches_do_not(shared_node: StartNode) -> None:
    """Clients of `/ws` resume by revision; there is nothing to be gained by sending them away."""
    node = shared_node(QUICK)

    async def grow_old(path: str) -> None:
        opened_s = trio.current_time()
        async with websocket(node, path) as session:
            await session.ping()
            code, reason = await session.closed()
        assert code == 1000
        assert "age" in reason
        assert paced(1.4) < trio.current_time() - opened_s < PATIENCE_S

    async with websocket(node, WATCH) as watch:
        async with trio.open_nursery() as nursery:
            for path in (HEARTBEAT, CHANGES, ALL_CHANGES):
                nursery.start_soon(grow_old, path)
        assert (await watch.ask({"type": "ping"}))["type"] == "pong"


@pytest.mark.parametrize(("path", "status"), [(HEARTBEAT, 200), (CHANGES, 200), (ALL_CHANGES, 101), (WATCH, 101)])
async def test_a_black_listed_address_gets_200_and_no_socket(shared_node: StartNode, path: str, status: int) -> None:
    """Each socket has a list of its own, and it is the address of the connection that is looked up."""
    node = shared_node(GATED)
    async with connected(node) as connection:
        upgrade = handshake(path, b"dGhlIHNhbXBsZSBub25jZQ==")
        await connection.send(upgrade.replace(b"Host:", b"X-Forwarded-For: 10.0.0.1\r\nHost:"))
        answer = await connection.answer(head_only=status == 101)
        assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_vanishes_is_forgotten(node: NodeProcess, name: str, path: str) -> None:
    async with connected(node) as connection:
        await shake_hands(connection, path)
        if path == CHANGES:
            await connection.send(text_frame({"serviceId": name}))
    await register(node, instance(name))

    async def is_forgotten() -> bool:
        counts = await get(node, f"{RPC}/status/websocket/connection.json")
        return bool(counts == {"registry": "0", "discovery": "0"})

    await eventually(is_forgotten)


async def test_messages_may_come_in_fragments(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with connected(node) as connection:
        await shake_hands(connection, HEARTBEAT)
        text = text_frame({"instances": [instance(name, metadata=None, healthCheckUrl=None)]})
        mask, payload = text[4:8], text[8:]
        plain = bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
        first, middle, last = plain[:50], plain[50:60], plain[60:160]
        rest = plain[160:]
        assert max(map(len, (first, middle, last, rest))) < 126 * 2
        frames = [(0x01, first), (0x00, middle), (0x00, last), (0x80, rest)]
        for opcode, part in frames:
            size = bytes([0x80 | len(part)]) if len(part) < 126 else b"\xfe" + len(part).to_bytes(2)
            await connection.send(bytes([opcode]) + size + b"\0\0\0\0" + part)
        with trio.fail_after(PATIENCE_S):
            answer = await connection.stream.receive_some()
        assert b'"status":"success"' in answer.replace(b" ", b"")


async def test_thousands_of_sessions_are_no_reason_to_refuse_one(node: NodeProcess) -> None:
    """The bound on sessions is four fifths of that on connections, and of this machine there may be any number."""
    async with trio.open_nursery() as nursery:
        for _ in range(200):
            await nursery.start(hold_a_session, node)
        async with websocket(node, HEARTBEAT) as session:
            assert (await session.ask({"instances": []}))["responseStatus"] != SUCCESS
        nursery.cancel_scope.cancel()


async def hold_a_session(node: NodeProcess, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    async with connected(node) as connection:
        await shake_hands(connection, CHANGES)
        task_status.started()
        await trio.sleep_forever()
