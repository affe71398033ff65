"""Answers about the whole registry: whoever asks for one holds up nobody else."""

import inspect

import pytest
import trio

from artemis.node.composition import Node, open_node
from artemis.node.sources import make_config
from artemis.store.instances import Instance
from artemis.transport.requests import Caller, Reply, Request

from ..pace import PATIENCE_S

INSTANCES, SERVICES = 4000, 40

LONG_ANSWERS = [
    ("GET", "/artemis/api/status/leases.json"),
    ("POST", "/artemis/api/discovery/services.json"),
    ("GET", "/api/discovery/services"),
    ("GET", "/artemis/api/replication/registry/services.json"),
    ("GET", "/api/management/services.json"),
]


def fill(node: Node) -> None:
    clock = node.core.clock
    for number in range(INSTANCES):
        instance = Instance(
            region_id=node.config.node.region,
            zone_id=node.config.node.zone,
            service_id=f"svc{number % SERVICES}",
            instance_id=f"i{number}",
            ip="10.0.0.1",
            url="http://10.0.0.1:8080/",
        )
        node.registry.register([instance], now_s=clock.now_s(), now_ms=clock.now_ms())


async def turns_of_others(node: Node, method: str, path: str) -> tuple[int, Reply]:
    """How often another task ran while the answer was made, and the answer."""
    route = next(route for route in node.routes if (route.method, route.path) == (method, path))
    query = b"regionId=" + node.config.node.region.encode()
    request = Request(method, path, query, b"", Caller("127.0.0.1"), loose=route.loose)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        reply = route.handler(request)
        if inspect.isawaitable(reply):
            reply = await reply
        nursery.cancel_scope.cancel()
    return turns, reply


@pytest.mark.parametrize(("method", "path"), LONG_ANSWERS)
async def test_an_answer_about_everything_is_made_in_steps(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artemis.transport.operations.pacing.SLICE_S", 0.0)
    async with open_node(make_config({"data.directory": ":memory:"}), port=1) as node:
        with trio.fail_after(PATIENCE_S):
            await node.cluster.up.wait()
            fill(node)
            turns, reply = await turns_of_others(node, method, path)
    assert reply.status == 200
    assert reply.body.count(b"i3999") >= 1
    assert turns >= SERVICES // 2
