"""`GET /api/discovery/explain` says of every instance why a caller gets it, or does not, and it is right."""

from typing import Any

import pytest

from ..contract.building import REST_SUCCESS
from ..contract.matching import EPOCH_MS, Including, Text
from ..contract.nodes import REGION
from .world import OPERATOR, World


async def explained(world: World, **arguments: str) -> dict[str, Any]:
    query = "&".join(f"{name}={value}" for name, value in {"serviceId": world.service, **arguments}.items())
    answer = await world.rest("GET", f"discovery/explain?{query}")
    assert answer.status == 200, answer
    body = answer.json
    assert isinstance(body, dict)
    return body


async def fates(world: World, **arguments: str) -> dict[str, tuple[bool, str | None]]:
    """What became of each instance: kept or not, and by which filter."""
    body = await explained(world, **arguments)
    return {each["instanceId"]: (each["kept"], each["filter"]) for each in body["instances"]}


async def test_a_plain_service_is_given_whole(world: World) -> None:
    await world.register("i1")
    assert await explained(world, regionId=REGION, zoneId="z", ip="10.1.1.1") == {
        "serviceId": world.service,
        "caller": {"ip": "10.1.1.1", "regionId": REGION, "zoneId": "z"},
        "canary": False,
        "routeRule": None,
        "instances": [{"instanceId": "i1", "kept": True, "filter": None, "reason": Text(".+"), "causes": []}],
        "responseStatus": REST_SUCCESS,
    }
    body = await explained(world)
    assert body["caller"] == {"ip": "127.0.0.1", "regionId": REGION, "zoneId": "zone1"}, "who asks, unless said"


async def test_every_cause_of_a_pull_out_is_named(world: World) -> None:
    await world.register("i1", world.instance("i2", zoneId="safe", ip="10.88.0.2"))
    group = await world.group("default")
    await world.instance_out("i1")
    await world.server_out()
    await world.zone_out()
    await world.zone_out(world.service)
    await world.group_out(group)
    first, second = (await explained(world))["instances"]
    assert (second["kept"], second["causes"]) == (True, [])
    assert (first["kept"], first["filter"]) == (False, "pulled-out")
    assert {(cause["kind"], cause["target"], cause["operation"]) for cause in first["causes"]} == {
        ("instance", f"{REGION}/{world.service}/i1", "pullout"),
        ("server", f"{REGION}/{world.server}", "pullout"),
        ("zone", f"{REGION}/{world.zone}", "pullout"),
        ("zone", f"{REGION}/{world.service}/{world.zone}", "pullout"),
        ("group", f"{world.service}/{REGION}/{world.zone}/default", "out"),
    }
    for cause in first["causes"]:
        assert cause == Including({"operatorId": "op", "reason": "because", "operationTime": EPOCH_MS})


async def test_status_canary_and_rule_are_told_apart(world: World) -> None:
    await world.register_groups("blue", "green", "canary")
    await world.register(world.instance("off", status="down"))
    for name in ("blue", "green"):
        await world.group(name)
    await world.rule(f"{world.service}-r", ("blue", 1), ("green", 1))
    body = {"serviceId": world.service, "ipWhitelist": ["10.1.1.1"], **OPERATOR}
    await world.ok("POST", "management/canary/config", body)
    assert await fates(world, ip="10.9.9.9") == {
        "blue-1": (True, "route-rule"),
        "green-1": (False, "route-rule"),
        "canary-1": (False, "canary"),
        "off": (False, "status"),
    }
    assert await fates(world, ip="10.1.1.1") == {
        "blue-1": (False, "canary"),
        "green-1": (False, "canary"),
        "canary-1": (True, "route-rule"),
        "off": (False, "status"),
    }
    answer = await explained(world, ip="10.1.1.1", instance_id="BLUE-1")
    assert answer["routeRule"] == {"routeId": f"{world.service}-r", "strategy": "weighted-round-robin"}
    assert answer["canary"] is True
    (only,) = answer["instances"]
    assert only["reason"] == "the caller 10.1.1.1 is on the white list, and this instance is not a canary"


async def test_asking_turns_no_wheel_and_tells_the_very_next_answer(world: World) -> None:
    await world.register_groups("blue", "green")
    for name in ("blue", "green"):
        await world.group(name)
    await world.rule(f"{world.service}-r", ("blue", 2), ("green", 1))
    for _ in range(12):
        foretold = [name for name, (kept, _) in (await fates(world)).items() if kept]
        assert foretold == [name for name, (kept, _) in (await fates(world)).items() if kept]
        assert await world.routed() == foretold


async def test_nearness_is_that_of_the_caller_who_is_named(world: World) -> None:
    for zone in ("z1", "z2"):
        await world.register(world.instance(f"in-{zone}", groupId=zone, zoneId=zone))
        await world.group(zone, zoneId=zone)
    await world.rule(f"{world.service}-r", ("z1", 1), ("z2", 1), strategy="close-by-visit")
    assert (await fates(world, zoneId="z2")) == {"in-z1": (False, "route-rule"), "in-z2": (True, "route-rule")}
    assert (await fates(world, zone_id="z1")) == {"in-z1": (True, "route-rule"), "in-z2": (False, "route-rule")}


async def test_what_cannot_be_explained_is_told(world: World) -> None:
    async def code(**arguments: str) -> str:
        status = (await explained(world, **arguments))["responseStatus"]
        assert (status["status"], bool(status["message"])) == ("fail", True)
        return str(status["errorCode"])

    assert await code() == "bad-request"
    await world.register("i1")
    assert await code(instanceId="i2") == "bad-request"
    assert await code(regionId="elsewhere") == "bad-request"
    assert await world.refused(400, "GET", "discovery/explain") == "the query parameter serviceId is required"
    message = await world.refused(400, "GET", f"discovery/explain?serviceId={world.service}&ip=localhost")
    assert message == "the query parameter ip must be an IP address, not 'localhost'"


@pytest.mark.parametrize("path", ["discovery/explain", "discovery/explain.json"])
async def test_it_is_a_question_only(world: World, path: str) -> None:
    answer = await world.rest("POST", path, {})
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
