"""Management on a cluster of two: whatever one node is told, the other does, and its subscribers hear of it."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from artemis.cluster.processes import free_ports

from ..contract.building import place
from ..contract.nodes import REGION, NodeProcess, Settings
from ..contract.waiting import eventually
from ..contract.wire import RPC, ask, connected, post
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


BACK_AND_FORTH: Final = 20


async def settle(here: World, there: World) -> None:
    """Wait until both nodes hold the same: what one of them is told last, the other shows."""
    for one, other in ((here, there), (there, here)):
        await one.register("marker", one.instance("i1"))
        await eventually(partial(same, partial(has, other, "marker"), True))
        await post(one.node, f"{RPC}/registry/unregister.json", {"instances": [one.instance("marker")]})
        await eventually(partial(same, partial(has, other, "marker"), False))


async def has(world: World, instance_id: str) -> bool:
    return instance_id in await world.lookup()


async def test_of_two_registrations_at_two_nodes_the_one_acknowledged_last_holds(pair: Pair) -> None:
    here, there = pair
    names = [f"back-{number}" for number in range(3 * BACK_AND_FORTH)]
    up = [here.instance(name, status="up") for name in names]
    await here.register(*up)
    await eventually(partial(same, partial(has, there, names[-1]), True))
    async with connected(here.node) as to_here, connected(there.node) as to_there:
        for number, instance in enumerate(up):
            first, second = (to_here, to_there) if number % 2 else (to_there, to_here)
            for connection, status in ((first, "starting"), (second, "up")):
                content = json.dumps({"instances": [{**instance, "status": status}]}).encode()
                answer = await connection.ask("POST", f"{RPC}/registry/register.json", content)
                assert answer.json["failedInstances"] is None
    await settle(here, there)
    for world in (here, there):
        body = place(discoveryConfigs=[{"serviceId": world.service}])
        (service,) = (await post(world.node, f"{RPC}/discovery/lookup.json", body))["services"]
        shown = {each["instanceId"]: each["status"] for each in service["instances"]}
        assert [name for name in names if shown[name] != "up"] == []


async def test_what_is_set_at_one_node_and_set_back_at_the_other_at_once_is_as_it_was(pair: Pair) -> None:
    """Group status, tag, waiting weight, and the canary's switch; at the other node each of them changes nothing."""
    here, there = pair
    groups = [await here.group(f"g{number}") for number in range(BACK_AND_FORTH)]
    await here.rule("r", *((f"g{number}", 5) for number in range(BACK_AND_FORTH)))
    rule_id = (await here.rpc("group/get-route-rules", serviceId=here.service))["routeRules"][0]["routeRuleId"]
    await here.ok("POST", "management/canary/config", {"serviceId": here.service, "ipWhitelist": ["10.0.0.1"]})

    async def set_all(world: World, number: int, *, back: bool) -> None:
        group_id = groups[number]["groupId"]
        key = {"serviceId": world.service, "regionId": REGION, "zoneId": world.zone, "name": f"g{number}"}
        row = {**key, "appId": world.service, "status": "active" if back else "inactive"}
        tags = [{"groupId": group_id, "tags": {"color": "red" if back else "blue"}}]
        weight = {"groupId": group_id, "routeRuleId": rule_id, "unreleasedWeight": 5 if back else 7}
        await world.rpc("group/update-groups", groups=[row])
        await world.rpc("group/update-group-tags", groupTagsList=tags)
        await world.rpc("group/update-route-rule-groups", routeRuleGroups=[weight])
        await world.ok("POST", "management/canary/enable", {"serviceId": world.service, "enabled": back})

    for number in range(BACK_AND_FORTH):
        await set_all(here, number, back=True)
    wanted = await everything(here)
    await eventually(partial(same, partial(everything, there), wanted))
    for number in range(BACK_AND_FORTH):
        first, second = (here, there) if number % 2 else (there, here)
        await set_all(first, number, back=False)
        await set_all(second, number, back=True)
    await settle(here, there)
    for world in pair:
        await eventually(partial(same, partial(everything, world), wanted))


async def everything(world: World) -> list[Any]:
    """Groups, tags, weights and canary of the service, without the times at which they were written."""
    found = [
        (await world.rpc("group/get-groups", serviceId=world.service))["groups"],
        (await world.rpc("group/get-all-group-tags"))["allGroupTags"],
        (await world.rpc("group/get-all-route-rule-groups"))["routeRuleGroups"],
        await world.ok("GET", f"management/canary/config/{world.service}"),
    ]
    return [_timeless(each) for each in found]


def _timeless(row: Any) -> Any:
    if isinstance(row, list):
        return [_timeless(each) for each in row]
    if isinstance(row, dict):
        return {name: _timeless(value) for name, value in row.items() if not name.endswith(("At", "Time"))}
    return row
