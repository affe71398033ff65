"""Pulling out and in: whatever the cause, every answer and every subscriber knows at once."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ..contract.building import unregister
from ..contract.nodes import REGION
from .world import World

Switch = Callable[[bool], Awaitable[Any]]


async def switch_of(world: World, cause: str) -> Switch:
    """Pulls i1 out in one of the ways there are; called with True it pulls it in again."""
    if cause == "group":
        group = await world.group("default")
        return lambda back: world.group_out(group, back=back)
    ways: dict[str, Switch] = {
        "instance": lambda back: world.instance_out("i1", back=back),
        "server": lambda back: world.server_out(back=back),
        "zone of a service": lambda back: world.zone_out(world.service, back=back),
        "zone": lambda back: world.zone_out(back=back),
    }
    return ways[cause]


CAUSES = ("instance", "server", "zone of a service", "zone", "group")
TOLD_ONE_BY_ONE = ("instance", "server")
"""Causes of which RPC subscribers hear as changes; of the others they hear that they must reload."""


@pytest.fixture
async def two(world: World) -> World:
    """i1 where the causes strike, i2 out of their reach."""
    await world.register("i1", world.instance("i2", zoneId="safe", ip="10.88.0.1"))
    assert await world.seen() == ["i1", "i2"]
    return world


@pytest.mark.parametrize("cause", CAUSES)
async def test_what_is_pulled_out_is_in_no_answer_before_the_write_is_answered(two: World, cause: str) -> None:
    switch = await switch_of(two, cause)
    await switch(False)
    assert await two.seen() == ["i2"]
    await switch(True)
    assert await two.seen() == ["i1", "i2"]


@pytest.mark.parametrize("cause", CAUSES)
async def test_subscribers_are_told_when_it_leaves_and_when_it_returns(two: World, cause: str) -> None:
    switch = await switch_of(two, cause)
    async with two.subscribed() as ears:
        for back, change in ((False, "delete i1"), (True, "new i1")):
            await switch(back)
            assert await ears.hear_ws() == [change]
            assert await ears.hear_rpc() == [change if cause in TOLD_ONE_BY_ONE else "reload"]


@pytest.mark.parametrize("cause", CAUSES)
async def test_registering_again_does_not_bring_it_back(two: World, cause: str) -> None:
    switch = await switch_of(two, cause)
    await switch(False)
    async with two.subscribed() as ears:
        await two.register(two.instance("i1", metadata={"version": "2"}))
        await unregister(two.node, two.instance("i1"))
        await two.register("i1")
        assert await two.seen() == ["i2"]
        await switch(True)
        assert await ears.hear_ws() == ["new i1"], "nobody heard of it while it was out"
    assert await two.seen() == ["i1", "i2"]


async def test_causes_stack_and_the_last_one_to_go_brings_it_back(two: World) -> None:
    switches = [await switch_of(two, cause) for cause in CAUSES]
    async with two.subscribed() as ears:
        for switch in switches:
            await switch(False)
        assert await ears.hear_ws() == ["delete i1"]
        for switch in switches[:-1]:
            await switch(True)
            assert await two.seen() == ["i2"]
        await switches[-1](True)
        assert await ears.hear_ws() == ["new i1"], "the steps between changed nothing for a subscriber"
    assert await two.seen() == ["i1", "i2"]


async def test_the_delta_of_bulk_discovery_has_it(two: World) -> None:
    version = (await two.rest("GET", "discovery/services.json")).json["version"]
    await two.instance_out("i1")
    answer = (await two.rest("POST", "discovery/services-delta.json", {"version": version})).json
    changes = answer["delta"][two.service]
    assert [(change["changeType"], change["instance"]["instanceId"]) for change in changes] == [("delete", "i1")]


async def test_an_instance_with_two_operations_returns_when_both_have_ended(two: World) -> None:
    key = {"regionId": REGION, "serviceId": two.service, "instanceId": "i1"}
    for operation in ("maintenance", "upgrade"):
        await two.rpc("operate-instance", instanceKey=key, operation=operation)
    await two.rpc("operate-instance", instanceKey=key, operation="maintenance", operationComplete=True)
    assert await two.seen() == ["i2"]
    await two.rpc("operate-instance", instanceKey=key, operation="upgrade", operationComplete=True)
    assert await two.seen() == ["i1", "i2"]


async def test_pullin_ends_all_operations_whatever_the_other_api_called_them(two: World) -> None:
    key = {"regionId": REGION, "serviceId": two.service, "instanceId": "i1"}
    for operation in ("maintenance", "upgrade"):
        await two.rpc("operate-instance", instanceKey=key, operation=operation)
    await two.instance_out("i1", back=True)
    assert await two.seen() == ["i1", "i2"]
    assert (await two.rpc("instance-operations", instanceKey=key))["operations"] is None


async def test_keys_match_in_any_case(two: World) -> None:
    key = {"regionId": REGION.upper(), "serviceId": two.service.upper(), "instanceId": "I1"}
    body = {"instance_key": key, "Operation": "PullOut", "operator_id": "op"}
    await two.status_ok("instance/operate-instance", body)
    assert await two.seen() == ["i2"]
    await two.ok(
        "POST",
        "management/zone/pull-out",
        {"ZoneID": "SAFE", "region_id": "LAB", "operatorid": "op", "serviceId": two.service.title()},
    )
    assert await two.seen() == []


async def test_what_was_pulled_out_before_it_registered_is_never_seen(world: World) -> None:
    await world.instance_out("i1")
    async with world.subscribed() as ears:
        await world.register("i1", "i2")
        assert await ears.hear_ws() == ["new i2"]
        assert await ears.hear_rpc() == ["new i2"]
    assert await world.seen() == ["i2"]


async def test_a_zone_is_pulled_out_for_every_service_but_only_that_zone(two: World) -> None:
    other = World(two.node, 0)
    other.service, other.zone = f"{two.service}.other", two.zone
    await other.register("o1")
    await two.zone_out()
    assert (await two.seen(), await other.seen()) == (["i2"], [])
    await two.zone_out(back=True)
    assert (await two.seen(), await other.seen()) == (["i1", "i2"], ["o1"])


async def test_a_zone_pulled_out_for_one_service_leaves_the_others_alone(two: World) -> None:
    other = World(two.node, 0)
    other.service, other.zone = f"{two.service}.other", two.zone
    await other.register("o1")
    await two.zone_out(two.service)
    assert (await two.seen(), await other.seen()) == (["i2"], ["o1"])


async def test_the_group_called_default_holds_the_instances_without_a_group(two: World) -> None:
    await two.register(two.instance("g1", groupId="blue"))
    await two.group_out(await two.group("default"))
    assert await two.seen() == ["g1", "i2"]


async def test_a_deleted_group_keeps_nobody_out(two: World) -> None:
    group = await two.group("default")
    await two.group_out(group)
    assert await two.seen() == ["i2"]
    async with two.subscribed() as ears:
        await two.ok("DELETE", f"routing/groups/{group['groupKey']}")
        assert await ears.hear_ws() == ["new i1"]
    assert await two.seen() == ["i1", "i2"]
    await two.group("default")
    assert await two.seen() == ["i1", "i2"], "the operation went with the group"


async def test_operators_still_see_what_is_pulled_out(two: World) -> None:
    await two.instance_out("i1")
    service = (await two.rpc("service", serviceId=two.service))["service"]
    assert {each["instanceId"]: each["status"] for each in service["instances"]} == {"i1": "down", "i2": "up"}
