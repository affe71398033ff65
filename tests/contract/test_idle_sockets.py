"""WebSockets from which nothing comes: what they may take from others, and for how long."""

from typing import Any, Final

import pytest
import trio

from ..pace import paced
from .conftest import StartNode
from .nodes import NodeProcess
from .sockets import ALL_CHANGES, CHANGES, HEARTBEAT, WATCH, handshake, shake_hands, text_frame, watching, websocket
from .wire import ask, connected

SCARCE: Final[Any] = {"limits": {"connections": 10}}
SUBSCRIBE_S: Final = paced(0.3)
IMPATIENT: Final[Any] = {"websocket": {"subscribe_timeout_s": SUBSCRIBE_S}}
PINGING: Final[Any] = {"websocket": {"ping_interval_s": paced(0.2), "pong_timeout_s": paced(0.3)}}


async def hold(node: NodeProcess, task_status: trio.TaskStatus[int]) -> None:
    async with connected(node) as connection:
        await connection.send(handshake(CHANGES, b"dGhlIHNhbXBsZSBub25jZQ=="))
        task_status.started((await connection.answer(head_only=True)).status)
        await trio.sleep_forever()


async def test_idle_sockets_do_not_shut_out_health_checks(shared_node: StartNode) -> None:
    node = shared_node(SCARCE)
    async with trio.open_nursery() as nursery:
        assert [await nursery.start(hold, node) for _ in range(9)] == [101] * 8 + [503]
        assert (await ask(node, "GET", "/health")).status == 200
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", [HEARTBEAT, CHANGES, WATCH])
async def test_a_socket_of_which_nothing_is_asked_is_closed(shared_node: StartNode, path: str) -> None:
    async with websocket(shared_node(IMPATIENT), path) as session:
        await session.ping()
        assert await session.closed() == (1008, f"nothing was asked of this session for {SUBSCRIBE_S:g} s")


async def test_a_socket_that_subscribed_stays(shared_node: StartNode, name: str) -> None:
    node = shared_node(IMPATIENT)
    async with websocket(node, WATCH) as session:
        await watching(session, name)
        async with websocket(node, WATCH) as other:
            await other.closed()
        assert (await session.ask({"type": "ping"}))["type"] == "pong"


@pytest.mark.parametrize("path", [ALL_CHANGES, CHANGES, WATCH])
async def test_a_client_that_answers_no_ping_is_cut_off(shared_node: StartNode, name: str, path: str) -> None:
    async with connected(shared_node(PINGING)) as silent:
        await shake_hands(silent, path)
        await silent.send(text_frame({"type": "subscribe", "serviceId": name}))
        await silent.is_cut()


async def test_a_client_that_answers_pings_is_not(shared_node: StartNode, name: str) -> None:
    node = shared_node(PINGING)
    async with websocket(node, WATCH) as alive, connected(node) as silent:
        await watching(alive, name)
        await shake_hands(silent, WATCH)
        await silent.is_cut()
        assert (await alive.ask({"type": "ping"}))["type"] == "pong"
