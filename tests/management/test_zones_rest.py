"""Zones, instances and servers in the REST API: rows 17 to 27 and 55 to 59."""

from typing import Any

import pytest

from ..contract.building import REST_SUCCESS, SUCCESS, key_of
from ..contract.matching import EPOCH_MS, Containing, Including
from ..contract.nodes import REGION
from ..contract.wire import REST, get, post
from .world import OPERATOR, World

# Zones

NOBODY = {"instances": 0, "services": 0, "warning": "no instance matches this now"}
"""What answers say of an operation that hits nothing."""


def listed(out: dict[str, Any]) -> dict[str, Any]:
    """A zone operation as it is listed: what it hit when it was made is not kept."""
    return {name: value for name, value in out.items() if name not in NOBODY}


async def test_the_status_of_a_zone_says_who_took_it_out_and_when(world: World) -> None:
    path = f"management/zone/status/{world.zone}/{REGION}"
    place = {"zoneId": world.zone, "regionId": REGION}
    nothing = {"isDown": False, "serviceId": None, "operation": None, "operatorId": None, "operationTime": None}
    assert await world.ok("GET", path) == place | nothing
    out = await world.zone_out()
    assert out == place | {
        "serviceId": None,
        "operation": "pullout",
        "operatorId": "op",
        "reason": "because",
        "operationTime": EPOCH_MS,
        **NOBODY,
    }
    assert await world.ok("GET", path.upper().replace("MANAGEMENT/ZONE/STATUS", "management/zone/status")) == Including(
        {"isDown": True, "operation": "pullout", "operatorId": "op", "operationTime": out["operationTime"]}
    )
    assert await world.ok("GET", "management/zone/operations?regionId=LAB") == Containing(listed(out))
    assert await world.ok("GET", "management/zone/operations?regionId=nowhere") == []
    assert (await world.zone_out(back=True))["isDown"] is False
    assert await world.ok("GET", path) == place | nothing
    assert listed(out) not in await world.ok("GET", "management/zone/operations")


async def test_a_zone_out_for_one_service_is_in_for_the_others(world: World) -> None:
    await world.zone_out(world.service)
    path = f"management/zone/status/{world.zone}/{REGION}"
    assert (await world.ok("GET", path))["isDown"] is False
    assert (await world.ok("GET", f"{path}?serviceId={world.service.upper()}"))["isDown"] is True
    await world.zone_out(back=True)
    assert (await world.ok("GET", f"{path}?serviceId={world.service}"))["isDown"] is True, "that was for all services"
    await world.ok("DELETE", f"management/zone/{world.zone}/{REGION}?serviceId={world.service}&operatorId=op")
    assert (await world.ok("GET", f"{path}?serviceId={world.service}"))["isDown"] is False


async def test_deleting_a_zones_operation_pulls_it_in(world: World) -> None:
    await world.register("i1")
    await world.zone_out()
    assert await world.seen() == []
    deleted = await world.ok("DELETE", f"management/zone/{world.zone}/{REGION}")
    assert deleted["isDown"] is False
    assert await world.seen() == ["i1"]
    again = await world.ok("DELETE", f"management/zone/{world.zone}/{REGION}")
    assert again == deleted | {"warning": "it was not out"}, "once more does no harm"


async def test_pulling_out_twice_or_in_twice_does_no_harm(world: World) -> None:
    await world.register("i1")
    async with world.subscribed() as ears:
        first, second = await world.zone_out(), await world.zone_out()
        assert first == second
        assert await ears.hear_ws() == ["delete i1"]
        await world.zone_out(back=True)
        assert await ears.hear_ws() == ["new i1"]
        await world.zone_out(back=True)
        await world.instance_out("i1")
        assert await ears.hear_ws() == ["delete i1"], "nothing was said of what changed nothing"


@pytest.mark.parametrize("missing", ["zoneId", "regionId", "operatorId"])
@pytest.mark.parametrize("direction", ["pull-out", "pull-in"])
async def test_what_is_missing_is_named(world: World, direction: str, missing: str) -> None:
    body = {"zoneId": world.zone, "regionId": REGION, "operatorId": "op", missing: None}
    assert await world.refused(400, "POST", f"management/zone/{direction}", body) == f"{missing} is null or empty"


async def test_rpc_sees_zones_as_rest_took_them_out_and_the_other_way_round(world: World) -> None:
    key = {"regionId": REGION, "serviceId": world.service, "zoneId": world.zone}
    await world.zone_out(world.service)
    assert (await world.rpc("zone/get-zone-operations", zoneKey=key))["operations"] == {
        "zoneKey": key,
        "operations": ["pullout"],
    }
    await world.rpc("zone/operate-zone-operations", zoneOperationsList=[{"zoneKey": key, "operations": ["fire-drill"]}])
    assert (await world.rpc("zone/is-zone-down", zoneKey=key))["down"] is True
    listed = await world.ok("GET", "management/zone/operations")
    assert listed == Containing(
        Including({"zoneId": world.zone, "operation": "fire-drill", "serviceId": world.service})
    )
    await world.zone_out(world.service, back=True)
    assert (await world.rpc("zone/is-zone-down", zoneKey=key))["down"] is False
    await world.zone_out()
    assert (await world.rpc("zone/is-zone-down", zoneKey=key))["down"] is True, "for every service is for this one too"


# Instances and servers


def key(world: World, instance_id: str = "i1") -> dict[str, Any]:
    return key_of(world.instance(instance_id))


async def is_down(world: World, instance_id: str = "i1") -> bool:
    answer = await world.status_ok("instance/is-instance-down", {"instanceKey": key(world, instance_id)})
    assert isinstance(answer["isDown"], bool)
    return answer["isDown"]


async def test_whether_an_instance_is_down_whatever_the_cause(world: World) -> None:
    await world.register("i1")
    group = await world.group("default")
    assert not await is_down(world)
    for out in (
        world.instance_out,
        lambda _, back=False: world.server_out(back=back),
        lambda _, back=False: world.zone_out(back=back),
        lambda _, back=False: world.group_out(group, back=back),
    ):
        await out("i1")
        assert await is_down(world)
        await out("i1", back=True)
        assert not await is_down(world)


async def test_an_instance_that_nobody_knows_may_be_down_by_its_key(world: World) -> None:
    assert not await is_down(world, "unheard-of")
    await world.instance_out("unheard-of")
    assert await is_down(world, "UNHEARD-OF")


async def test_operations_of_an_instance_are_listed_with_their_authors(world: World) -> None:
    ask = {"instanceKey": key(world)}
    assert (await world.status_ok("instance/get-instance-operations", ask))["operations"] == []
    await world.instance_out("i1")
    await world.rpc("operate-instance", instanceKey=key(world), operation="maintenance")
    answer = await world.status_ok("instance/get-instance-operations", ask)
    assert answer["operations"] == ["maintenance", "pullout"]
    assert answer["instanceOperationRecords"] == [
        {
            "instanceKey": key(world),
            "operation": operation,
            "operationComplete": echoed,
            "operationTime": EPOCH_MS,
            "operatorId": "op",
            "reason": reason,
            "token": token,
        }
        for operation, echoed, reason, token in (
            ("pullout", True, "because", ""),
            ("maintenance", False, "because", "t"),
        )
    ]


async def test_a_server_is_down_until_it_is_pulled_in(world: World) -> None:
    ask = {"server_id": world.server, "regionid": REGION}
    assert (await world.status_ok("server/is-server-down", ask))["isDown"] is False
    await world.server_out()
    assert (await world.status_ok("server/is-server-down", ask))["isDown"] is True
    assert (await world.rpc("server-down", serverKey={"serverId": world.server, "regionId": REGION}))["down"] is True
    await world.server_out(back=True)
    assert (await world.status_ok("server/is-server-down", ask))["isDown"] is False


COMPLETE = [{}, *({"operationComplete": value} for value in (True, False, None, "true", "false", "TRUE", 1, 0))]
"""What clients of this API send, who mean nothing by it, and what other clients may send."""


@pytest.mark.parametrize("complete", COMPLETE, ids=str)
async def test_a_pullout_takes_out_and_a_pullin_puts_back_whatever_else_is_said(
    world: World, complete: dict[str, Any]
) -> None:
    await world.register("i1")
    instance = {"instanceKey": key(world), **complete, **OPERATOR, "token": "", "tenant": "unknown here"}
    server = {"serverId": world.server, "regionId": REGION, **complete, **OPERATOR, "token": ""}
    echoed = str(complete.get("operationComplete")).lower() not in ("false", "0")
    for name, body in (("instance/operate-instance", instance), ("server/operate-server", server)):
        what = name.partition("/")[0]
        async with world.subscribed() as ears:
            for out, back in (("pullout", "pullin"), ("pull-out", "pull-in"), ("PULL_OUT", "PULL_IN")):
                await world.status_ok(name, {**body, "operation": out})
                assert await world.seen() == []
                assert await ears.hear_ws() == ["delete i1"]
                assert (await world.status_ok(f"{what}/is-{what}-down", body))["isDown"] is True
                listed = await get(world.node, f"{REST}/management/all-{what}-operations.json?regionId={REGION}")
                assert listed[f"{what}OperationRecords"] == Containing(
                    Including({"operation": "pullout", "operationComplete": echoed, "operatorId": "op"})
                )
                await world.status_ok(name, {**body, "operation": back})
                assert await world.seen() == ["i1"]
                assert await ears.hear_ws() == ["new i1"]


@pytest.mark.parametrize("complete", [True, "true", 1])
async def test_on_the_rpc_paths_what_is_complete_is_over(world: World, complete: object) -> None:
    await world.register("i1")
    server = {"serverId": world.server, "regionId": REGION}
    for name, asked in (("instance", {"instanceKey": key(world)}), ("server", {"serverKey": server})):
        await world.rpc(f"operate-{name}", **asked, operation="pullout")
        assert await world.seen() == []
        await world.rpc(f"operate-{name}", **asked, operation="pullout", operationComplete=complete)
        assert await world.seen() == ["i1"]
        assert (await world.logs(f"{name}-operation-logs", complete=True, **next(iter(asked.values()))))[0]["complete"]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("instance/operate-instance", {"operation": "pullout", **OPERATOR}, "instanceKey is missing"),
        ("instance/operate-instance", {"instanceKey": {}, "operation": "pullout"}, "operatorId is null or empty"),
        ("instance/operate-instance", {"instanceKey": {}, **OPERATOR}, "operation is null or empty"),
        (
            "instance/operate-instance",
            {"instanceKey": {"regionId": "r", "serviceId": "s"}, "operation": "pullin", **OPERATOR},
            "instanceKey.instanceId is null or empty",
        ),
        (
            "instance/operate-instance",
            {"instanceKey": {}, "operation": "reboot", **OPERATOR},
            "operation must be pullout or pullin, not 'reboot'",
        ),
        ("instance/get-instance-operations", {}, "instanceKey is missing"),
        ("instance/is-instance-down", {"instanceKey": {"serviceId": "s"}}, "instanceKey.regionId is null or empty"),
        ("server/operate-server", {"operation": "pullout", **OPERATOR}, "serverId is null or empty"),
        ("server/operate-server", {"operation": "pullout", "serverId": "1.1.1.1"}, "operatorId is null or empty"),
        ("server/is-server-down", {"serverId": "1.1.1.1"}, "regionId is null or empty"),
    ],
)
async def test_bad_requests_are_told_by_the_status(world: World, name: str, body: Any, message: str) -> None:
    answer = await post(world.node, f"{REST}/management/{name}.json", body)
    assert answer["status"] == {
        "status": "fail",
        "errorCode": "bad-request",
        "errorMessage": message,
        "message": message,
    }


async def test_the_lists_of_operations_speak_both_dialects(world: World) -> None:
    await world.instance_out("i1")
    await world.server_out()
    server = {"regionId": REGION, "serverId": world.server}
    for verb, query in ((post, {}), (post, {"region_id": "LAB"}), (get, ""), (get, "?regionid=lab")):
        name = f"{REST}/management/all-instance-operations.json"
        answer = await (post(world.node, name, query) if verb is post else get(world.node, f"{name}{query}"))
        assert (answer["status"], answer["responseStatus"]) == (REST_SUCCESS, SUCCESS)
        assert answer["allInstanceOperations"] == Containing({"instanceKey": key(world), "operations": ["pullout"]})
        assert answer["instanceOperationRecords"] == Containing(
            Including({"instanceKey": key(world), "operation": "pullout", "operatorId": "op", "reason": "because"})
        )
        name = f"{REST}/management/all-server-operations.json"
        answer = await (post(world.node, name, query) if verb is post else get(world.node, f"{name}{query}"))
        assert (answer["status"], answer["responseStatus"]) == (REST_SUCCESS, SUCCESS)
        assert answer["allServerOperations"] == Containing({"serverKey": server, "operations": ["pullout"]})
        assert answer["serverOperationRecords"] == Containing(Including({**server, "operation": "pullout"}))
    assert (await world.rpc("all-instance-operations", regionId="nowhere"))["instanceOperationRecords"] == []


async def test_services_are_listed_with_everything_that_is_pulled_out(world: World) -> None:
    await world.register("i1", "i2")
    await world.instance_out("i1")
    for services in (await world.rpc("services"), await get(world.node, f"{REST}/management/services.json")):
        (service,) = (each for each in services["services"] if each["serviceId"] == world.service)
        assert {each["instanceId"]: each["status"] for each in service["instances"]} == {"i1": "down", "i2": "up"}
