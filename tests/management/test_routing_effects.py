"""What rules do: to answers of the REST API, which the node routes, and to those of the RPC API, which it decorates."""

from collections import Counter

import pytest

from ..contract.matching import Including
from ..contract.nodes import REGION
from ..contract.wire import REST, connected
from .world import OPERATOR, World, runs


async def chosen(world: World, count: int, *, zone: str = "somewhere") -> list[str]:
    """The groups that so many calls in a row are given, one connection for all."""
    query = f"serviceId={world.service}&zoneId={zone}"
    found: list[str] = []
    async with connected(world.node) as connection:
        for _ in range(count):
            service = (await connection.ask("GET", f"{REST}/discovery/service.json?{query}")).json["service"]
            (group,) = {instance["groupId"] for instance in service["instances"]}
            found.append(group)
    return found


@pytest.fixture
async def split(world: World) -> World:
    """blue and green, two instances each; the groups exist, a rule does not."""
    await world.register_groups("blue", "green", each=2)
    for name in ("blue", "green"):
        await world.group(name)
    return world


async def test_seventy_to_thirty_is_exactly_that_and_well_mixed(split: World) -> None:
    async with split.subscribed() as ears:
        await split.rule(f"{split.service}-r", ("blue", 70), ("green", 30))
        assert await ears.hear_ws() == ["reload"]
        assert await ears.hear_rpc() == ["reload"]
    found = await chosen(split, 1000)
    assert Counter(found) == {"blue": 700, "green": 300}
    assert runs(found)["blue"] <= 3
    assert runs(found)["green"] == 1
    assert await split.lookup() == ["blue-1", "blue-2", "green-1", "green-2"], (
        "clients of the RPC API choose themselves"
    )
    assert (await split.decorations())[1] == [
        {
            "routeId": f"{split.service}-r",
            "strategy": "weighted-round-robin",
            "groups": [
                {
                    "groupKey": f"{split.service}/{REGION}/{split.zone}/{name}",
                    "weight": weight,
                    "instanceIds": [],
                    "instances": None,
                    "metadata": None,
                }
                for name, weight in (("blue", 70), ("green", 30))
            ],
        }
    ]


async def test_a_new_weight_counts_from_the_next_call(split: World) -> None:
    path = await split.rule(f"{split.service}-r", ("blue", 1), ("green", 1))
    assert Counter(await chosen(split, 10)) == {"blue": 5, "green": 5}
    await split.ok("PATCH", f"{path}/groups/green", {"weight": 0})
    assert Counter(await chosen(split, 10)) == {"blue": 10}
    await split.ok("PATCH", f"{path}/groups/green", {"weight": 4})
    assert Counter(await chosen(split, 10)) == {"blue": 2, "green": 8}


async def test_close_by_visit_prefers_the_zone_then_the_region_then_the_order(world: World) -> None:
    places = {"near": "zone-n", "far": "zone-f"}
    for name, zone in places.items():
        await world.register(world.instance(f"{name}-1", groupId=name, zoneId=zone))
        await world.group(name, zoneId=zone)
    await world.rule(f"{world.service}-r", ("far", 1), ("near", 1), strategy="close-by-visit")
    assert set(await chosen(world, 3, zone="zone-n")) == {"near"}
    assert set(await chosen(world, 3, zone="ZONE-F")) == {"far"}
    assert set(await chosen(world, 3, zone="zone-x")) == {"far"}, "both are in the region: the first"


async def test_region_and_zone_of_a_link_say_whom_the_group_is_near_to(split: World) -> None:
    path = await split.rule(f"{split.service}-r", ("blue", 1), ("green", 1), strategy="close-by-visit")
    assert set(await chosen(split, 2, zone="zone-q")) == {"blue"}
    await split.ok("PATCH", f"{path}/groups/green", {"zoneId": "zone-q"})
    assert set(await chosen(split, 2, zone="zone-q")) == {"green"}
    await split.ok("PATCH", f"{path}/groups/blue", {"regionId": "another", "zoneId": "another"})
    assert set(await chosen(split, 2, zone="zone-x")) == {"green"}


async def test_a_group_without_instances_is_passed_over_and_no_group_at_all_gives_everybody(split: World) -> None:
    await split.rule(f"{split.service}-r", ("blue", 9), ("green", 1))
    blue = f"routing/groups/{split.service}:{REGION}:{split.zone}:blue"
    group = await split.ok("GET", blue)
    await split.group_out(group)
    assert set(await chosen(split, 10)) == {"green"}
    await split.group_out(group, back=True)
    await split.register("stray")
    await split.instance_out("blue-1")
    assert await split.routed() == ["blue-2"]
    for name in ("blue-2", "green-1", "green-2"):
        await split.instance_out(name)
    assert await split.routed() == ["stray"], "no group has anybody: whoever there is"


async def test_instances_that_are_not_up_are_not_given(split: World) -> None:
    await split.register(
        *(split.instance(f"green-{n}", groupId="green", status=status) for n, status in ((1, "down"), (2, "starting")))
    )
    await split.register(split.instance("green-3", groupId="green", status="UP"), split.instance("any", status=None))
    assert await split.routed() == ["any", "blue-1", "blue-2", "green-3"]
    assert await split.lookup() == ["any", "blue-1", "blue-2", "green-1", "green-2", "green-3"]


async def test_an_inactive_group_has_no_part_in_the_rule(split: World) -> None:
    await split.rule(f"{split.service}-r", ("blue", 9), ("green", 1))
    blue = f"routing/groups/{split.service}:{REGION}:{split.zone}:blue"
    async with split.subscribed() as ears:
        await split.ok("PATCH", blue, {"status": "inactive"})
        assert await ears.hear_ws() == ["reload"]
    assert set(await chosen(split, 10)) == {"green"}
    assert [len(rule["groups"]) for rule in (await split.decorations())[1]] == [1]


async def test_instances_bound_by_hand_belong_to_the_group(split: World) -> None:
    await split.register("loner")
    key = f"{split.service}:{REGION}:{split.zone}:green"
    await split.rule(f"{split.service}-r", ("green", 1))
    async with split.subscribed() as ears:
        await split.ok("POST", f"routing/groups/{key}/instances", {"instanceId": "LONER", **OPERATOR}, 201)
        assert await ears.hear_ws() == ["reload"]
        assert await ears.hear_rpc() == ["reload"]
        assert await split.routed() == ["green-1", "green-2", "loner"]
        await split.ok("DELETE", f"routing/groups/{key}/instances/loner")
        assert await ears.hear_ws() == ["reload"]
    assert await split.routed() == ["green-1", "green-2"]


async def test_of_several_active_rules_the_one_published_last_decides(split: World) -> None:
    first = await split.rule(f"{split.service}-1", ("blue", 1))
    second = await split.rule(f"{split.service}-2", ("green", 1))
    assert set(await chosen(split, 3)) == {"green"}
    async with split.subscribed() as ears:
        await split.ok("POST", f"{first}/publish")
        assert await ears.hear_ws() == ["reload"]
        assert set(await chosen(split, 3)) == {"blue"}
        await split.ok("POST", f"{first}/unpublish")
        assert await ears.hear_ws() == ["reload"]
        assert set(await chosen(split, 3)) == {"green"}
        await split.ok("DELETE", second)
        assert await ears.hear_ws() == ["reload"]
    assert await split.routed() == ["blue-1", "blue-2", "green-1", "green-2"]
    assert (await split.decorations())[1] == []


async def test_a_rule_that_is_not_published_does_nothing(split: World) -> None:
    path = await split.rule(f"{split.service}-r", ("blue", 1), publish=False)
    assert len(await split.routed()) == 4
    assert (await split.decorations())[1] == []
    published = await split.ok("POST", f"{path}/publish", {"operatorId": "op"})
    assert published["status"] == "active"
    assert await split.routed() == ["blue-1", "blue-2"]
    assert (await split.ok("POST", f"{path}/unpublish"))["status"] == "inactive"
    assert len(await split.routed()) == 4


async def test_tags_are_shown_in_rules_and_change_nothing_else(split: World) -> None:
    await split.rule(f"{split.service}-r", ("blue", 1))
    key = f"{split.service}:{REGION}:{split.zone}:blue"
    async with split.subscribed() as ears:
        await split.ok("POST", f"routing/groups/{key}/tags", {"tags": [{"key": "color", "value": "red"}]})
        assert (await split.decorations())[1][0]["groups"] == [Including({"metadata": {"color": "red"}})]
        await split.instance_out("blue-1")
        assert await ears.hear_ws() == ["delete blue-1"], "tags are no news"


async def test_logical_instances_are_shown_to_rpc_clients_unless_they_are_pulled_out(split: World) -> None:
    async with split.subscribed() as ears:
        await split.logical("logic1")
        assert await ears.hear_ws() == ["reload"]
        assert (await split.decorations())[0] == [Including({"instanceId": "logic1", "status": "up"})]
        await split.instance_out("logic1")
        assert await ears.hear_rpc(2) == ["reload", "reload"]
        assert (await split.decorations())[0] == []
        key = {"regionId": REGION, "serviceId": split.service, "instanceId": "logic1"}
        assert (await split.status_ok("instance/is-instance-down", {"instanceKey": key}))["isDown"] is True
        await split.instance_out("logic1", back=True)
        assert [instance["instanceId"] for instance in (await split.decorations())[0]] == ["logic1"]
    assert "logic1" not in await split.routed()
