"""Raw subscribers against a real WebSocket server: the frames they send and read are the ones of the standard."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from artemis.cluster.bench.http import Address, BenchFailed
from artemis.cluster.bench.subscribers import arrivals_s, open_subscribers

from ...pace import PATIENCE_S


async def _converse(request: WebSocketRequest) -> None:
    """Answer a subscription with a snapshot, then push what the service is called."""
    connection = await request.accept()
    try:
        asked = json.loads(await connection.get_message())
        if asked["serviceId"] == "closed":
            await connection.aclose(1013, "too slow")
            return
        await connection.send_message(json.dumps({"type": "subscribed", "padding": "x" * 70_000}))
        await connection.ping()
        await connection.send_message(json.dumps({"type": "service_change", "padding": "y" * 200}))
        await connection.send_message(json.dumps({"type": "service_change", "news": asked["serviceId"]}))
        await connection.get_message()
    except ConnectionClosed:
        pass


@contextmanager
def open_server() -> Generator[Address]:
    ready = threading.Event()
    ports: list[int] = []
    scopes: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def serve() -> None:
        with trio.CancelScope() as scope:
            scopes.append((trio.lowlevel.current_trio_token(), scope))
            async with trio.open_nursery() as nursery:
                server = await nursery.start(serve_websocket, _converse, "127.0.0.1", 0, None)
                ports.append(server.port)
                ready.set()

    thread = threading.Thread(target=trio.run, args=(serve,), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE_S)
    yield ("127.0.0.1", ports[0])
    token, scope = scopes[0]
    token.run_sync_soon(scope.cancel)
    thread.join(PATIENCE_S)


def test_every_subscriber_is_heard_once() -> None:
    with open_server() as address, open_subscribers(address, "svc.a", 5) as subscribers:
        assert len(arrivals_s(subscribers, b'"news": "svc.a"')) == 5


def test_a_subscriber_that_is_closed_ends_the_measurement() -> None:
    with open_server() as address, pytest.raises(BenchFailed, match="too slow"), open_subscribers(address, "closed", 1):
        pass
