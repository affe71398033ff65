"""Groups, tags and members in the REST API: rows 31 to 43."""

from urllib.parse import quote

import pytest

from ..contract.matching import EPOCH_MS, Including, Whole
from ..contract.nodes import REGION
from .world import OPERATOR, World, ids


async def test_a_group_is_created_shown_changed_and_deleted(world: World) -> None:
    created = await world.group("Blue", description="the blue ones", appId="shop", groupType="logical")
    key = f"{world.service}:{REGION}:{world.zone}:Blue"
    assert created == {
        "groupId": Whole(1),
        "groupKey": key,
        "serviceId": world.service,
        "regionId": REGION,
        "zoneId": world.zone,
        "name": "Blue",
        "appId": "shop",
        "groupType": "logical",
        "status": "active",
        "description": "the blue ones",
        "tags": [],
        "metadata": None,
        "createdAt": EPOCH_MS,
        "updatedAt": EPOCH_MS,
    }
    assert created["groupId"] < 2**53
    path = f"routing/groups/{key}"
    assert await world.ok("GET", path) == created
    assert await world.ok("GET", f"routing/groups/by-id/{created['groupId']}") == created
    changed = await world.ok("PATCH", path, {"description": "were blue", "status": "inactive"})
    assert (changed["description"], changed["status"], changed["groupType"]) == ("were blue", "inactive", "logical")
    assert changed["createdAt"] == created["createdAt"]
    again = await world.ok("PUT", path, {"group_type": "physical"})
    assert (again["description"], again["groupType"]) == ("were blue", "physical"), "PUT is PATCH"
    assert await world.ok("DELETE", path) is None
    assert await world.refused(404, "GET", path) == f"there is no group {key}"
    await world.refused(404, "GET", f"routing/groups/by-id/{created['groupId']}")
    await world.refused(404, "DELETE", path)
    assert (await world.group("Blue"))["groupId"] == created["groupId"], "one name, one id"


async def test_a_key_matches_in_any_case_and_percent_encoded(world: World) -> None:
    group = await world.group("Blue Sky")
    key = group["groupKey"]
    for text in (quote(key), quote(key, safe="").upper().replace("%3A", "%3a"), key.lower().replace(" ", "%20")):
        assert (await world.ok("GET", f"routing/groups/{text}"))["groupId"] == group["groupId"]


async def test_a_group_whose_names_have_colons_and_slashes_is_found_unless_two_could_be_meant(world: World) -> None:
    odd = await world.group("a:b")
    key = odd["groupKey"]
    assert (await world.ok("GET", f"routing/groups/{key}"))["groupId"] == odd["groupId"]
    twin = await world.group("b", zoneId=f"{world.zone}:a")
    assert twin["groupKey"] == key
    message = await world.refused(400, "GET", f"routing/groups/{key}")
    assert str(odd["groupId"]) in message
    assert str(twin["groupId"]) in message
    assert (await world.ok("GET", f"routing/groups/{odd['groupId']}"))["name"] == "a:b", "an id does instead of a key"


async def test_groups_are_found_by_everything_that_is_given(world: World) -> None:
    for name in ("blue", "green"):
        await world.group(name)
    await world.group("blue", zoneId="elsewhere")
    blue = f"routing/groups/{world.service}:{REGION}:{world.zone}:blue"
    await world.ok("POST", f"{blue}/tags", {"tags": [{"key": "team", "value": "Red"}, {"key": "os", "value": "arm"}]})

    async def found(query: str) -> list[tuple[str, str]]:
        groups = await world.ok("GET", f"routing/groups?serviceId={world.service}{query}")
        return [(group["name"], group["zoneId"]) for group in groups]

    ours = world.zone
    assert await found("") == [("blue", ours), ("green", ours), ("blue", "elsewhere")]
    assert await found("&name=BLUE") == [("blue", ours), ("blue", "elsewhere")]
    assert await found(f"&name=blue&zone_id={ours}") == [("blue", ours)]
    assert await found("&regionId=nowhere") == []
    assert await found("&tag=team:red&tag=os:arm") == [("blue", ours)]
    assert await found("&tag=team:red&tag=os:x86") == []
    assert await found("&tag=team") == [("blue", ours)]
    assert await world.ok("GET", "routing/groups?serviceId=unheard.of") == []


async def test_a_group_that_exists_is_a_conflict(world: World) -> None:
    await world.group("blue")
    body = {"serviceId": world.service.upper(), "regionId": REGION, "zoneId": world.zone, "name": "BLUE"}
    message = await world.refused(409, "POST", "routing/groups", {**body, "groupType": "physical"})
    assert message == f"the group {world.service}/{REGION}/{world.zone}/blue exists already"


@pytest.mark.parametrize("missing", ["serviceId", "regionId", "zoneId", "name", "groupType"])
async def test_what_is_missing_is_named(world: World, missing: str) -> None:
    body = {"serviceId": world.service, "regionId": REGION, "zoneId": "z", "name": "g", "groupType": "physical"}
    for value in (None, "", "  "):
        assert await world.refused(400, "POST", "routing/groups", {**body, missing: value}) == (
            f"{missing} is null or empty"
        )
    assert await world.ok("GET", f"routing/groups?serviceId={world.service}") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("groupType", "round"),
        ("status", "sleeping"),
        ("name", "a\nb"),
        ("name", "x" * 257),
        ("description", "x" * 2049),
    ],
)
async def test_what_makes_no_sense_is_named(world: World, field: str, value: str) -> None:
    body = {"serviceId": world.service, "regionId": REGION, "zoneId": "z", "name": "g", "groupType": "physical"}
    assert field in await world.refused(400, "POST", "routing/groups", {**body, field: value})


async def test_names_of_properties_match_in_any_style(world: World) -> None:
    body = {
        "service_id": world.service,
        "RegionID": REGION,
        "zone_id": world.zone,
        "NAME": "blue",
        "group_type": "Physical",
        "unknown": {"is": "ignored"},
    }
    group = await world.ok("POST", "routing/groups", body, 201)
    assert (group["groupType"], group["name"]) == ("physical", "blue")


async def test_whoever_was_slower_is_told_that_the_group_has_changed(world: World) -> None:
    group = await world.group("blue")
    path = f"routing/groups/{group['groupKey']}"
    seen = (await world.rest("GET", path)).header("etag")
    assert seen is not None
    faster = await world.rest("PATCH", path, {"description": "mine"}, headers={"if_match": seen})
    assert (faster.status, faster.json["data"]["description"]) == (200, "mine")
    slower = await world.rest("PATCH", path, {"description": "no, mine"}, headers={"if_match": seen})
    assert (slower.status, slower.message) == (409, "the group has changed meanwhile: look at it again")
    assert (await world.rest("DELETE", path, headers={"if_match": seen})).status == 409
    assert (await world.rest("DELETE", path, headers={"if_match": str(faster.header("etag"))})).status == 200


# Tags


async def test_tags_are_set_by_key_shown_and_removed(world: World) -> None:
    group = await world.group("blue")
    path = f"routing/groups/{group['groupKey']}/tags"
    tags = [{"key": "team", "value": "red"}, {"key": "a/b", "value": "c"}]
    assert (await world.ok("POST", path, {"tags": tags}))["tags"] == tags
    await world.ok("POST", path, {"tags": [{"key": "TEAM", "value": "green"}]})
    now = [{"key": "TEAM", "value": "green"}, {"key": "a/b", "value": "c"}]
    assert await world.ok("GET", path) == now
    assert (await world.rpc("group/get-group-tags", groupId=group["groupId"]))["groupTags"] == {
        "groupId": group["groupId"],
        "tags": {"TEAM": "green", "a/b": "c"},
    }
    assert (await world.ok("DELETE", f"{path}/a%2Fb"))["tags"] == [{"key": "TEAM", "value": "green"}]
    assert (await world.ok("DELETE", f"{path}/team"))["tags"] == []
    assert await world.refused(404, "DELETE", f"{path}/team") == "the group has no tag team"


async def test_tags_that_cannot_be_set_are_named_and_none_of_them_is(world: World) -> None:
    path = f"routing/groups/{(await world.group('blue'))['groupKey']}/tags"
    good = {"key": "a", "value": "b"}
    assert await world.refused(400, "POST", path, {}) == "tags is null or empty"
    assert await world.refused(400, "POST", path, {"tags": [good, {"value": "b"}]}) == "tags[1].key is null or empty"
    assert await world.refused(400, "POST", path, {"tags": [good, {"key": "b"}]}) == "tags[1].value is null or empty"
    assert await world.ok("GET", path) == []


# Members


async def test_a_group_holds_those_who_say_so_and_those_bound_by_hand(world: World) -> None:
    group = await world.group("blue")
    path = f"routing/groups/{group['groupKey']}/instances"
    await world.register(
        "i1", "i2", world.instance("i3", groupId="BLUE"), world.instance("i4", groupId="blue", zoneId="x")
    )
    assert ids({"instances": await world.ok("GET", path)}) == ["i3"], "a group is of one zone"
    binding = await world.ok("POST", path, {"instanceId": "I1", "operatorId": "op"}, 201)
    assert binding == {
        "groupInstanceId": Whole(1),
        "groupId": group["groupId"],
        "groupKey": group["groupKey"],
        "instanceId": "I1",
        "operatorId": "op",
        "createdAt": EPOCH_MS,
    }
    assert ids({"instances": await world.ok("GET", path)}) == ["i1", "i3"]
    assert await world.ok("GET", f"{path}?zoneId=elsewhere") == []
    assert ids({"instances": await world.ok("GET", f"{path}?regionId=LAB&zoneId={world.zone}")}) == ["i1", "i3"]
    message = await world.refused(409, "POST", path, {"instanceId": "i1", "operatorId": "op"})
    assert message == "the instance i1 is bound to the group already"
    await world.instance_out("i1")
    assert ids({"instances": await world.ok("GET", path)}) == ["i1", "i3"], "pulled out is still in the group"
    members = (await world.rpc("group/get-group-instances", groupId=group["groupId"]))["groupInstances"]
    assert [member["instanceId"] for member in members] == ["I1"]
    assert await world.ok("DELETE", f"{path}/i1?operatorId=op") is None
    assert await world.refused(404, "DELETE", f"{path}/i1") == "the instance i1 is not bound to the group"
    assert ids({"instances": await world.ok("GET", path)}) == ["i3"]


async def test_binding_wants_to_know_who_and_what(world: World) -> None:
    path = f"routing/groups/{(await world.group('blue'))['groupKey']}/instances"
    assert await world.refused(400, "POST", path, {"instanceId": "i1"}) == "operatorId is null or empty"
    assert await world.refused(400, "POST", path, OPERATOR) == "instanceId is null or empty"
    key = f"{world.service}:lab:z:unheard-of"
    assert await world.refused(404, "POST", f"routing/groups/{key}/instances", {"instanceId": "i", **OPERATOR}) == (
        f"there is no group {key}"
    )
    assert await world.refused(404, "GET", f"routing/groups/{key}/instances") == f"there is no group {key}"


async def test_many_instances_are_bound_at_once_or_none_is(world: World) -> None:
    blue, green = await world.group("blue"), await world.group("green")
    await world.register("i1", "i2", "i3")
    path = f"routing/services/{world.service}/instances"

    async def bound() -> list[list[str]]:
        paths = [f"routing/groups/{group['groupKey']}/instances" for group in (blue, green)]
        return [ids({"instances": await world.ok("GET", each)}) for each in paths]

    good = [{"groupId": "blue", "instanceId": "i1"}, {"groupId": green["groupId"], "instanceId": "i2"}]
    bad = {
        "instances[2].instanceId is null or empty": {"groupId": "blue"},
        "instances[2].groupId is null or empty": {"instanceId": "i3"},
        "instances has a null item": None,
    }
    for message, item in bad.items():
        assert await world.refused(400, "POST", path, {"instances": [*good, item]}) == message
    await world.refused(404, "POST", path, {"instances": [*good, {"groupId": "red", "instanceId": "i3"}]})
    await world.refused(409, "POST", path, {"instances": [*good, good[0]]})
    assert await bound() == [[], []]
    assert await world.refused(400, "POST", path, {"instances": []}) == "instances is null or empty"
    more = {"groupId": blue["groupKey"], "instanceId": "i3", "operatorId": "another"}
    assert await world.ok("POST", path, {"instances": [*good, more], **OPERATOR}, 201) == 3
    assert await bound() == [["i1", "i3"], ["i2"]]
    logs = await world.logs("group-instance-logs", groupId=blue["groupId"])
    assert [log["operatorId"] for log in logs] == ["op", "another"]


async def test_groups_of_another_service_are_not_taken(world: World) -> None:
    group = await world.group("blue", serviceId=f"{world.service}.other")
    body = {"instances": [{"groupId": group["groupKey"], "instanceId": "i1"}]}
    message = await world.refused(400, "POST", f"routing/services/{world.service}/instances", body)
    assert message == f"the group {group['groupKey']} belongs to another service than {world.service}"


async def test_deleting_a_group_takes_everything_with_it(world: World) -> None:
    await world.register("i1")
    group = await world.group("blue")
    path = f"routing/groups/{group['groupKey']}"
    await world.ok("POST", f"{path}/tags", {"tags": [{"key": "a", "value": "b"}]})
    await world.ok("POST", f"{path}/instances", {"instanceId": "i1", **OPERATOR}, 201)
    rule = await world.rule(f"{world.service}-rule", ("blue", 1))
    assert (await world.decorations())[1] == [Including({"routeId": f"{world.service}-rule"})]
    await world.ok("DELETE", path)
    assert (await world.decorations())[1] == []
    assert await world.ok("GET", f"{rule}/groups") == []
    await world.group("blue")
    assert await world.ok("GET", f"{path}/tags") == []
    assert await world.ok("GET", f"{path}/instances") == []
