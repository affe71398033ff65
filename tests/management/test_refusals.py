"""What both APIs refuse, and how: HTTP codes, JSON bodies, nothing half-done."""

import json
from pathlib import Path

import pytest

from ..contract.nodes import REGION, NodeProcess
from ..contract.wire import REST, ask
from .world import CONTEXT, World

BODIES = (
    ("POST", "routing/groups"),
    ("PATCH", "routing/groups/a:b:c:d"),
    ("PUT", "routing/groups/a:b:c:d"),
    ("POST", "routing/groups/a:b:c:d/instances"),
    ("POST", "routing/services/s/instances"),
    ("POST", "routing/groups/a:b:c:d/tags"),
    ("POST", "routing/rules"),
    ("PATCH", "routing/rules/r"),
    ("POST", "routing/rules/r/groups"),
    ("PATCH", "routing/rules/r/groups/g"),
    ("POST", "management/zone/pull-out"),
    ("POST", "management/zone/pull-in"),
    ("POST", "management/canary/config"),
    ("POST", "management/canary/enable"),
    ("POST", "management/instance/operate-instance.json"),
    ("POST", "management/server/operate-server.json"),
)


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_body_that_is_no_json_object_is_a_400(world: World, method: str, path: str) -> None:
    for body in (b"", b"{", b"[]", b"null", b'"text"', b"\xff"):
        answer = await ask(world.node, method, f"{REST}/{path}", body)
        assert answer.status == 400, (body, answer)
        assert "body" in answer.message


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_body_that_does_not_say_that_it_is_json_is_a_415(world: World, method: str, path: str) -> None:
    answer = await ask(world.node, method, f"{REST}/{path}", b"{}", content_type="text/plain")
    assert answer.status == 415
    assert answer.message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "routing/groups", "GET, HEAD, POST"),
        ("POST", "routing/groups/a:b:c:d", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PUT", "routing/groups/a:b:c:d/tags", "GET, HEAD, POST"),
        ("GET", "routing/rules/r/publish", "POST"),
        ("POST", "routing/rules/r/groups/g", "DELETE, PATCH, PUT"),
        ("GET", "management/zone/pull-out", "POST"),
        ("POST", "management/audit/logs", "GET, HEAD"),
        ("PUT", "management/canary/config", "POST"),
    ],
)
async def test_a_wrong_method_is_a_405_that_says_what_is_right(
    world: World, method: str, path: str, allowed: str
) -> None:
    answer = await world.rest(method, path, {})
    assert (answer.status, answer.header("allow")) == (405, allowed)
    assert answer.message == f"this path answers {allowed}"


@pytest.mark.parametrize("path", ["routing", "routing/nothing", "management/zone", "routing/groups/a:b:c:d/nothing"])
async def test_an_unknown_path_is_a_404(world: World, path: str) -> None:
    assert await world.refused(404, "GET", path) == "nothing is served at this path"


async def test_types_that_do_not_fit_are_named(world: World) -> None:
    body = {"serviceId": {"a": 1}, "regionId": REGION, "zoneId": "z", "name": "n", "groupType": "physical"}
    assert await world.refused(400, "POST", "routing/groups", body) == "serviceId must be a text, and is an object"
    items = [{"groupId": [], "instanceId": "i"}]
    assert await world.refused(400, "POST", "routing/services/s/instances", {"instances": items}) == (
        "instances[0].groupId must be a text, and is an array"
    )
    switch = {"serviceId": "s", "enabled": "perhaps"}
    assert await world.refused(400, "POST", "management/canary/enable", switch) == (
        "enabled must be true or false, and is a text"
    )


@pytest.mark.parametrize(
    ("method", "path"), [*BODIES, ("POST", "routing/rules/r/publish"), ("DELETE", "routing/rules/r")]
)
async def test_a_query_that_is_not_utf_8_is_the_failure_of_one_request(world: World, method: str, path: str) -> None:
    answer = await ask(world.node, method, f"{REST}/{path}?serviceId=%ED%A0%BD&operatorId=%FF", b"{}")
    assert answer.status < 500
    assert await world.ok("GET", f"routing/groups?serviceId={world.service}") == [], "the node lives"


async def test_too_much_at_once_is_refused_whole(world: World) -> None:
    await world.group("blue")
    many = [{"groupId": "blue", "instanceId": f"i{number}"} for number in range(1001)]
    path = f"routing/services/{world.service}/instances"
    message = "instances has 1001 items, at most 1000 are allowed"
    assert await world.refused(400, "POST", path, {"instances": many}) == message
    assert await world.ok("POST", path, {"instances": many[1:]}, 201) == 1000
    (group,) = await world.ok("GET", f"routing/groups?serviceId={world.service}")
    members = (await world.rpc("group/get-group-instances", groupId=group["groupId"]))["groupInstances"]
    assert len(members) == 1000


async def test_an_rpc_write_with_one_bad_item_does_nothing(world: World) -> None:
    zone = {"regionId": REGION, "serviceId": world.service, "zoneId": world.zone}
    rows = [{"zoneKey": zone, "operations": ["out"]}, {"zoneKey": zone, "operations": [""]}]
    await world.register("i1")
    body = json.dumps({**CONTEXT, "zoneOperationsList": rows}).encode()
    answer = await ask(world.node, "POST", f"{REST}/management/zone/operate-zone-operations.json", body)
    assert answer.json["responseStatus"]["status"] == "fail"
    assert await world.seen() == ["i1"]


async def test_a_node_that_is_not_up_takes_no_writes_and_says_when_to_try_again(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, {"cluster": {"force_down": True}}).start()
    try:
        world = World(node, 1)
        body = {"zoneId": "z", "regionId": REGION, "operatorId": "op"}
        answer = await world.rest("POST", "management/zone/pull-out", body)
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert "status: down" in answer.message
        answer = await world.rest("DELETE", "management/canary/config/s")
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        body = {"serverId": "10.0.0.1", "regionId": REGION, "operation": "pullout", "operatorId": "op"}
        status = (await world.rest("POST", "management/server/operate-server.json", body)).json["status"]
        assert (status["status"], status["errorCode"]) == ("fail", "service-unavailable")
        assert await world.ok("GET", "management/zone/operations") == [], "it may still be asked"
        assert await world.ok("GET", "management/audit/logs") == []
        node.stop()
    finally:
        node.destroy()
