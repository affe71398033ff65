"""Names in paths: whatever can be stored is reached under every path that has names in it, percent-encoded."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote

import pytest

from artemis.transport.operations.management.desk import Desk
from artemis.transport.operations.rest.canary import CanaryRows
from artemis.transport.operations.rest.groups import GroupRows
from artemis.transport.operations.rest.rules import RuleRows
from artemis.transport.operations.rest.zones import ZoneRows

from ..contract.matching import Including
from ..contract.nodes import REGION
from ..contract.wire import REST
from .world import OPERATOR, World

NAMES: Final = (
    "plain",
    "a/b",
    "/a",
    "a/",
    "a//b",
    "/",
    "a%b",
    "a%2Fb",
    "%",
    "%zz",
    "%25",
    "a?b=c",
    "a#b",
    "a&b=c;d",
    "a+b",
    "a b",
    "a  b",
    "a:b",
    ":",
    "..",
    ".",
    "../../health",
    "a\\b",
    '"a"',
    "{name}",
    "<path:name>",
    "instances",
    "tags",
    "by-id",
    "groups",
    "publish",
    "grüße",
    "注册中心",
    "🐢",
    "a,b|c~d^e`f'g(h)*!$@[i]",
)


class Step(NamedTuple):
    """One request; `template` is the route that it is meant for."""

    template: str
    method: str
    path: str
    body: Any = None
    status: int = 200
    data: Any = None
    """What the answer must have in it."""


def escaped(text: str, *, strictly: bool = False) -> str:
    """A name for a path: with `strictly`, everything that can be escaped is."""
    return "".join(f"%{byte:02X}" for byte in text.encode()) if strictly else quote(text, safe="")


def story(world: World, name: str, *, strictly: bool) -> Iterator[Step]:
    """Every path with names in it, in an order in which each request finds what it needs."""
    service, zone, rule = f"{world.service} {name}", f"{world.zone} {name}", f"{name} {world.service}"
    place = {"serviceId": service, "regionId": REGION, "zoneId": zone, "name": name}
    key = f"{service}:{REGION}:{zone}:{name}"

    def at(template: str, **names: str) -> str:
        return template.format(**{each: escaped(text, strictly=strictly) for each, text in names.items()})

    def step(template: str, method: str, names: dict[str, str], *rest: Any, after: str = "") -> Step:
        return Step(template, method, at(template, **names) + after, *rest)

    def group(after: str = "", method: str = "GET", *rest: Any, **more: str) -> Step:
        return step(f"routing/groups/{{groupKey}}{after}", method, {"groupKey": key, **more}, *rest)

    def ruled(after: str = "", method: str = "GET", *rest: Any, **more: str) -> Step:
        return step(f"routing/rules/{{routeId}}{after}", method, {"routeId": rule, **more}, *rest)

    a_group = Including({"groupKey": key, **place})
    a_rule = Including({"routeId": rule, "serviceId": service})
    a_link = Including({"groupKey": key})
    zoned = {"zoneId": zone, "regionId": REGION}

    yield Step("", "POST", "routing/groups", {**place, "groupType": "physical"}, 201, a_group)
    yield group("", "GET", None, 200, a_group)
    yield group("", "PATCH", {"description": "d"}, 200, a_group)
    yield group("/pull-out", "POST", OPERATOR, 200, Including({"groupKey": key, "isDown": True}))
    yield group("/pull-in", "POST", OPERATOR, 200, Including({"groupKey": key, "isDown": False, "instances": 0}))
    yield group("/instances", "GET", None, 200, [])
    yield group("/instances", "POST", {"instanceId": name, **OPERATOR}, 201, Including({"instanceId": name}))
    yield group("/instances/{instanceId}", "DELETE", None, 200, None, instanceId=name)
    bound = {"instances": [{"groupId": key, "instanceId": name}], **OPERATOR}
    yield step("routing/services/{serviceId}/instances", "POST", {"serviceId": service}, bound, 201, 1)
    yield group("/tags", "POST", {"tags": [{"key": name, "value": name}]}, 200, a_group)
    yield group("/tags", "GET", None, 200, [{"key": name, "value": name}])
    yield group("/tags/{key}", "DELETE", None, 200, a_group, key=name)

    body = {"routeId": rule, "serviceId": service, "name": name, "strategy": "weighted-round-robin"}
    yield Step("", "POST", "routing/rules", body, 201, a_rule)
    yield ruled("", "GET", None, 200, a_rule)
    yield ruled("", "PATCH", {"description": "d"}, 200, a_rule)
    yield ruled("/groups", "POST", {"groupId": key, "weight": 7}, 201, a_link)
    yield ruled("/groups", "GET", None, 200, [a_link])
    for spelling in (key, name):
        yield ruled("/groups/{groupId}", "PATCH", {"weight": 8}, 200, a_link, groupId=spelling)
    yield ruled("/publish", "POST", {}, 200, a_rule)
    yield ruled("/unpublish", "POST", {}, 200, a_rule)
    yield ruled("/groups/{groupId}", "DELETE", None, 200, None, groupId=name)
    yield ruled("", "DELETE")
    yield group("", "DELETE")

    yield Step("", "POST", "management/zone/pull-out", {**zoned, **OPERATOR}, 200, Including(zoned))
    yield step(
        "management/zone/status/{zoneId}/{regionId}", "GET", zoned, None, 200, Including({**zoned, "isDown": True})
    )
    yield step("management/zone/{zoneId}/{regionId}", "DELETE", zoned, None, 200, Including({**zoned, "isDown": False}))

    canary = {"serviceId": service, "ipWhitelist": ["10.0.0.1"], "groupId": name}
    yield Step("", "POST", "management/canary/config", canary, 200, Including(canary))
    config = "management/canary/config/{serviceId}"
    yield step(config, "GET", {"serviceId": service}, None, 200, Including(canary))
    for change in ("add", "remove"):
        white_list = f"management/canary/{{serviceId}}/whitelist/{change}"
        yield step(white_list, "POST", {"serviceId": service}, {"ips": ["10.0.0.2"]}, 200, None)
    yield step(config, "DELETE", {"serviceId": service})


@pytest.mark.parametrize("strictly", [False, True], ids=["as clients do", "every byte"])
@pytest.mark.parametrize("name", NAMES)
async def test_whatever_can_be_stored_is_reached(world: World, name: str, *, strictly: bool) -> None:
    for step in story(world, name, strictly=strictly):
        if step.body is None:
            answer = await world.rest(step.method, step.path)
        else:
            answer = await world.rest(step.method, step.path, step.body)
        assert answer.status == step.status, (step, answer)
        if step.data is not None:
            assert step.data == answer.json["data"], step


def test_the_story_asks_every_path_that_has_names_in_it(world: World) -> None:
    desk = cast("Desk", None)
    kinds = (GroupRows, RuleRows, ZoneRows, CanaryRows)
    routes = {(route.method, route.path) for kind in kinds for route in kind(desk).routes() if "{" in route.path}
    asked = {(step.method, f"{REST}/{step.template}") for step in story(world, "name", strictly=False)}
    put = {("PUT", path) for method, path in asked if method == "PATCH"}
    by_id = {("GET", f"{REST}/routing/groups/by-id/{{groupId}}")}
    assert {(method, path.replace("{path:", "{")) for method, path in routes} <= asked | put | by_id


async def test_a_group_is_reached_by_its_id_when_its_key_can_be_read_in_two_ways(world: World) -> None:
    service = world.service
    first = await world.group("b:c", zoneId="a")
    second = await world.group("c", zoneId="a:b")
    assert first["groupKey"] == second["groupKey"] == f"{service}:{REGION}:a:b:c"
    path = f"routing/groups/{escaped(first['groupKey'])}"
    assert f"{first['groupId']} and {second['groupId']}" in await world.refused(400, "GET", path)
    for group in (first, second):
        assert (await world.ok("GET", f"routing/groups/{group['groupId']}"))["zoneId"] == group["zoneId"]
        await world.ok("DELETE", f"routing/groups/{group['groupId']}")


@pytest.mark.parametrize(
    "path",
    [
        "routing%2Fgroups",
        "%72outing/groups",
        "management/zone%2Foperations",
        "management/canary/config%2Fsvc",
    ],
)
async def test_only_names_may_be_escaped(world: World, path: str) -> None:
    await world.refused(404, "GET", path)


async def test_bytes_that_are_no_text_are_refused(world: World) -> None:
    assert "not UTF-8" in await world.refused(400, "GET", "routing/rules/%FF")
