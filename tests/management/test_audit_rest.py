"""Who did what, from where: the three views of the REST API (rows 65 to 67) and the nine of the RPC API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..contract.matching import EPOCH_MS, Including, Text, Whole
from ..contract.nodes import REGION, NodeProcess
from .world import OPERATOR, World

LOGS = "management/audit/logs"


async def page(world: World, query: str = "", view: str = "logs") -> list[dict[str, Any]]:
    found = await world.ok("GET", f"management/audit/{view}?{query}")
    assert isinstance(found, list)
    return found


async def test_every_write_leaves_who_what_when_where_and_both_sides_of_it(world: World) -> None:
    group = await world.group("blue", operatorId="alice", reason="a start")
    path = f"routing/groups/{group['groupKey']}"
    await world.ok("PATCH", path, {"description": "d", "operatorId": "bob", "reason": "tidying"})
    await world.ok("DELETE", f"{path}?operator_id=carol&reason=no%20longer%20needed")
    deleted, changed, created = await page(world, f"targetId={world.service}/{REGION}/{world.zone}/blue")
    place = {"serviceId": world.service, "regionId": REGION, "zoneId": world.zone, "name": "blue"}
    rest = {"appId": world.service, "description": None, "status": "active", "groupType": "physical", "metadata": None}
    common = {
        "logId": Whole(1),
        "nodeId": Text(r"127\.0\.0\.1:\d+"),
        "operationType": "group",
        "targetId": f"{world.service}/{REGION}/{world.zone}/blue",
        "complete": False,
        "address": "127.0.0.1",
        "operationTime": EPOCH_MS,
    }
    before = place | rest
    assert created == {
        **common,
        "operation": "create",
        "operatorId": "alice",
        "reason": "a start",
        "before": None,
        "after": before,
    }
    after = {**before, "description": "d"}
    assert changed == {
        **common,
        "operation": "update",
        "operatorId": "bob",
        "reason": "tidying",
        "before": before,
        "after": after,
    }
    assert deleted == {
        **common,
        "operation": "delete",
        "operatorId": "carol",
        "reason": "no longer needed",
        "before": after,
        "after": None,
    }


WRITES = {
    "instance-operation": "pullout",
    "server-operation": "pullout",
    "zone-operation": "pullout",
    "group": "create",
    "group-tag": "tag",
    "group-member": "bind",
    "group-operation": "out",
    "logical-instance": "create",
    "route-rule": "publish",
    "route-rule-group": "add-group",
    "canary": "configure",
    "canary-ips": "create",
}


async def do_everything(world: World) -> None:
    """A write of each kind, as `op`."""
    await world.instance_out("i1")
    await world.server_out()
    await world.zone_out(world.service)
    group = await world.group("blue", **OPERATOR)
    path = f"routing/groups/{group['groupKey']}"
    await world.ok("POST", f"{path}/tags", {"tags": [{"key": "k", "value": "v"}], **OPERATOR})
    await world.ok("POST", f"{path}/instances", {"instanceId": "i1", **OPERATOR}, 201)
    await world.group_out(group)
    await world.logical("l1")
    route = f"{world.service}-r"
    body = {"routeId": route, "serviceId": world.service, "name": "n", "strategy": "close-by-visit", **OPERATOR}
    await world.ok("POST", "routing/rules", body, 201)
    await world.ok("POST", f"routing/rules/{route}/groups", {"groupId": "blue", "weight": 1, **OPERATOR}, 201)
    await world.ok("POST", f"routing/rules/{route}/publish?operatorId=op&reason=because")
    canary = {"serviceId": world.service, "ipWhitelist": ["10.0.0.1"], **OPERATOR}
    await world.ok("POST", "management/canary/config", canary)
    await world.rpc("canary/update-canary-ips", serviceId=world.service, appId="app", canaryIps=[])


async def test_there_is_an_entry_for_every_kind_of_write(world: World) -> None:
    newest = (await page(world, "limit=1") or [{"logId": 0}])[0]["logId"]
    await do_everything(world)
    entries: list[dict[str, Any]] = []
    while newest not in {entry["logId"] for entry in entries}:
        more = f"&before={entries[-1]['logId']}" if entries else ""
        entries += await page(world, f"limit=3{more}")
    seen = {entry["operationType"]: entry for entry in reversed(entries[:20])}
    for kind, operation in WRITES.items():
        assert seen[kind] == Including({"operatorId": "op", "reason": "because", "address": "127.0.0.1"}), kind
        found = await page(world, f"operationType={kind}&operatorId=OP&operation={operation}&limit=1")
        assert found[0] == Including({"operationType": kind, "operation": operation}), kind


async def test_pages_follow_one_another_newest_first_without_a_gap(world: World) -> None:
    for number in range(7):
        await world.ok(
            "POST", "management/zone/pull-out", {"zoneId": world.zone, "regionId": REGION, "operatorId": f"o{number}"}
        )
    target = f"targetId={REGION}/{world.zone}"
    everything = await page(world, target)
    assert [entry["operatorId"] for entry in everything] == [f"o{number}" for number in reversed(range(7))]
    pages = found = await page(world, f"{target}&limit=3")
    while found:
        assert len(found) <= 3
        found = await page(world, f"{target}&limit=3&before={pages[-1]['logId']}")
        pages = pages + found
    assert pages == everything


async def test_a_time_window_is_inclusive(world: World) -> None:
    await world.zone_out()
    await world.zone_out(back=True)
    target = f"targetId={REGION}/{world.zone}"
    newest, oldest = await page(world, target)
    since, until = oldest["operationTime"], newest["operationTime"]
    assert await page(world, f"{target}&since={since}&until={until}") == [newest, oldest]
    assert await page(world, f"{target}&since={until + 1}") == []
    assert await page(world, f"{target}&until={since - 1}") == []


async def test_the_end_of_a_pullout_is_a_pullin(world: World) -> None:
    await world.instance_out("i1")
    await world.instance_out("i1", back=True)
    query = f"serviceId={world.service.upper()}&instanceId=I1"
    found = await page(world, query, "instance-logs")
    assert [(entry["operation"], entry["complete"]) for entry in found] == [("pullin", True), ("pullout", False)]
    assert found[0]["before"] == found[1]["after"] == Including({"operation": "pullout", "operatorId": "op"})
    assert await page(world, f"{query}&operation=pullin", "instance-logs") == found[:1]
    assert await page(world, f"{query}&operation=PullOut", "instance-logs") == found[1:]
    assert await page(world, f"serviceId={world.service}&instanceId=i2", "instance-logs") == []


async def test_the_views_of_instances_and_servers_hold_only_those(world: World) -> None:
    await world.instance_out("i1")
    await world.server_out()
    (entry,) = await page(world, f"server_id={world.server}", "server-logs")
    assert entry == Including({"operationType": "server-operation", "targetId": f"{REGION}/{world.server}"})
    assert await page(world, f"serverId={world.server}&operatorId=nobody", "server-logs") == []
    kinds = {entry["operationType"] for entry in await page(world, "limit=1000", "instance-logs")}
    assert kinds == {"instance-operation"}
    assert [entry["operationType"] for entry in await page(world, "operationType=Server_Operation&limit=1")] == [
        entry["operationType"] for entry in await page(world, "operationType=server&limit=1")
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "the query parameter limit must be a whole number from 1 to 1000, not '0'"),
        ("limit=1001", "the query parameter limit must be a whole number from 1 to 1000, not '1001'"),
        ("limit=ten", "the query parameter limit must be a whole number from 1 to 1000, not 'ten'"),
        ("since=yesterday", "the query parameter since must be a whole number"),
        ("before=-1", "the query parameter before must be a whole number"),
        ("operationType=nonsense", "operationType must be one of instance-operation, "),
    ],
)
async def test_filters_that_make_no_sense_are_named(world: World, query: str, message: str) -> None:
    assert (await world.refused(400, "GET", f"{LOGS}?{query}")).startswith(message)


async def test_a_refused_write_leaves_no_entry(world: World) -> None:
    await world.group("blue")
    await world.group("green")
    before = await page(world, "limit=1")
    body = {"instances": [{"groupId": "blue", "instanceId": "i1"}, {"groupId": "red", "instanceId": "i1"}]}
    await world.refused(404, "POST", f"routing/services/{world.service}/instances", body)
    assert await page(world, "limit=1") == before


async def test_the_nine_logs_of_the_rpc_api_show_what_rest_did(world: World) -> None:
    await do_everything(world)
    service, zone = {"serviceId": world.service}, {"regionId": REGION, "zoneId": world.zone}
    group_id = (await world.ok("GET", f"routing/groups?serviceId={world.service}&name=blue"))[0]["groupId"]
    views = {
        "instance-operation-logs": service | {"instanceId": "i1"},
        "server-operation-logs": {"regionId": REGION, "serverId": world.server},
        "zone-operation-logs": service | zone,
        "group-logs": service | {"name": "blue"},
        "group-operation-logs": {"groupId": group_id},
        "group-instance-logs": {"groupId": group_id},
        "route-rule-logs": service | {"name": f"{world.service}-r"},
        "route-rule-group-logs": {"groupId": group_id},
        "service-instance-logs": service | {"instanceId": "l1"},
    }
    for name, filters in views.items():
        logs = await world.logs(name, **filters)
        assert logs, name
        assert all(log == Including({**filters, "operatorId": "op"}) for log in logs), (name, logs)


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[World]:
    """A node that trusts what this machine says about the addresses of others."""
    settings = {"node": {"trusted_proxies": ["127.0.0.1"]}}
    node = NodeProcess(tmp_path, settings).start()
    try:
        yield World(node, 1)
        node.stop()
    finally:
        node.destroy()


@pytest.mark.parametrize(
    ("claim", "address"),
    [
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7:4711", "198.51.100.7"),
        ("198.51.100.7:4711, 127.0.0.1:80", "198.51.100.7"),
        ("203.0.113.9, [2001:DB8::7]:443", "2001:db8::7"),
        ("203.0.113.9, [2001:db8::7]", "2001:db8::7"),
        ("203.0.113.9,2001:db8::7", "2001:db8::7"),
        ("203.0.113.9, unknown", "127.0.0.1"),
        ("203.0.113.9, 198.51.100.7:", "127.0.0.1"),
        ("203.0.113.9, [198.51.100.7", "127.0.0.1"),
    ],
)
async def test_behind_a_trusted_proxy_the_address_is_that_of_the_client(
    proxied: World, claim: str, address: str
) -> None:
    headers = {"x_forwarded_for": claim}
    zone = {"zoneId": "z", "regionId": REGION, "operatorId": "op"}
    assert (await proxied.rest("POST", "management/zone/pull-out", zone, headers=headers)).status == 200
    key = {"regionId": REGION, "serverId": "10.0.0.1"}
    body = {"serverKey": key, "operation": "out", "operatorId": "op", "token": ""}
    assert (await proxied.rest("POST", "management/operate-server.json", body, headers=headers)).status == 200
    assert [entry["address"] for entry in await page(proxied)][:2] == [address] * 2


async def test_nobody_else_is_believed_about_addresses(world: World) -> None:
    zone = {"zoneId": world.zone, "regionId": REGION, "operatorId": "op"}
    await world.rest("POST", "management/zone/pull-out", zone, headers={"x_forwarded_for": "203.0.113.9"})
    assert (await page(world, f"targetId={REGION}/{world.zone}"))[0]["address"] == "127.0.0.1"
