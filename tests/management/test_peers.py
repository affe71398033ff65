"""Management on a cluster of two: whatever one node is told, the other does, and its subscribers hear of it."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from artemis.cluster.processes import free_ports

from ..contract.nodes import NodeProcess, Settings
from ..contract.waiting import eventually
from ..contract.wire import ask
from ..pace import paced
from .test_pulling_out import CAUSES, TOLD_ONE_BY_ONE, switch_of
from .test_surviving import NAMES, decide_everything, picture
from .world import World

PEER_S = paced(0.1)
"""How long after the answer the other node may still be behind. The machine of the test may have other things to do,
so of several tries one must have been as quick."""

Pair = tuple[World, World]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NodeProcess]]:
    """Two nodes that know each other."""
    ports = free_ports(2)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    running: list[NodeProcess] = []
    try:
        for port in ports:
            settings: Settings = {
                "node": {"port": port},
                "cluster": {"nodes": {"zone1": urls}},
                "rate_limits": {"management": 1_000_000},
            }
            node = NodeProcess(tmp_path_factory.mktemp("peer"), settings)
            running.append(node.start())
        yield running
        for node in running:
            node.stop()
    finally:
        for node in running:
            node.destroy()


_numbers = iter(range(1, 1000))


@pytest.fixture
async def pair(nodes: list[NodeProcess]) -> Pair:
    """The same corner of both nodes, with i1 where pull-outs strike and i2 out of their reach."""
    number = next(_numbers)
    here, there = (World(node, number) for node in nodes)
    for world in (here, there):
        await eventually(partial(is_up, world))
    await here.register("i1", here.instance("i2", zoneId="safe", ip="10.88.0.1"))
    await eventually(partial(same, there.lookup, ["i1", "i2"]))
    return here, there


async def is_up(world: World) -> bool:
    return (await ask(world.node, "GET", "/health/ready")).status == 200


async def same(question: Callable[[], Any], wanted: Any) -> bool:
    return bool(await question() == wanted)


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_pull_out_reaches_the_answers_and_subscribers_of_the_peer(pair: Pair, cause: str) -> None:
    here, there = pair
    switch = await switch_of(here, cause)
    await eventually(partial(same, partial(there.ok, "GET", "routing/groups"), await here.ok("GET", "routing/groups")))
    async with there.subscribed() as ears:
        delays_s: list[float] = []
        for back, change in [(False, "delete i1"), (True, "new i1")] * 2:
            await switch(back)
            answered_s = time.perf_counter()
            assert await ears.hear_ws() == [change]
            delays_s.append(time.perf_counter() - answered_s)
            assert await ears.hear_rpc() == [change if cause in TOLD_ONE_BY_ONE else "reload"]
            assert await there.seen() == (["i1", "i2"] if back else ["i2"])
    assert min(delays_s) < PEER_S


async def stable(world: World) -> dict[str, Any]:
    """The picture of a service, but for what a node chooses by turns: each has a wheel of its own."""
    found = await picture(world)
    del found["answers"]["get service"]
    return found


async def test_everything_that_one_node_decides_the_other_shows(pair: Pair) -> None:
    here, there = pair
    await decide_everything(here)
    wanted = await stable(here)
    await eventually(partial(same, partial(stable, there), wanted))
    await there.register_groups(*NAMES, each=2)
    await there.instance_out("blue-1", back=True)
    assert "blue-1" in await there.lookup()
    await eventually(partial(same, partial(stable, here), await stable(there)))


async def test_the_audit_log_follows_at_once_whichever_node_writes(pair: Pair) -> None:
    """The two nodes have two links, and only over one of them has the one asked what the other holds."""
    for writer, reader in (pair, pair[::-1]):
        delays_s: list[float] = []
        for back in (False, True, False, True):
            await writer.zone_out(back=back)
            answered_s = time.perf_counter()
            wanted = await writer.ok("GET", "management/audit/logs?limit=5")
            await eventually(
                partial(same, partial(reader.ok, "GET", "management/audit/logs?limit=5"), wanted), paced(2)
            )
            delays_s.append(time.perf_counter() - answered_s)
        assert min(delays_s) < PEER_S


async def test_ids_are_the_same_on_both_nodes_whoever_makes_a_thing_first(pair: Pair) -> None:
    here, there = pair
    first = await here.group("blue")
    path = f"routing/groups/{first['groupKey']}"
    await here.ok("DELETE", path)
    await eventually(partial(same, partial(status_of, there, path), 404))
    assert (await there.group("blue"))["groupId"] == first["groupId"]


async def status_of(world: World, path: str) -> int:
    return (await world.rest("GET", path)).status
