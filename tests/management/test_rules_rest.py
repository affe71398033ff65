"""Route rules in the REST API, rows 44 to 54: what is stored, shown, refused, and seen by the other API."""

import pytest

from ..contract.matching import Including, Whole
from ..contract.nodes import REGION
from .world import World


async def test_a_rule_is_created_shown_changed_and_deleted(world: World) -> None:
    body = {"routeId": "Split", "serviceId": world.service, "name": "70 to 30", "strategy": "Weighted-Round-Robin"}
    created = await world.ok("POST", "routing/rules", {**body, "description": "d"}, 201)
    assert created == {
        "routeRuleId": Whole(1),
        "routeId": "Split",
        "serviceId": world.service,
        "name": "70 to 30",
        "description": "d",
        "status": "inactive",
        "strategy": "weighted-round-robin",
        "groups": [],
    }
    assert created["routeRuleId"] < 2**53
    at = f"?serviceId={world.service}"
    path = f"routing/rules/split{at}"
    assert await world.ok("GET", path) == created
    assert await world.ok("GET", f"routing/rules/{created['routeRuleId']}") == created, "its id does as well"
    changed = await world.ok("PATCH", path, {"strategy": "close-by-visit"})
    assert (changed["strategy"], changed["name"], changed["description"]) == ("close-by-visit", "70 to 30", "d")
    changed = await world.ok("PUT", path, {"name": "near", "description": "e"})
    assert (changed["strategy"], changed["name"], changed["description"]) == ("close-by-visit", "near", "e")
    assert await world.ok("DELETE", path) is None
    assert await world.refused(404, "GET", path) == "there is no route rule split"
    for method, tail in (
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/publish"),
        ("POST", "/unpublish"),
        ("GET", "/groups"),
    ):
        await world.refused(404, method, f"routing/rules/split{tail}{at}", None if method != "PATCH" else {})


async def test_one_thing_has_one_id_in_both_apis(world: World) -> None:
    path = await world.rule(f"{world.service}-r", publish=False)
    rule = await world.ok("GET", path)
    (row,) = (await world.rpc("group/get-route-rules", serviceId=world.service, operation=None))["routeRules"]
    assert row == {
        "routeRuleId": rule["routeRuleId"],
        "name": f"{world.service}-r",
        "serviceId": world.service,
        "description": None,
        "status": "inactive",
        "strategy": "weighted-round-robin",
    }
    row |= {"status": "active", "description": "by rpc"}
    await world.rpc("group/update-route-rules", routeRules=[row])
    assert await world.ok("GET", path) == {**rule, "status": "active", "description": "by rpc"}


async def test_rules_are_found_by_service_and_status(world: World) -> None:
    first = f"{world.service}-1"
    await world.rule(first, publish=False)
    await world.group("blue")
    await world.rule(f"{world.service}-2", ("blue", 3))

    async def found(query: str) -> list[str]:
        return [rule["routeId"] for rule in await world.ok("GET", f"routing/rules?service_id={world.service}{query}")]

    assert await found("") == [first, f"{world.service}-2"]
    assert await found("&status=Inactive") == [first]
    assert await found("&status=deleted") == []
    (active,) = await world.ok("GET", f"routing/rules?serviceId={world.service}&status=active")
    assert active["groups"] == [Including({"weight": 3, "unreleasedWeight": 3})]


async def test_a_rule_that_exists_is_a_conflict_but_another_service_may_have_its_namesake(world: World) -> None:
    body = {"routeId": "shared", "serviceId": world.service, "name": "n", "strategy": "close-by-visit"}
    other = f"{world.service}.other"
    await world.ok("POST", "routing/rules", body, 201)
    message = await world.refused(409, "POST", "routing/rules", {**body, "routeId": "SHARED"})
    assert message == f"the service {world.service} has a route rule SHARED already"
    await world.ok("POST", "routing/rules", {**body, "serviceId": other}, 201)
    message = await world.refused(400, "GET", "routing/rules/shared")
    assert message.startswith("several services have a route rule shared: say which with serviceId, one of ")
    assert (await world.ok("GET", f"routing/rules/shared?serviceId={other}"))["serviceId"] == other
    await world.refused(404, "GET", "routing/rules/shared?serviceId=unheard.of")


@pytest.mark.parametrize("missing", ["routeId", "serviceId"])
async def test_what_is_missing_is_named(world: World, missing: str) -> None:
    body = {"routeId": "r", "serviceId": world.service, "name": "n", "strategy": "close-by-visit", missing: " "}
    assert await world.refused(400, "POST", "routing/rules", body) == f"{missing} is null or empty"


async def test_an_unknown_strategy_is_refused(world: World) -> None:
    body = {"routeId": "r", "serviceId": world.service, "name": "n", "strategy": "at-random"}
    assert (await world.refused(400, "POST", "routing/rules", body)).startswith("strategy must be one of ")
    path = await world.rule(f"{world.service}-r", publish=False)
    assert (await world.refused(400, "PATCH", path, {"strategy": "at-random"})).startswith("strategy must be one of ")


async def test_whoever_was_slower_is_told_that_the_rule_has_changed(world: World) -> None:
    path = await world.rule(f"{world.service}-r", publish=False)
    seen = str((await world.rest("GET", path)).header("etag"))
    await world.ok("POST", f"{path}/publish")
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = await world.rest(method, path, body, headers={"if_match": seen})
        assert (answer.status, answer.message) == (409, "the route rule has changed meanwhile: look at it again")
    assert (await world.rest("DELETE", path, headers={"if_match": "*"})).status == 200


# Groups of rules


async def test_groups_of_a_rule_are_added_in_order_changed_and_removed(world: World) -> None:
    groups = [await world.group(name) for name in ("blue", "green", "red")]
    path = f"{await world.rule(f'{world.service}-r', publish=False)}/groups"
    rule = await world.ok("GET", path.removesuffix("/groups"))
    first, second, third = (group["groupId"] for group in groups)
    added = await world.ok("POST", path, {"groupId": first, "weight": 70, "regionId": "far", "zoneId": "away"}, 201)
    assert added == {
        "routeRuleGroupId": Whole(1),
        "routeRuleId": rule["routeRuleId"],
        "groupId": first,
        "groupKey": groups[0]["groupKey"],
        "weight": 70,
        "unreleasedWeight": 70,
        "regionId": "far",
        "zoneId": "away",
    }
    await world.ok("POST", path, {"groupId": groups[1]["groupKey"].upper(), "weight": "30"}, 201)
    await world.ok("POST", path, {"groupId": "RED", "weight": 0}, 201)
    links = await world.ok("GET", path)
    assert [(link["groupId"], link["weight"]) for link in links] == [(first, 70), (second, 30), (third, 0)]
    assert (links[1]["regionId"], links[1]["zoneId"]) == (REGION, world.zone), "a group is where it is"
    changed = await world.ok("PATCH", f"{path}/blue", {"weight": 10})
    assert (changed["weight"], changed["unreleasedWeight"], changed["zoneId"]) == (10, 10, "away")
    changed = await world.ok("PUT", f"{path}/{second}", {"zoneId": "near"})
    assert (changed["weight"], changed["zoneId"]) == (30, "near")
    assert await world.ok("DELETE", f"{path}/{groups[2]['groupKey']}") is None
    assert [link["weight"] for link in await world.ok("GET", path)] == [10, 30]
    for method, body in (("DELETE", None), ("PATCH", {"weight": 1})):
        message = await world.refused(404, method, f"{path}/red", body)
        assert message == f"the route rule {world.service}-r has no group red"


async def test_weights_and_groups_that_cannot_be_are_refused(world: World) -> None:
    await world.group("blue")
    path = f"{await world.rule(f'{world.service}-r', publish=False)}/groups"
    for weight in (-1, 10_001):
        message = f"weight must be from 0 to 10000, not {weight}"
        assert await world.refused(400, "POST", path, {"groupId": "blue", "weight": weight}) == message
    assert await world.refused(400, "POST", path, {"groupId": "blue"}) == "weight is missing"
    assert await world.refused(400, "POST", path, {"weight": 1}) == "groupId is null or empty"
    assert await world.refused(404, "POST", path, {"groupId": "red", "weight": 1}) == "there is no group red"
    assert "weight must be a whole number" in await world.refused(
        400, "POST", path, {"groupId": "blue", "weight": "heavy"}
    )
    await world.ok("POST", path, {"groupId": "blue", "weight": 1}, 201)
    assert await world.refused(409, "POST", path, {"groupId": "blue", "weight": 2}) == (
        "the group has a part in the rule already"
    )
    assert "weight must be from 0 to 10000" in await world.refused(400, "PATCH", f"{path}/blue", {"weight": 10_001})
    stranger = await world.group("blue", serviceId=f"{world.service}.other")
    await world.refused(400, "POST", path, {"groupId": stranger["groupKey"], "weight": 1})


async def test_namesakes_in_two_zones_are_told_apart_by_zone_or_key(world: World) -> None:
    here, there = await world.group("blue"), await world.group("blue", zoneId="there")
    path = f"{await world.rule(f'{world.service}-r', publish=False)}/groups"
    message = await world.refused(400, "POST", path, {"groupId": "blue", "weight": 1})
    assert message.startswith("several groups are named blue: say which by its key, one of ")
    link = await world.ok("POST", path, {"groupId": "blue", "zoneId": "there", "weight": 1}, 201)
    assert link["groupId"] == there["groupId"]
    await world.ok("POST", path, {"groupId": here["groupKey"], "weight": 2}, 201)
    await world.refused(400, "PATCH", f"{path}/blue", {"weight": 3})


async def test_rest_weights_are_released_at_once_and_rpc_weights_when_they_are_released(world: World) -> None:
    await world.register_groups("blue")
    group = await world.group("blue")
    path = await world.rule(f"{world.service}-r", ("blue", 70))
    rule_id = (await world.ok("GET", path))["routeRuleId"]

    async def weights() -> tuple[object, int]:
        (link,) = await world.ok("GET", f"{path}/groups")
        return link["unreleasedWeight"], (await world.decorations())[1][0]["groups"][0]["weight"]

    assert await weights() == (70, 70)
    link = {"routeRuleId": rule_id, "groupId": group["groupId"], "unreleasedWeight": 5}
    async with world.subscribed() as ears:
        await world.rpc("group/update-route-rule-groups", routeRuleGroups=[link])
        assert await weights() == (5, 70)
        await world.rpc("group/release-route-rule-groups", routeRuleGroups=[link])
        assert await weights() == (5, 5)
        assert await ears.hear_ws() == ["reload"], "only the release is worth a word"
        await world.ok("PATCH", f"{path}/groups/blue", {"weight": 9})
        assert await weights() == (9, 9)
        assert await ears.hear_ws() == ["reload"]
        assert await ears.hear_rpc(2) == ["reload", "reload"]


async def test_what_rpc_calls_a_rule_with_groups_is_one_in_rest_too(world: World) -> None:
    group = {"serviceId": world.service, "regionId": REGION, "zoneId": world.zone, "name": "g9", "appId": "app"}
    await world.rpc(
        "group/create-route-rule",
        routeRule={"serviceId": world.service, "name": f"{world.service}-r9", "status": "active", "strategy": "x"},
        groups=[{**group, "status": "active", "weight": 9}],
    )
    rule = await world.ok("GET", f"routing/rules/{world.service}-r9")
    assert rule == Including({"status": "active", "strategy": "x", "name": f"{world.service}-r9"})
    assert rule["groups"] == [Including({"weight": None, "unreleasedWeight": 9})]
    await world.rpc("group/delete-route-rules", routeRuleIds=[rule["routeRuleId"]])
    await world.refused(404, "GET", f"routing/rules/{world.service}-r9")
