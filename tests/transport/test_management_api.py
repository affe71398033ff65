"""The management endpoints of the RPC API: refusals, coercions, filters, and effects."""

from typing import Any

import msgspec
import pytest

from artemis.actors.management import Overloaded, Stopped
from artemis.transport.errors import ClientError
from tests.store.building import instance
from tests.store.managed import Managed

from .managing import SUCCESS, Managing

WHO = {"operatorId": "op", "token": "t", "operation": "create", "reason": "r"}
OUT = {"operatorId": "op", "token": "t", "operation": "out"}
GROUP = {
    "serviceId": "svc.a",
    "regionId": "lab",
    "zoneId": "zone1",
    "name": "g1",
    "appId": "app1",
    "status": "active",
}
RULE = {"serviceId": "svc.a", "name": "r1", "status": "active", "strategy": "weighted-round-robin"}
KEY = {"regionId": "lab", "serviceId": "svc.a", "instanceId": "i1"}
ZONE = {"regionId": "lab", "serviceId": "svc.a", "zoneId": "zone1"}
LOGICAL = {
    "serviceId": "svc.a",
    "instanceId": "logic1",
    "ip": "10.9.9.9",
    "machineName": "m",
    "metadata": {},
    "port": 1,
    "protocol": "http",
    "regionId": "lab",
    "zoneId": "zone1",
    "healthCheckUrl": "h",
    "url": "http://logic",
    "groupId": "g1",
}

WRITES: dict[str, dict[str, Any]] = {
    "operate-instance": {**OUT, "instanceKey": KEY},
    "operate-server": {**OUT, "serverKey": {"regionId": "lab", "serverId": "10.0.0.1"}},
    "zone/operate-zone-operations": {**OUT, "zoneOperationsList": [{"zoneKey": ZONE, "operations": ["out"]}]},
    "group/insert-groups": {**WHO, "groups": [GROUP]},
    "group/update-groups": {**WHO, "groups": [GROUP]},
    "group/delete-groups": {**WHO, "groupIds": [1]},
    "group/insert-route-rules": {**WHO, "routeRules": [RULE]},
    "group/update-route-rules": {**WHO, "routeRules": [RULE]},
    "group/delete-route-rules": {**WHO, "routeRuleIds": [1]},
    "group/create-route-rule": {**WHO, "routeRule": RULE, "groups": [{**GROUP, "weight": 9}]},
    "group/operate-group-operation": {**OUT, **GROUP},
    "group/delete-route-rule-groups": {**WHO, "routeRuleGroupIds": [1]},
    "group/delete-group-instances": {**WHO, "groupInstanceIds": [1]},
    "group/insert-service-instances": {**WHO, "serviceInstances": [LOGICAL]},
    "group/delete-service-instances": {**WHO, "serviceInstanceIds": [1]},
    "group/delete-group-tags": {"groupId": 1},
    "canary/update-canary-ips": {**WHO, "serviceId": "svc.a", "appId": "app1", "canaryIps": ["i1"]},
}
"""Writes that succeed on an empty node."""


@pytest.fixture
def managing() -> Managing:
    managing = Managing()
    managing.node.register(instance("i1"), instance("i2", ip="10.0.0.2", group_id="g1"))
    return managing


def code(answer: Any) -> str:
    found: str = answer["responseStatus"]["errorCode"]
    return found


def test_all_sixty_endpoints_are_served(managing: Managing) -> None:
    assert len({(route.method, route.path) for route in managing.routes}) == 60
    assert len({route.path for route in managing.routes}) == 57


@pytest.mark.parametrize("name", WRITES)
async def test_every_write_is_taken_only_while_the_node_is_up(managing: Managing, name: str) -> None:
    for status in ("starting", "draining", "down"):
        managing.standing.status = status
        answer = await managing.ask(name, **WRITES[name])
        assert code(answer) == "service-unavailable"
        assert f"status: {status}" in answer["responseStatus"]["message"]
    assert len(managing.node.management.tables) == 0
    managing.standing.status = "up"
    assert await managing.ask(name, **WRITES[name]) == {"responseStatus": SUCCESS}


@pytest.mark.parametrize("error", [Overloaded("full"), Stopped("over")])
async def test_a_writer_that_cannot_is_a_503_with_a_time_to_try_again(managing: Managing, error: Exception) -> None:
    managing.writer.error = error
    with pytest.raises(ClientError) as refused:
        await managing.raw(
            "POST", "/api/management/operate-instance.json", msgspec.json.encode(WRITES["operate-instance"])
        )
    assert refused.value.status == 503
    assert (b"retry-after", b"1") in refused.value.headers


@pytest.mark.parametrize(
    ("name", "without"),
    [
        (name, field)
        for name in WRITES
        if name.startswith(("group/", "canary/")) and "tags" not in name
        for field in ("operation", "operatorId", "token", "extensions")
    ],
)
async def test_group_writes_need_the_whole_operation_context(managing: Managing, name: str, without: str) -> None:
    for blank in ("", None):
        answer = await managing.ask(name, **{**WRITES[name], without: blank})
        assert code(answer) == "internal-service-error"
        assert "failed." in answer["responseStatus"]["message"]
        assert without in answer["responseStatus"]["message"]
    assert len(managing.node.management.tables) == 0


@pytest.mark.parametrize(
    "name",
    [name for name in WRITES if name.startswith("group/") and name != "group/operate-group-operation"],
)
async def test_empty_lists_make_group_writes_fail(managing: Managing, name: str) -> None:
    emptied = {key: [] if isinstance(value, list) else value for key, value in WRITES[name].items()}
    if name == "group/delete-group-tags":
        emptied["groupId"] = 0
    assert code(await managing.ask(name, **emptied)) == "internal-service-error"
    assert len(managing.node.management.tables) == 0


async def test_an_empty_list_of_group_operations_is_a_success_and_of_zone_operations_is_not(managing: Managing) -> None:
    assert code(await managing.ask("group/operate-group-operations", **WHO, groupOperationsList=[])) == "success"
    answer = await managing.ask("zone/operate-zone-operations", **WHO, zoneOperationsList=[])
    assert answer["responseStatus"]["message"] == "operate zone-operations failed. group operations is empty"


@pytest.mark.parametrize("field", ["regionId", "serviceId", "instanceId"])
async def test_operating_an_instance_names_the_blank_part_of_its_key(managing: Managing, field: str) -> None:
    answer = await managing.ask(
        "operate-instance", **{**WRITES["operate-instance"], "instanceKey": {**KEY, field: " "}}
    )
    assert code(answer) == "bad-request"
    assert field in answer["responseStatus"]["message"]


@pytest.mark.parametrize("name", ["operate-instance", "operate-server"])
async def test_a_missing_key_is_a_500_by_contract_and_a_missing_operator_a_bad_request(
    managing: Managing, name: str
) -> None:
    assert await managing.ask(name, **OUT) == 500
    assert code(await managing.ask(name, **{**WRITES[name], "operatorId": None})) == "bad-request"
    assert code(await managing.ask(name, **{**WRITES[name], "operation": None})) == "bad-request"


async def test_a_zone_operation_needs_a_service_an_operator_and_nothing_else(managing: Managing) -> None:
    name = "zone/operate-zone-operations"
    everywhere = [{"zoneKey": {**ZONE, "serviceId": ""}, "operations": ["out"]}]
    answer = await managing.ask(name, **{**WRITES[name], "zoneOperationsList": everywhere})
    assert code(answer) == "internal-service-error"
    assert code(await managing.ask(name, **{**WRITES[name], "operatorId": None})) == "internal-service-error"
    assert managing.node.shown() == {"i1", "i2"}
    bare = {"zoneOperationsList": WRITES[name]["zoneOperationsList"], "operatorId": "op"}
    assert code(await managing.ask(name, **bare)) == "success"
    assert managing.node.shown() == set()


async def test_one_bad_item_undoes_the_whole_request(managing: Managing) -> None:
    items = [{"zoneKey": ZONE, "operations": ["out"]}, {"zoneKey": None, "operations": ["out"]}]
    answer = await managing.ask("zone/operate-zone-operations", **OUT, zoneOperationsList=items)
    assert code(answer) == "internal-service-error"
    assert managing.node.shown() == {"i1", "i2"}
    assert (await managing.ask("log/zone-operation-logs"))["logs"] == []


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("group/insert-group-tags", {"groupTagsList": [{"groupId": 4711, "tags": {"a": "b"}}]}),
        ("group/insert-group-instances", {"groupInstances": [{"groupId": 4711, "instanceId": "i1"}]}),
        ("group/operate-group-operations", {"groupOperationsList": [{"groupId": 4711, "operations": ["out"]}]}),
        ("group/insert-route-rule-groups", {"routeRuleGroups": [{"routeRuleId": 4711, "groupId": 4712}]}),
        ("group/release-route-rule-groups", {"routeRuleGroups": [{"routeRuleId": 4711, "groupId": 4712}]}),
    ],
)
async def test_what_hangs_on_something_unknown_is_refused(
    managing: Managing, name: str, payload: dict[str, Any]
) -> None:
    answer = await managing.ask(name, **WHO, **payload)
    assert code(answer) == "internal-service-error"
    assert "there is no" in answer["responseStatus"]["message"]


async def test_names_and_types_are_read_as_tolerantly_as_the_original_reads_them(managing: Managing) -> None:
    body = {
        "INSTANCEKEY": {"RegionID": "LAB", "serviceid": "SVC.A", "instanceId": "I1", "novel": 1},
        "Operation": 7,
        "operationcomplete": None,
        "operatorId": True,
        "whatever": {},
    }
    assert await managing.ask("operate-instance", **body) == {"responseStatus": SUCCESS}
    assert managing.node.shown() == {"i2"}
    (row,) = (await managing.ask("log/instance-operation-logs"))["logs"]
    assert (row["operation"], row["operatorId"], row["token"]) == ("7", "true", "")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"instanceKey":[]}'])
async def test_what_is_no_json_object_is_a_400(managing: Managing, body: bytes) -> None:
    for route in managing.routes:
        if route.method == "POST" and "instanceKey" not in body.decode() and (body or not route.body_optional):
            with pytest.raises(ClientError) as refused:
                await managing.raw("POST", route.path, body)
            assert refused.value.status == 400
    with pytest.raises(ClientError):
        await managing.raw("POST", "/api/management/operate-instance.json", body)


async def test_reads_of_nothing_are_empty_successes(managing: Managing) -> None:
    for name, field, empty in (
        ("instance-operations", "operations", None),
        ("server-operations", "operations", None),
        ("zone/get-zone-operations", "operations", None),
        ("group/get-group-tags", "groupTags", None),
        ("group/get-group-operations", "groupOperations", None),
        ("all-instance-operations", "allInstanceOperations", []),
        ("all-server-operations", "allServerOperations", []),
        ("zone/get-all-zone-operations", "allZoneOperations", []),
        ("zone/get-zone-operations-list", "zoneOperationsList", []),
        ("group/get-all-groups", "groups", []),
        ("group/get-groups", "groups", []),
        ("group/get-all-route-rules", "routeRules", []),
        ("group/get-all-route-rule-groups", "routeRuleGroups", []),
        ("group/get-all-group-tags", "allGroupTags", []),
        ("group/get-all-group-operations", "allGroupOperations", []),
        ("group/get-group-instances", "groupInstances", []),
        ("group/get-service-instances", "serviceInstances", []),
    ):
        ask = {"instanceKey": KEY, "serverKey": {"regionId": "lab", "serverId": "x"}, "zoneKey": ZONE, "groupId": 1}
        answer = await managing.ask(name, **ask)
        assert (answer[field], answer["responseStatus"]) == (empty, SUCCESS)


async def test_reads_that_the_contract_limits_are_limited() -> None:
    managing = Managing(limit=2)
    for name in ("group/get-groups", "group/get-route-rules", "group/get-route-rule-groups"):
        assert [code(await managing.ask(name)) for _ in range(3)] == ["success", "success", "rate-limited"]
    managing.clock.seconds = 20.0
    assert code(await managing.ask("group/get-groups")) == "success"


async def test_groups_are_filtered_by_everything_but_their_id(managing: Managing) -> None:
    names = ("g1", "g2")
    await managing.ask("group/insert-groups", **WHO, groups=[{**GROUP, "name": name} for name in names])
    for filters, found in (
        ({}, 2),
        ({"groupId": 1}, 2),
        ({"name": "G1"}, 1),
        ({"serviceId": "SVC.A", "zoneId": "zone1", "appId": "APP1", "status": "active"}, 2),
        ({"status": "inactive"}, 0),
    ):
        assert len((await managing.ask("group/get-groups", **filters))["groups"]) == found


async def test_only_the_unreleased_weight_is_written_and_the_release_makes_it_count(managing: Managing) -> None:
    await managing.ask("group/insert-groups", **WHO, groups=[GROUP])
    await managing.ask("group/insert-route-rules", **WHO, routeRules=[RULE])
    (group,) = (await managing.ask("group/get-all-groups"))["groups"]
    (rule,) = (await managing.ask("group/get-all-route-rules"))["routeRules"]
    link = {"routeRuleId": rule["routeRuleId"], "groupId": group["groupId"]}
    await managing.ask(
        "group/insert-route-rule-groups", **WHO, routeRuleGroups=[{**link, "weight": 77, "unreleasedWeight": 8}]
    )
    assert weights(managing.node) == [5]
    await managing.ask("group/release-route-rule-groups", **WHO, routeRuleGroups=[link])
    assert weights(managing.node) == [8]
    (row,) = (await managing.ask("group/get-route-rule-groups", **link))["routeRuleGroups"]
    assert (row["weight"], row["unreleasedWeight"]) == (8, 8)
    await managing.ask("group/delete-route-rule-groups", **WHO, routeRuleGroupIds=[row["routeRuleGroupId"]])
    assert weights(managing.node) == []


def weights(node: Managed) -> list[int]:
    rules = msgspec.json.decode(node.management.decorations("svc.a", None)[1])
    return [group["weight"] for rule in rules for group in rule["groups"]]


async def test_services_show_what_is_down_with_its_lease_by_post_and_get(managing: Managing) -> None:
    await managing.ask("operate-instance", **WRITES["operate-instance"])
    await managing.ask("group/insert-service-instances", **WHO, serviceInstances=[LOGICAL])
    await managing.ask("operate-server", **OUT, serverKey={"regionId": "lab", "serverId": "10.9.9.9"})
    posted = await managing.ask("services")
    got = msgspec.json.decode((await managing.raw("GET", "/api/management/services.json", b"")).body)
    assert posted == got
    (service,) = got["services"]
    assert {row["instanceId"]: row["status"] for row in service["instances"]} == {"i1": "down", "i2": "up"}
    assert service["instances"][0]["metadata"]["ttl"] == "20000"
    assert [row["instanceId"] for row in service["logicInstances"]] == ["logic1"], "operators see what is out"
    assert got["version"] == managing.clock.now_ms()
    assert code(await managing.ask("service", serviceId=" ")) == "bad-request"


async def test_operations_can_be_had_by_get_and_by_region(managing: Managing) -> None:
    await managing.ask("operate-instance", **WRITES["operate-instance"])
    await managing.ask("operate-server", **WRITES["operate-server"])
    for query, count in ((b"", 1), (b"regionId=LAB", 1), (b"regionId=other", 0)):
        for name, field in (("instance", "allInstanceOperations"), ("server", "allServerOperations")):
            reply = await managing.raw("GET", f"/api/management/all-{name}-operations.json", b"", query)
            assert len(msgspec.json.decode(reply.body)[field]) == count


async def test_a_zone_pulled_out_for_all_services_is_down_for_each(managing: Managing) -> None:
    assert (await managing.ask("zone/is-zone-down", zoneKey=ZONE))["down"] is False
    managing.node.zone("zone1", "")
    assert (await managing.ask("zone/is-zone-down", zoneKey=ZONE))["down"] is True
    down = await managing.ask("instance-down", instance={**KEY, "zoneId": "zone1", "ip": "10.0.0.1"})
    assert down["down"] is True


async def test_a_group_can_be_pulled_out_by_its_key_and_is_created_for_it(managing: Managing) -> None:
    answer = await managing.ask("group/operate-group-operation", **OUT, **GROUP)
    assert answer == {"responseStatus": SUCCESS}
    assert managing.node.shown() == {"i1"}
    key = {name: GROUP[name] for name in ("serviceId", "regionId", "zoneId", "name")}
    await managing.ask("group/operate-group-operation", **OUT, **key, operationComplete=True)
    assert managing.node.shown() == {"i1", "i2"}
    (created,) = (await managing.ask("log/group-logs"))["logs"]
    assert created["name"] == "g1"


async def test_logs_are_filtered_and_oldest_first(managing: Managing) -> None:
    for complete in (False, True):
        await managing.ask("operate-instance", **WRITES["operate-instance"], operationComplete=complete)
    await managing.ask("operate-instance", **{**WRITES["operate-instance"], "operatorId": "other"})
    for filters, wanted in (
        ({}, [False, True, False]),
        ({"complete": True}, [True]),
        ({"operatorId": "OTHER"}, [False]),
        ({"serviceId": "SVC.A", "operation": "OUT"}, [False, True, False]),
        ({"instanceId": "i2"}, []),
        ({"zoneId": "ignored here", "complete": None}, [False, True, False]),
    ):
        rows = (await managing.ask("log/instance-operation-logs", **filters))["logs"]
        assert [row["complete"] for row in rows] == wanted


async def test_two_filters_of_the_service_instance_logs_are_swapped_as_in_the_original(managing: Managing) -> None:
    await managing.ask("group/insert-service-instances", **WHO, serviceInstances=[LOGICAL])
    assert (await managing.ask("log/service-instance-logs", operation="create"))["logs"] == []
    assert len((await managing.ask("log/service-instance-logs", operatorId="create"))["logs"]) == 1


async def test_the_audit_log_knows_where_a_write_came_from(managing: Managing) -> None:
    await managing.ask("operate-instance", **WRITES["operate-instance"])
    (row,) = managing.node.management.audit.rows()
    entry = row.entry()
    assert (entry.address, entry.node_id, entry.operator_id) == ("10.8.8.8", "node-a", "op")
