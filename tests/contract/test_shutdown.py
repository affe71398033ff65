"""How a node ends: section 6 of the design. Everybody is told, what was begun is finished, and nothing is lost."""

import signal
from pathlib import Path

import pytest
import trio

from ..pace import PATIENCE_S, paced
from .building import ids_of, instance, register
from .conftest import StartNode
from .nodes import NodeProcess
from .sockets import ALL_CHANGES, CHANGES, HEARTBEAT, WATCH, watching, websocket
from .wire import RPC, ask, connected, encoded, message

REGISTER = f"{RPC}/registry/register.json"
NODE_STATUS = f"{RPC}/status/node.json"
REASON = "this node is stopping"


def lane(fast_lane: bool, **more: object) -> dict[str, dict[str, object]]:
    return {"node": {"fast_lane": fast_lane, **more}}


async def has_begun_to_stop(node: NodeProcess) -> None:
    await node.says("stopping")


async def test_a_node_with_clients_of_all_kinds_ends_within_two_seconds_and_in_order(
    start_node: StartNode, fast_lane: bool, name: str
) -> None:
    node = start_node(lane(fast_lane))
    async with connected(node) as fresh, connected(node) as idle, connected(node) as cold:
        assert (await idle.ask("POST", REGISTER, encoded({"instances": [instance(name)]}))).status == 200
        assert (await cold.ask("GET", NODE_STATUS)).status == 200
        async with (
            websocket(node, WATCH) as watch,
            websocket(node, CHANGES) as changes,
            websocket(node, ALL_CHANGES) as all_changes,
            websocket(node, HEARTBEAT) as heartbeat,
        ):
            await watching(watch, name)
            started_s = trio.current_time()
            node.signal(signal.SIGTERM)
            for session in (watch, changes, all_changes, heartbeat):
                assert await session.closed() == (1001, REASON)
            assert await node.ended() == 0
            assert trio.current_time() - started_s < paced(2)
        for connection in (fresh, idle, cold):
            assert await connection.is_closed()
    assert node.events()[-1]["message"] == "stopped"


async def test_open_requests_are_answered_as_the_last_ones_of_their_connections(
    start_node: StartNode, fast_lane: bool
) -> None:
    node = start_node(lane(fast_lane))
    body = encoded({"instances": [instance("svc")]})
    requests = [message("POST", path, body) for path in (REGISTER, NODE_STATUS)]
    async with connected(node) as hot, connected(node) as cold, websocket(node, CHANGES) as session:
        for connection, request in zip((hot, cold), requests, strict=True):
            await connection.send(request[:-10])
        assert (await ask(node, "GET", "/health")).status == 200  # so the requests have arrived
        node.signal(signal.SIGTERM)
        assert (await session.closed())[0] == 1001
        for connection, request in zip((hot, cold), requests, strict=True):
            await connection.send(request[-10:])
            answer = await connection.answer()
            assert answer.status == 200
            assert "responseStatus" in answer.json
            assert (answer.header("connection") or "").lower() == "close"
            assert await connection.is_closed()
        assert await node.ended() == 0


async def test_who_asks_during_the_end_is_told_to_go_elsewhere(start_node: StartNode, fast_lane: bool) -> None:
    """Readiness is 503 from the first moment, and nobody new is let in; open requests keep the node so long."""
    node = start_node(lane(fast_lane))
    ready, services = message("GET", "/health/ready"), message("GET", f"{RPC}/discovery/services.json")
    async with connected(node) as first, connected(node) as second, websocket(node, CHANGES) as session:
        await first.send(ready[:-2])
        await second.send(services[:-2])
        assert (await ask(node, "GET", "/health/ready")).status == 200
        node.signal(signal.SIGTERM)
        await session.closed()
        with pytest.raises(OSError, match=r"refused|reset"):
            await ask(node, "GET", "/health")
        await first.send(ready[-2:])
        answer = await first.answer()
        assert answer.status == 503
        assert answer.json["status"] == "draining"
        await second.send(services[-2:])
        status = (await second.answer()).json["responseStatus"]
        assert status["errorCode"] in ("service-unavailable", "success")
        assert await node.ended() == 0


async def test_requests_that_never_end_are_cut_at_the_deadline(start_node: StartNode, fast_lane: bool) -> None:
    node = start_node(lane(fast_lane, shutdown_deadline_s=paced(0.5)))
    async with connected(node) as hot, connected(node) as cold:
        await hot.send(message("POST", REGISTER, b"{}", content_length="100"))
        await cold.send(message("POST", NODE_STATUS, b"{}", content_length="100"))
        assert (await ask(node, "GET", "/health")).status == 200
        started_s = trio.current_time()
        node.signal(signal.SIGTERM)
        await hot.is_cut()
        await cold.is_cut()
        assert await node.ended() == 0
        assert paced(0.4) < trio.current_time() - started_s < paced(3)


async def test_a_second_signal_ends_the_node_at_once(start_node: StartNode, fast_lane: bool) -> None:
    node = start_node(lane(fast_lane, shutdown_deadline_s=2 * PATIENCE_S))
    async with connected(node) as open_request:
        await open_request.send(message("POST", REGISTER, b"{}", content_length="100"))
        assert (await ask(node, "GET", "/health")).status == 200
        node.signal(signal.SIGTERM)
        await has_begun_to_stop(node)
        started_s = trio.current_time()
        node.signal(signal.SIGTERM)
        assert await node.ended() == -signal.SIGTERM
        assert trio.current_time() - started_s < PATIENCE_S


async def test_what_was_answered_before_the_end_is_there_after_a_restart(
    start_node: StartNode, fast_lane: bool, tmp_path: Path, name: str
) -> None:
    """Registrations are written behind the scenes; an orderly end writes them all."""
    node = start_node({**lane(fast_lane), "data": {"directory": str(tmp_path / "data")}})
    several = [instance(name, f"i{number:04}") for number in range(1000)]
    await register(node, *several)
    node.signal(signal.SIGTERM)
    assert await node.ended() == 0
    node.start()
    assert await ids_of(node, name) == [one["instanceId"] for one in several]
