"""Where instances are that do not say so: pull-outs, white lists and answers know it, on every face of the node."""

from typing import Any

import pytest

from ..contract.building import SUCCESS, key_of, lookup
from ..contract.matching import Including
from ..contract.nodes import REGION, ZONE
from ..contract.sockets import WATCH, watching, websocket
from ..contract.wire import REST, RPC, post
from .world import OPERATOR, World

FACES = (
    f"{RPC}/registry/register.json",
    f"{REST}/registry/register.json",
    f"{RPC}/replication/registry/register.json",
    f"{RPC}/replication/registry/heartbeat.json",
    f"{REST}/replication/registry/register.json",
)
"""Where instances are registered, by clients and by nodes of the original system."""

SPELLINGS = (
    ("2001:db8::{n:x}", "2001:DB8:0:0::{n:x}"),
    ("2001:0DB8:0000::{n:X}", "2001:db8::{n:x}"),
    ("10.99.0.{n}", "::ffff:10.99.0.{n}"),
    ("::FFFF:10.98.0.{n}", "10.98.0.{n}"),
)
"""An address as it registers, and as an operator writes it."""


def bare(world: World, **more: Any) -> dict[str, Any]:
    """An instance as small as those of the README, with properties that only other nodes know."""
    return {"serviceId": world.service, "instanceId": "i1", "regionId": REGION, "newer": {"than": "this"}, **more}


async def put(world: World, face: str, instance: dict[str, Any]) -> dict[str, Any]:
    """Register an instance; how a caller is shown it."""
    answer = await post(world.node, face, {"instances": [instance]})
    assert (answer["responseStatus"], answer["failedInstances"]) == (Including(SUCCESS), None)
    (shown,) = (await lookup(world.node, world.service))["instances"]
    assert isinstance(shown, dict)
    return shown


async def operate_server(world: World, server: str, operation: str) -> None:
    body = {"serverId": server, "regionId": REGION, "operation": operation, "operationComplete": True, **OPERATOR}
    await world.status_ok("server/operate-server", body)


@pytest.fixture
def number(world: World) -> int:
    """Of the test, from 1 to 250."""
    return int(world.service.removeprefix("mgmt.svc")) % 250 + 1


@pytest.mark.parametrize("face", FACES)
async def test_an_instance_without_zone_and_ip_is_pulled_out_with_both(world: World, number: int, face: str) -> None:
    ip = f"10.97.0.{number}"
    for blank in (None, "", " "):
        shown = await put(world, face, bare(world, url=f"http://{ip}:8080/", status="UP", zoneId=blank, ip=blank))
        assert (shown["zoneId"], shown["ip"], shown["status"]) == (ZONE, ip, "up")
    place = {"zoneId": ZONE.upper(), "regionId": REGION, "serviceId": world.service, **OPERATOR}
    async with world.subscribed() as ears:
        await world.ok("POST", "management/zone/pull-out", place)
        assert await ears.hear_ws() == ["delete i1"]
        assert await world.seen() == []
        await world.ok("POST", "management/zone/pull-in", place)
        assert await ears.hear_ws() == ["new i1"]
        await operate_server(world, ip, "pullout")
        assert await ears.hear_ws() == ["delete i1"]
        assert await world.seen() == []
        await operate_server(world, ip, "pullin")
        assert await ears.hear_ws() == ["new i1"]


@pytest.mark.parametrize("by_url", [False, True], ids=["ip", "url"])
@pytest.mark.parametrize(("registered", "written"), SPELLINGS)
async def test_a_server_is_found_in_any_spelling_of_its_address(
    world: World, number: int, registered: str, written: str, *, by_url: bool
) -> None:
    ip, server = registered.format(n=number), written.format(n=number)
    host = f"[{ip}]" if ":" in ip else ip
    more = {"url": f"http://{host}:8080/"} if by_url else {"url": "http://a.name/", "ip": ip}
    await put(world, FACES[0], bare(world, zoneId=world.zone, **more))
    for out, back in ((server, ip), (ip.upper(), server)):
        await operate_server(world, out, "pullout")
        assert await world.seen() == []
        for spelling in (ip, server):
            asked = {"serverId": spelling, "regionId": REGION}
            assert (await world.status_ok("server/is-server-down", asked))["isDown"] is True
            assert (await world.rpc("server-down", serverKey=asked))["down"] is True
            assert (await world.rpc("server-operations", serverKey=asked))["operations"]["operations"] == ["pullout"]
            instance = {**bare(world), "ip": spelling, "url": "u"}
            assert (await world.rpc("instance-down", instance=instance))["down"] is True
            logs = await world.ok("GET", f"management/audit/server-logs?serverId={spelling}&limit=1")
            assert (logs[0]["operation"], logs[0]["after"]["operationComplete"]) == ("pullout", True)
            assert await world.logs("server-operation-logs", serverId=spelling)
        await operate_server(world, back, "pullin")
        assert await world.seen() == ["i1"]
    key = {"serverId": ip, "regionId": REGION}
    await world.rpc("operate-server", serverKey=key, operation="drain")
    assert await world.seen() == []
    await world.rpc("operate-server", serverKey={**key, "serverId": server}, operation="DRAIN", operationComplete=True)
    assert await world.seen() == ["i1"]


async def test_whether_an_instance_is_down_is_answered_for_one_that_does_not_say_where_it_is(
    world: World, number: int
) -> None:
    ip = f"10.96.0.{number}"
    await operate_server(world, ip, "pullout")
    instance = {"serviceId": world.service, "instanceId": "i1", "regionId": REGION, "url": f"http://{ip}/"}
    assert (await world.rpc("instance-down", instance=instance))["down"] is True
    await operate_server(world, ip, "pullin")
    assert (await world.rpc("instance-down", instance=instance))["down"] is False
    await world.ok(
        "POST",
        "management/zone/pull-out",
        {"zoneId": ZONE, "regionId": REGION, "serviceId": world.service, **OPERATOR},
    )
    assert (await world.rpc("instance-down", instance=instance))["down"] is True
    assert (await world.status_ok("instance/is-instance-down", {"instanceKey": key_of(instance)}))["isDown"] is False


@pytest.mark.parametrize(
    ("listed", "caller", "sent"),
    [
        ("2001:DB8:0:0::2", "2001:db8::2", True),
        ("2001:DB8::/32", "2001:0db8:0::2", True),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("::ffff:10.1.0.0/112", "10.1.2.3", True),
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("::ffff:10.1.0.0/112", "10.2.2.3", False),
    ],
)
async def test_a_caller_is_on_a_white_list_in_any_spelling(
    world: World, listed: str, caller: str, *, sent: bool
) -> None:
    await world.register("i1", world.instance("c1", groupId="canary"))
    canary = {"serviceId": world.service, "ipWhitelist": [listed], **OPERATOR}
    assert (await world.ok("POST", "management/canary/config", canary))["ipWhitelist"] == [listed]
    expected = ["c1"] if sent else ["i1"]
    assert await world.routed(ip=caller) == expected
    query = f"serviceId={world.service}&ip={caller}&instanceId={expected[0]}"
    explained = (await world.rest("GET", f"discovery/explain?{query}")).json
    assert (explained["canary"], explained["instances"][0]["kept"]) == (sent, True)


async def test_pushes_and_answers_have_no_null_for_zone_and_ip_and_the_status_in_lower_case(world: World) -> None:
    async with websocket(world.node, WATCH) as session:
        await watching(session, world.service)
        shown = await put(world, FACES[1], bare(world, url="http://a.name/", status="Down"))
        (change,) = (await session.receive())["changes"]
    assert (shown["zoneId"], shown["ip"], shown["status"]) == (ZONE, "", "down")
    assert change["instance"] == shown
    for path in (f"{REST}/management/services.json", f"{RPC}/discovery/services.json"):
        services = (await post(world.node, path, {}))["services"]
        (mine,) = next(each["instances"] for each in services if each["serviceId"] == world.service)
        assert (mine["zoneId"], mine["ip"]) == (ZONE, "")


async def test_an_id_with_blanks_around_it_is_out_of_reach_of_management_and_that_is_said(world: World) -> None:
    """Clients find what they registered, blanks and all; what operators write is trimmed, by contract."""
    await world.register(world.instance(" i1 "))
    body = {"instanceKey": key_of(world.instance(" i1 ")), "operation": "pullout", **OPERATOR}
    answer = await world.status_ok("instance/operate-instance", body)
    assert (answer["instances"], answer["warning"]) == (0, "no instance matches this now")
    assert await world.seen() == [" i1 "]
