"""Canaries: whom the REST API sends to them, in both ways of saying which instances they are (rows 60 to 64)."""

import pytest

from ..contract.matching import EPOCH_MS, Containing
from ..contract.nodes import REGION
from ..contract.wire import REST, get
from .world import OPERATOR, World

CONFIG = "management/canary/config"


@pytest.fixture
async def released(world: World) -> World:
    """Two ordinary instances, and one of the group `canary`."""
    await world.register("i1", "i2", world.instance("c1", groupId="Canary"))
    return world


async def configure(world: World, *ips: str, **more: object) -> object:
    return await world.ok("POST", CONFIG, {"serviceId": world.service, "ipWhitelist": list(ips), **OPERATOR, **more})


async def test_a_canary_is_configured_shown_switched_and_removed(world: World) -> None:
    config = await configure(world, "10.1.1.1", "10.2.0.0/16")
    assert config == {
        "serviceId": world.service,
        "ipWhitelist": ["10.1.1.1", "10.2.0.0/16"],
        "groupId": "canary",
        "enabled": True,
        "updatedAt": EPOCH_MS,
    }
    path = f"{CONFIG}/{world.service}"
    assert await world.ok("GET", path.replace("mgmt", "MGMT")) == config
    assert await world.ok("GET", "management/canary/configs") == Containing(config)
    switched = await world.ok("POST", "management/canary/enable", {"serviceId": world.service, "enabled": False})
    assert (switched["enabled"], switched["ipWhitelist"]) == (False, ["10.1.1.1", "10.2.0.0/16"])
    for _ in range(2):
        assert await world.ok("DELETE", path) is None
    message = f"the service {world.service} has no canary configuration"
    assert await world.refused(404, "GET", path) == message
    body = {"serviceId": world.service, "enabled": True}
    assert await world.refused(404, "POST", "management/canary/enable", body) == message


async def test_those_on_the_white_list_get_the_canaries_and_all_others_the_rest(released: World) -> None:
    async with released.subscribed() as ears:
        await configure(released, "10.1.1.1", "10.2.0.0/16", "2001:db8::/32")
        assert await ears.hear_ws() == ["reload"]
        assert await ears.hear_rpc() == ["reload"]
    for ip in ("10.1.1.1", "10.2.255.7", "2001:db8::1"):
        assert await released.routed(ip=ip) == ["c1"], ip
    for ip in ("10.1.1.2", "10.3.0.1", "2001:db9::1"):
        assert await released.routed(ip=ip) == ["i1", "i2"], ip
    assert await released.lookup() == ["c1", "i1", "i2"], "clients of the RPC API choose themselves"


async def test_the_address_of_the_connection_counts_when_the_caller_names_none(released: World) -> None:
    path = f"{REST}/discovery/service.json?serviceId={released.service}"
    await configure(released, "10.1.1.1")
    assert len((await get(released.node, path))["service"]["instances"]) == 2
    await configure(released, "127.0.0.0/8")
    assert len((await get(released.node, path))["service"]["instances"]) == 1
    assert len((await get(released.node, f"{path}&ip=10.1.1.1"))["service"]["instances"]) == 2


async def test_a_canary_that_is_off_or_gone_concerns_nobody(released: World) -> None:
    await configure(released, "10.1.1.1", enabled=False)
    assert await released.routed(ip="10.1.1.1") == ["c1", "i1", "i2"]
    await released.ok("POST", "management/canary/enable", {"serviceId": released.service, "enabled": True})
    assert await released.routed(ip="10.1.1.1") == ["c1"]
    async with released.subscribed() as ears:
        await released.ok("DELETE", f"{CONFIG}/{released.service}")
        assert await ears.hear_ws() == ["reload"]
    assert await released.routed(ip="10.1.1.1") == ["c1", "i1", "i2"]


async def test_without_a_live_canary_everybody_gets_the_rest(released: World) -> None:
    await configure(released, "10.1.1.1")
    await released.instance_out("c1")
    assert await released.routed(ip="10.1.1.1") == ["i1", "i2"]
    await released.instance_out("c1", back=True)
    assert await released.routed(ip="10.1.1.1") == ["c1"]


async def test_when_only_canaries_are_left_everybody_gets_them(released: World) -> None:
    await configure(released, "10.1.1.1")
    for name in ("i1", "i2"):
        await released.instance_out(name)
    assert await released.routed() == ["c1"]


async def test_instances_bound_to_the_canary_group_are_canaries(released: World) -> None:
    group = await released.group("next", zoneId="canary")
    await configure(released, "10.1.1.1", groupId="next")
    assert await released.routed(ip="10.1.1.1") == ["c1", "i1", "i2"], "nobody is in that group yet"
    await released.ok("POST", f"routing/groups/{group['groupKey']}/instances", {"instanceId": "I2", **OPERATOR}, 201)
    assert await released.routed(ip="10.1.1.1") == ["i2"]
    assert await released.routed() == ["c1", "i1"]


async def test_the_route_rule_chooses_among_what_the_canary_left(released: World) -> None:
    await released.register(released.instance("b1", groupId="blue"))
    await released.group("blue")
    await released.rule(f"{released.service}-r", ("blue", 1))
    await configure(released, "10.1.1.1")
    assert await released.routed() == ["b1"]
    assert await released.routed(ip="10.1.1.1") == ["c1"], "no group of the rule has a canary: all canaries"


async def test_canaries_named_by_the_rpc_api_are_canaries_of_the_rest_api(released: World) -> None:
    async with released.subscribed() as ears:
        await released.rpc("canary/update-canary-ips", serviceId=released.service, appId="app1", canaryIps=["i1"])
        assert await ears.hear_ws() == ["reload"]
        assert await ears.hear_rpc() == ["reload"]
    (rule,) = (await released.decorations())[1]
    assert rule["routeId"] == "canary-route-rule"
    (group,) = rule["groups"]
    assert group["groupKey"] == f"{released.service}/{REGION}/canary/app1"
    assert ([each["instanceId"] for each in group["instances"]], group["instanceIds"]) == (["i1"], ["i1"])
    assert await released.routed(ip="10.1.1.1") == ["c1", "i1", "i2"], "who is sent there was not said yet"
    await configure(released, "10.1.1.1", groupId="app1")
    assert await released.routed(ip="10.1.1.1") == ["i1"]
    assert await released.routed() == ["c1", "i2"]
    await released.rpc("canary/update-canary-ips", serviceId=released.service, appId="app1", canaryIps=[])
    assert await released.routed(ip="10.1.1.1") == ["c1", "i1", "i2"]
    assert await released.ok("GET", f"{CONFIG}/{released.service}"), "the white list stays"


async def test_the_white_list_grows_and_shrinks_by_what_is_named(released: World) -> None:
    await configure(released, "10.1.1.1", "2001:db8::1")
    white_list = f"management/canary/{released.service}/whitelist"
    added = {"ips": ["10.1.1.2", "2001:DB8:0:0::1", "10.1.1.1/32"], **OPERATOR}
    config = await released.ok("POST", f"{white_list}/add", added)
    assert config["ipWhitelist"] == ["10.1.1.1", "2001:db8::1", "10.1.1.2"], "addresses, not spellings, are compared"
    assert await released.routed(ip="10.1.1.2") == ["c1"]
    removed = {"ips": ["10.1.1.1", "2001:DB8::1", "10.9.9.9"], **OPERATOR}
    config = await released.ok("POST", f"{white_list}/remove", removed)
    assert config["ipWhitelist"] == ["10.1.1.2"]
    assert await released.routed(ip="10.1.1.1") == ["i1", "i2"]
    config = await released.ok("POST", "management/canary/disable", {"serviceId": released.service, **OPERATOR})
    assert (config["enabled"], config["ipWhitelist"]) == (False, ["10.1.1.2"])
    logs = await released.ok("GET", f"management/audit/logs?targetId={released.service}&limit=3")
    assert [log["operation"] for log in logs] == ["disable", "whitelist-remove", "whitelist-add"]
    assert logs[1]["before"]["ipWhitelist"] == ["10.1.1.1", "2001:db8::1", "10.1.1.2"]


async def test_a_white_list_that_cannot_be_changed_says_why(world: World) -> None:
    path, message = f"management/canary/{world.service}/whitelist/add", "has no canary configuration"
    for call in (path, path.replace("add", "remove")):
        assert message in await world.refused(404, "POST", call, {"ips": ["10.0.0.1"]})
    assert message in await world.refused(404, "POST", "management/canary/disable", {"serviceId": world.service})
    await configure(world, *(f"10.0.{number // 256}.{number % 256}" for number in range(1000)))
    assert await world.refused(400, "POST", path, {}) == "ips is null"
    assert "'here' is neither" in await world.refused(400, "POST", path, {"ips": ["here"]})
    assert "1001 entries" in await world.refused(400, "POST", path, {"ips": ["10.1.0.0"]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"ipWhitelist": []}, "serviceId is null or empty"),
        ({"serviceId": "s"}, "ipWhitelist is null"),
        (
            {"serviceId": "s", "ipWhitelist": ["10.0.0.1", "10.0.0.0/33"]},
            "ipWhitelist[1] '10.0.0.0/33' is neither an ip address nor a network",
        ),
        ({"serviceId": "s", "ipWhitelist": ["localhost"]}, "ipWhitelist[0] 'localhost' is neither"),
        ({"serviceId": "s", "ipWhitelist": [None]}, "ipWhitelist[0] is null or empty"),
        ({"serviceId": "s", "ipWhitelist": ["10.0.0.1"] * 1001}, "ipWhitelist has 1001 entries, at most 1000"),
        ({"serviceId": "s", "ipWhitelist": "10.0.0.1"}, "ipWhitelist must be an array"),
        ({"serviceId": "s", "ipWhitelist": [], "groupId": " "}, "groupId is null or empty"),
    ],
)
async def test_what_makes_no_sense_is_named(world: World, body: object, message: str) -> None:
    assert (await world.refused(400, "POST", CONFIG, body)).startswith(message)


async def test_switching_wants_to_know_which_way(world: World) -> None:
    await configure(world)
    assert await world.refused(400, "POST", "management/canary/enable", {"serviceId": world.service}) == (
        "enabled is missing"
    )


async def test_a_canary_of_a_document_is_on_unless_it_says_otherwise(world: World) -> None:
    canary = {"service": world.service, "ips": ["10.1.1.1"]}
    for said, enabled in (({}, True), ({"enabled": None}, True), ({"enabled": False}, False)):
        await world.ok("POST", "routing/configuration", {"canaries": [{**canary, **said}]})
        assert (await world.ok("GET", f"{CONFIG}/{world.service}"))["enabled"] is enabled
