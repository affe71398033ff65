"""The table of the REST contract, rows 17 to 27 and 31 to 67: every row once, in an order that makes one story."""

from typing import Any, NamedTuple

from ..contract.building import REST_SUCCESS, SUCCESS
from ..contract.matching import Including, Whole
from ..contract.nodes import REGION
from .world import OPERATOR, World


class Row(NamedTuple):
    number: int
    method: str
    path: str
    body: Any = None
    status: int = 200
    shape: Any = None
    """What the data is like; the whole body for the rows that tell success by `status`."""


def told(**fields: Any) -> Including:
    return Including({"status": REST_SUCCESS, **fields})


def story(world: World) -> list[Row]:
    """Rows in an order in which each finds what it needs."""
    service, zone = world.service, world.zone
    group_key, rule = f"{service}:{REGION}:{zone}:blue", f"{service}-rule"
    group, link = f"routing/groups/{group_key}", f"routing/rules/{rule}/groups"
    key = {"regionId": REGION, "serviceId": service, "instanceId": "i1"}
    server = {"serverId": world.server, "regionId": REGION}
    place = {"serviceId": service, "regionId": REGION, "zoneId": zone}
    zone_body = {"zoneId": zone, "regionId": REGION, "serviceId": service, **OPERATOR}
    instance, servers = "management/instance", "management/server"
    a_group = Including({"groupKey": group_key, "groupId": Whole(1)})
    a_rule = Including({"routeId": rule, "serviceId": service})
    a_link = Including({"groupKey": group_key, "weight": 7})
    a_canary = Including({"serviceId": service, "ipWhitelist": ["10.0.0.1"]})
    return [
        Row(
            17,
            "POST",
            f"{instance}/operate-instance.json",
            {"instanceKey": key, "operation": "pullout", **OPERATOR},
            200,
            told(),
        ),
        Row(
            18,
            "POST",
            f"{instance}/get-instance-operations.json",
            {"instanceKey": key},
            200,
            told(operations=["pullout"]),
        ),
        Row(19, "POST", f"{instance}/is-instance-down.json", {"instanceKey": key}, 200, told(isDown=True)),
        Row(20, "POST", f"{servers}/operate-server.json", {**server, "operation": "pullout", **OPERATOR}, 200, told()),
        Row(21, "POST", f"{servers}/is-server-down.json", server, 200, told(isDown=True)),
        Row(22, "POST", "management/services.json", {}, 200, Including({"responseStatus": SUCCESS})),
        Row(22, "GET", "management/services.json", None, 200, Including({"responseStatus": SUCCESS})),
        Row(23, "POST", "management/service.json", {"serviceId": service}, 200, Including({"responseStatus": SUCCESS})),
        Row(24, "POST", "management/all-instance-operations.json", {}, 200, told()),
        Row(25, "GET", "management/all-instance-operations.json", None, 200, told()),
        Row(26, "POST", "management/all-server-operations.json", {}, 200, told()),
        Row(27, "GET", "management/all-server-operations.json", None, 200, told()),
        Row(31, "POST", "routing/groups", {**place, "name": "blue", "groupType": "logical"}, 201, a_group),
        Row(32, "GET", f"routing/groups?serviceId={service}", None, 200, [a_group]),
        Row(33, "GET", "routing/groups/by-id/{groupId}", None, 200, a_group),
        Row(34, "GET", group, None, 200, a_group),
        Row(35, "PATCH", group, {"description": "d"}, 200, Including({"description": "d"})),
        Row(35, "PUT", group, {"description": "e"}, 200, Including({"description": "e"})),
        Row(38, "POST", f"{group}/instances", {"instanceId": "i1", **OPERATOR}, 201, Including({"instanceId": "i1"})),
        Row(37, "GET", f"{group}/instances", None, 200, [Including({"instanceId": "i1"})]),
        Row(39, "DELETE", f"{group}/instances/i1", None, 200, None),
        Row(
            40,
            "POST",
            f"routing/services/{service}/instances",
            {"instances": [{"groupId": "blue", "instanceId": "i1"}]},
            201,
            1,
        ),
        Row(41, "POST", f"{group}/tags", {"tags": [{"key": "a", "value": "b"}]}, 200, a_group),
        Row(42, "GET", f"{group}/tags", None, 200, [{"key": "a", "value": "b"}]),
        Row(43, "DELETE", f"{group}/tags/a", None, 200, Including({"tags": []})),
        Row(
            44,
            "POST",
            "routing/rules",
            {"routeId": rule, "serviceId": service, "name": "n", "strategy": "close-by-visit"},
            201,
            a_rule,
        ),
        Row(45, "GET", f"routing/rules?serviceId={service}&status=inactive", None, 200, [a_rule]),
        Row(46, "GET", f"routing/rules/{rule}", None, 200, a_rule),
        Row(47, "PATCH", f"routing/rules/{rule}", {"name": "m"}, 200, Including({"name": "m"})),
        Row(51, "POST", link, {"groupId": "blue", "weight": 7}, 201, a_link),
        Row(52, "GET", link, None, 200, [a_link]),
        Row(53, "PATCH", f"{link}/blue", {"weight": 8}, 200, Including({"weight": 8})),
        Row(49, "POST", f"routing/rules/{rule}/publish", None, 200, Including({"status": "active"})),
        Row(50, "POST", f"routing/rules/{rule}/unpublish", None, 200, Including({"status": "inactive"})),
        Row(54, "DELETE", f"{link}/blue", None, 200, None),
        Row(48, "DELETE", f"routing/rules/{rule}", None, 200, None),
        Row(36, "DELETE", group, None, 200, None),
        Row(55, "POST", "management/zone/pull-out", zone_body, 200, Including({"operation": "pullout"})),
        Row(57, "GET", f"management/zone/status/{zone}/{REGION}", None, 200, Including({"isDown": False})),
        Row(
            57,
            "GET",
            f"management/zone/status/{zone}/{REGION}?serviceId={service}",
            None,
            200,
            Including({"isDown": True}),
        ),
        Row(58, "GET", "management/zone/operations?regionId=nowhere", None, 200, []),
        Row(56, "POST", "management/zone/pull-in", zone_body, 200, Including({"isDown": False})),
        Row(59, "DELETE", f"management/zone/{zone}/{REGION}", None, 200, Including({"isDown": False})),
        Row(60, "POST", "management/canary/config", {"serviceId": service, "ipWhitelist": ["10.0.0.1"]}, 200, a_canary),
        Row(61, "GET", f"management/canary/config/{service}", None, 200, a_canary),
        Row(62, "POST", "management/canary/enable", {"serviceId": service, "enabled": False}, 200, a_canary),
        Row(64, "GET", "management/canary/configs", None, 200, None),
        Row(64, "POST", "management/canary/disable", {"serviceId": service}, 200, a_canary),
        Row(64, "POST", f"management/canary/{service}/whitelist/add", {"ips": ["10.0.0.1"]}, 200, a_canary),
        Row(64, "POST", f"management/canary/{service}/whitelist/remove", {"ips": ["10.0.0.2"]}, 200, a_canary),
        Row(63, "DELETE", f"management/canary/config/{service}", None, 200, None),
        Row(
            65,
            "GET",
            f"management/audit/logs?targetId={service}&limit=1",
            None,
            200,
            [Including({"operation": "delete"})],
        ),
        Row(
            66,
            "GET",
            f"management/audit/instance-logs?serviceId={service}",
            None,
            200,
            [Including({"operation": "pullout"})],
        ),
        Row(
            67,
            "GET",
            f"management/audit/server-logs?serverId={world.server}",
            None,
            200,
            [Including({"operation": "pullout"})],
        ),
    ]


async def test_every_row_answers_as_the_contract_has_it(world: World) -> None:
    await world.register("i1")
    group_id = 0
    for row in story(world):
        answer = await world.rest(row.method, row.path.format(groupId=group_id), row.body)
        assert answer.status == row.status, (row, answer)
        body = answer.json
        if "success" not in body:
            assert body == row.shape, row
            continue
        assert body["success"] is True
        assert set(body) == {"success", "data"}
        assert row.shape is None or body["data"] == row.shape, (row, body)
        if row.number == 31:
            group_id = body["data"]["groupId"]


async def test_the_table_is_complete(world: World) -> None:
    assert {row.number for row in story(world)} == {*range(17, 28), *range(31, 68)}
