"""Answers to operations say how many instances of how many services they are about, in both APIs."""

from typing import Any

import pytest

from ..contract.building import SUCCESS
from ..contract.matching import Including
from ..contract.nodes import REGION
from ..contract.wire import REST, Answer, ask, encoded, post
from .world import CONTEXT, OPERATOR, World

NOTHING = "no instance matches this now"


@pytest.fixture
async def two(world: World) -> World:
    """Two instances of one service, and one of another, in one zone, on two servers."""
    other = world.instance("j1", serviceId=f"{world.service}.other", groupId="other")
    far = world.instance("far", zoneId="elsewhere", ip="10.78.0.1")
    await world.register("i1", world.instance("i2", groupId="blue"), other, far)
    return world


Way = tuple[str, dict[str, Any], int, int]


def ways(world: World, group: dict[str, Any], *, region: str = REGION) -> dict[str, Way]:
    """Each way of operating by REST: its path, its body, and the instances and services that it is about."""
    key = {"regionId": region, "serviceId": world.service.upper(), "instanceId": "I1"}
    server, zone = {"serverId": world.server, "regionId": region}, {"zoneId": world.zone.upper(), "regionId": region}
    return {
        "instance": ("management/instance/operate-instance.json", {"instanceKey": key}, 1, 1),
        "server": ("management/server/operate-server.json", server, 3, 2),
        "zone": ("management/zone/pull-{}", zone, 3, 2),
        "zone of a service": ("management/zone/pull-{}", {**zone, "serviceId": world.service}, 2, 1),
        "group": (f"routing/groups/{group['groupKey']}/pull-{{}}", {}, 1, 1),
    }


WAYS = ("instance", "server", "zone", "zone of a service", "group")


async def operate(world: World, way: Way, direction: str) -> dict[str, Any]:
    """What an answer says of its reach."""
    body = {**way[1], "operation": f"pull{direction}", "operationComplete": True, **OPERATOR}
    answer = (await world.rest("POST", way[0].format(direction), body)).json
    told = answer.get("data", answer)
    return {name: told[name] for name in ("instances", "services", "warning")}


@pytest.mark.parametrize("name", WAYS)
async def test_rest_answers_say_how_many_of_how_many(two: World, name: str) -> None:
    way = ways(two, await two.group("blue"))[name]
    told = {"instances": way[2], "services": way[3], "warning": None}
    assert await operate(two, way, "in") == told | {"warning": "it was not out"}
    for _ in range(2):
        assert await operate(two, way, "out") == told, "what is out already counts like the rest"
    assert await operate(two, way, "in") == told


@pytest.mark.parametrize("name", WAYS)
async def test_what_matches_nothing_is_taken_with_a_warning_and_holds_when_it_comes(world: World, name: str) -> None:
    way = ways(world, await world.group("blue"))[name]
    assert await operate(world, way, "out") == {"instances": 0, "services": 0, "warning": NOTHING}
    await world.register(world.instance("i1", groupId="blue"))
    assert await world.seen() == []
    assert await operate(world, way, "in") == {"instances": 1, "services": 1, "warning": None}
    assert await world.seen() == ["i1"]


async def test_static_instances_count_too(world: World) -> None:
    await world.logical("s1")
    way = ways(world, await world.group("blue"))
    for name in ("zone", "zone of a service", "group"):
        assert (await operate(world, way[name], "out"))["instances"] == 1, name
        await operate(world, way[name], "in")
    await world.register("s1")
    assert (await operate(world, way["zone"], "out"))["instances"] == 1, "one identity is one instance"
    await operate(world, way["zone"], "in")


@pytest.mark.parametrize("name", WAYS[:-1])
async def test_another_region_is_refused(world: World, name: str) -> None:
    path, body, *_ = ways(world, {"groupKey": ""}, region="far")[name]
    for direction in ("out", "in"):
        order = {**body, "operation": f"pull{direction}", **OPERATOR}
        answer = await world.rest("POST", path.format(direction), order)
        if "zone" in name:
            assert (answer.status, answer.json["success"]) == (400, False)
            message = answer.message
        else:
            assert answer.json["status"] == Including({"status": "fail", "errorCode": "bad-request"})
            message = answer.json["status"]["message"]
        assert message == "this node is of the region lab, and knows nothing of far"
    assert await world.ok("GET", "management/zone/operations?regionId=far") == []


async def test_a_group_of_another_region_is_refused(world: World) -> None:
    group = await world.group("blue", regionId="far")
    message = "this node is of the region lab, and knows nothing of far"
    assert await world.refused(400, "POST", f"routing/groups/{group['groupKey']}/pull-out", OPERATOR) == message
    operations = [{"groupId": group["groupId"], "operations": ["out"]}]
    body = {**CONTEXT, "groupOperationsList": operations}
    answer = await post(world.node, f"{REST}/management/group/operate-group-operations.json", body)
    assert answer["responseStatus"]["status"] == "fail"
    assert message in answer["responseStatus"]["message"]


async def test_a_group_is_pulled_in_whatever_its_operations_are_called(world: World) -> None:
    await world.register(world.instance("i1", groupId="blue"))
    group = await world.group("blue")
    await world.group_out(group, operation="maintenance")
    await world.ok("POST", f"routing/groups/{group['groupKey']}/pull-out", OPERATOR)
    assert await world.seen() == []
    done = await world.ok("POST", f"routing/groups/{group['groupId']}/pull-in", OPERATOR)
    assert done == {
        "groupId": group["groupId"],
        "groupKey": group["groupKey"],
        "isDown": False,
        "instances": 1,
        "services": 1,
        "warning": None,
    }
    assert await world.seen() == ["i1"]
    await world.refused(400, "POST", f"routing/groups/{group['groupKey']}/pull-out", {})
    await world.refused(404, "POST", f"routing/groups/{world.service}:lab:nowhere:blue/pull-out", OPERATOR)


# The RPC API


async def rpc(world: World, name: str, /, **fields: Any) -> Answer:
    """A success, whose body is what the contract says to the letter."""
    answer = await ask(world.node, "POST", f"{REST}/management/{name}.json", encoded({**CONTEXT, **fields}))
    assert answer.json == {"responseStatus": SUCCESS}
    return answer


async def test_rpc_answers_say_it_in_a_header(two: World) -> None:
    service, group = two.service, await two.group("blue")
    zone = {"regionId": REGION, "serviceId": service, "zoneId": two.zone}
    other = {**zone, "serviceId": f"{service}.other"}
    key = {"regionId": REGION, "serviceId": service, "instanceId": "i1"}
    place = {name: group[name] for name in ("serviceId", "regionId", "zoneId", "name", "appId", "status")}
    zones = [{"zoneKey": each, "operations": ["a", "b"]} for each in (zone, zone, other)]
    operations = [{"groupId": group["groupId"], "operations": ["a"]}]
    for name, fields, told in (
        ("operate-instance", {"instanceKey": key}, "instances=1, services=1"),
        ("operate-server", {"serverKey": {"regionId": REGION, "serverId": two.server}}, "instances=3, services=2"),
        ("zone/operate-zone-operations", {"zoneOperationsList": zones}, "instances=3, services=2"),
        ("group/operate-group-operations", {"groupOperationsList": operations}, "instances=1, services=1"),
        ("group/operate-group-operation", place, "instances=1, services=1"),
    ):
        for complete in (False, True):
            answer = await rpc(two, name, **fields, operationComplete=complete)
            assert answer.header("x-artemis-reach") == told, name
    unheard_of = {**key, "instanceId": "unheard-of"}
    for complete in (False, True):
        answer = await rpc(two, "operate-instance", instanceKey=unheard_of, operationComplete=complete)
        assert answer.header("x-artemis-reach") == f'instances=0, services=0, warning="{NOTHING}"'


@pytest.mark.parametrize("complete", [False, True])
async def test_another_region_is_refused_by_rpc_too(world: World, *, complete: bool) -> None:
    key = {"regionId": "far", "serviceId": world.service, "instanceId": "i1"}
    server, zone = {"regionId": "far", "serverId": world.server}, {**key, "zoneId": world.zone}
    zones = [{"zoneKey": zone, "operations": ["a"]}]
    for name, fields in (
        ("operate-instance", {"instanceKey": key}),
        ("operate-server", {"serverKey": server}),
        ("zone/operate-zone-operations", {"zoneOperationsList": zones}),
    ):
        body = {**CONTEXT, **fields, "operationComplete": complete}
        status = (await post(world.node, f"{REST}/management/{name}.json", body))["responseStatus"]
        assert status["status"] == "fail", name
        assert "this node is of the region lab, and knows nothing of far" in status["message"]


# The log


async def test_a_pull_in_of_what_was_never_out_logs_no_pullout(world: World) -> None:
    key = {"regionId": REGION, "serviceId": world.service, "instanceId": "i1"}
    await world.ok("DELETE", f"management/zone/{world.zone}/{REGION}?serviceId={world.service}&operatorId=op")
    await world.instance_out("i1", back=True)
    await world.server_out(back=True)
    for view, filters in (
        ("zone", {"zoneId": world.zone}),
        ("instance", key),
        ("server", {"serverId": world.server}),
    ):
        (log,) = await world.logs(f"{view}-operation-logs", **filters)
        assert (log["operation"], log["complete"]) == ("pullin", True)
    await world.instance_out("i1")
    await world.instance_out("i1", back=True)
    path = f"management/audit/instance-logs?serviceId={world.service}&operation="
    assert [log["operation"] for log in await world.ok("GET", f"{path}pullin")] == ["pullin", "pullin"]
    assert [log["operation"] for log in await world.ok("GET", f"{path}pullin&limit=1")] == ["pullin"]
    assert [log["operation"] for log in await world.ok("GET", f"{path}pullout")] == ["pullout"]
