"""Clients that ask for everything and never read: what they cost, measured from outside."""

from typing import Any

import trio

from .building import instance, register
from .conftest import StartNode
from .nodes import NodeProcess
from .waiting import eventually
from .wire import RPC, ask, connected, get, message

READERS = 150
EVERYTHING = f"{RPC}/discovery/services.json"


async def fill(node: NodeProcess) -> int:
    """Register 2,000 instances of about two kilobytes. Returns the size of the answer that holds them all."""
    metadata = {"k": "v" * 2000}
    for batch in range(20):
        await register(node, *(instance(f"svc{batch}", f"i{number}", metadata=metadata) for number in range(100)))
    return len((await ask(node, "POST", EVERYTHING, b"{}")).body)


async def test_many_who_never_read_the_largest_answer_share_it(start_node: StartNode, fast_lane: bool) -> None:
    node = start_node({"node": {"fast_lane": fast_lane}})
    size = await fill(node)
    before = node.resident_bytes()
    async with trio.open_nursery() as nursery:
        for _ in range(READERS):
            await nursery.start(ask_and_never_read, node)
        page = await get_metrics(node)
        assert page["artemis_unsent_bytes"] <= 2 * size
        assert node.resident_bytes() - before < 10 * size
        assert (await get(node, f"{RPC}/status/node.json"))["responseStatus"]["status"] == "success"
        nursery.cancel_scope.cancel()

    async def is_released() -> bool:
        return bool((await get_metrics(node))["artemis_unsent_bytes"] == 0)

    await eventually(is_released)


async def ask_and_never_read(node: NodeProcess, task_status: trio.TaskStatus[None]) -> None:
    async with connected(node, buffer_bytes=4096) as connection:
        await connection.send(message("POST", EVERYTHING, b"{}"))
        await trio.lowlevel.wait_readable(connection.stream.socket)  # so it was answered
        task_status.started()
        await trio.sleep_forever()


async def get_metrics(node: NodeProcess) -> dict[str, Any]:
    text = (await ask(node, "GET", "/metrics")).body.decode()
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}
