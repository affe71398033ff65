"""Lookup, service, services, services-delta: section 1.6 of the RPC API, rule by rule."""

from typing import Any

import pytest

from .building import SUCCESS, fails_with, instance, instances_of, lookup, place, register, unregister
from .conftest import StartNode
from .flavours import FORCED_DOWN, STRICT, UNMANAGED
from .matching import Containing, Including
from .nodes import REGION, ZONE, NodeProcess
from .wire import RPC, ask, encoded, get, post, rpc

NULLS: Any = {"instances": None, "logicInstances": None, "metadata": None, "routeRules": None}
EMPTY: Any = {"instances": [], "logicInstances": [], "metadata": None, "routeRules": []}

SINGLE_AND_MANY = [("service", "discoveryConfig"), ("lookup", "discoveryConfigs")]


def question(call: str, service_id: str, **more: Any) -> dict[str, Any]:
    """A lookup or a service request for one service."""
    config = {"serviceId": service_id}
    asked: dict[str, Any] = {"discoveryConfigs": [config]} if call == "lookup" else {"discoveryConfig": config}
    return {"regionId": REGION, "zoneId": ZONE, **asked, **more}


async def version_of(node: NodeProcess) -> int:
    version = (await rpc(node, "discovery/services", {}))["version"]
    assert isinstance(version, int)
    return version


async def delta_since(node: NodeProcess, version: int, service_id: str) -> list[tuple[str, str]]:
    """Type and instance of each change of one service."""
    answer = await rpc(node, "discovery/services-delta", place(version=version))
    assert answer["responseStatus"] == SUCCESS
    changes = answer["delta"].get(service_id, [])
    return sorted((change["changeType"], change["instance"]["instanceId"]) for change in changes)


# Who may ask


@pytest.mark.parametrize("configs", [None, []])
async def test_a_lookup_of_nothing_is_a_bad_request(node: NodeProcess, configs: list[Any] | None) -> None:
    answer = await rpc(node, "discovery/lookup", place(discoveryConfigs=configs))
    fails_with(answer, "bad-request")
    assert answer["services"] is None


async def test_a_lookup_cannot_ask_for_one_large_service_a_thousand_times(node: NodeProcess) -> None:
    await register(node, *(instance("big", f"i{number}", metadata={"notes": "x" * 16_000}) for number in range(4)))
    document = question("lookup", "big")
    document["discoveryConfigs"] *= 400
    answer = await ask(node, "POST", f"{RPC}/discovery/lookup.json", encoded(document))
    assert answer.status == 400
    assert "ask in several calls" in answer.message
    document["discoveryConfigs"] = document["discoveryConfigs"][:20]
    assert len((await rpc(node, "discovery/lookup", document))["services"]) == 20


@pytest.mark.parametrize("config", [None, {}, {"serviceId": None}, {"serviceId": ""}, {"serviceId": " "}])
async def test_a_question_for_no_service_is_a_bad_request(node: NodeProcess, config: dict[str, Any] | None) -> None:
    answer = await rpc(node, "discovery/service", place(discoveryConfig=config))
    fails_with(answer, "bad-request")
    assert answer["service"] is None


@pytest.mark.parametrize("call", ["lookup", "service"])
@pytest.mark.parametrize("region", ["other", "", None])
async def test_another_region_may_not_ask(node: NodeProcess, name: str, call: str, region: str | None) -> None:
    answer = await rpc(node, f"discovery/{call}", question(call, name, regionId=region))
    assert "regionId" in fails_with(answer, "no-permission")
    assert answer["services" if call == "lookup" else "service"] is None


@pytest.mark.parametrize("call", ["lookup", "service"])
async def test_the_region_matches_regardless_of_case(node: NodeProcess, name: str, call: str) -> None:
    answer = await rpc(node, f"discovery/{call}", question(call, name, regionId="LaB"))
    assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize("call", ["lookup", "service"])
@pytest.mark.parametrize("zone", ["zone9", "", None])
async def test_other_zones_may_ask_where_they_are_allowed_only(
    node: NodeProcess, shared_node: StartNode, name: str, call: str, zone: str | None
) -> None:
    asked = question(call, name, zoneId=zone)
    assert (await rpc(node, f"discovery/{call}", asked))["responseStatus"] == SUCCESS
    refused = await rpc(shared_node(STRICT), f"discovery/{call}", asked)
    assert "zoneId" in fails_with(refused, "no-permission")


@pytest.mark.parametrize("call", ["lookup", "service"])
async def test_the_own_zone_matches_regardless_of_case(shared_node: StartNode, name: str, call: str) -> None:
    answer = await rpc(shared_node(STRICT), f"discovery/{call}", question(call, name, zoneId="ZONE1"))
    assert answer["responseStatus"] == SUCCESS


async def test_the_region_of_a_config_does_not_count(node: NodeProcess, name: str) -> None:
    config = {"serviceId": name, "regionId": "other", "zoneId": "other"}
    answer = await rpc(node, "discovery/lookup", place(discoveryConfigs=[config]))
    assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize(("call", "field"), SINGLE_AND_MANY)
async def test_what_is_missing_comes_before_the_state_of_the_node(
    shared_node: StartNode, call: str, field: str
) -> None:
    fails_with(await rpc(shared_node(FORCED_DOWN), f"discovery/{call}", place(**{field: None})), "bad-request")


@pytest.mark.parametrize("call", ["lookup", "service"])
async def test_the_state_of_the_node_comes_before_the_region(shared_node: StartNode, name: str, call: str) -> None:
    answer = await rpc(shared_node(FORCED_DOWN), f"discovery/{call}", question(call, name, regionId="other"))
    assert "status: down" in fails_with(answer, "service-unavailable")


async def test_a_node_that_does_not_serve_says_so_to_bulk_questions_too(shared_node: StartNode) -> None:
    node = shared_node(FORCED_DOWN)
    services = await rpc(node, "discovery/services", {})
    delta = await rpc(node, "discovery/services-delta", {"version": 1})
    fails_with(services, "service-unavailable")
    fails_with(delta, "service-unavailable")
    assert (services["services"], services["version"]) == (None, 0)
    assert (delta["delta"], delta["version"]) == (None, 0)


# Known and unknown services


async def test_a_lookup_answers_in_the_order_it_was_asked(node: NodeProcess, name: str) -> None:
    await register(node, instance(f"{name}.a"), instance(f"{name}.b"))
    asked = [f"{name}.b", f"{name}.unknown", f"{name}.a", f"{name}.b"]
    answer = await rpc(node, "discovery/lookup", place(discoveryConfigs=[{"serviceId": one} for one in asked]))
    assert [service["serviceId"] for service in answer["services"]] == asked
    assert [len(service["instances"]) for service in answer["services"]] == [1, 0, 1, 1]


async def test_configs_that_are_null_or_name_nothing_are_skipped(node: NodeProcess, name: str) -> None:
    configs = [None, {"serviceId": ""}, {"serviceId": name}, {"serviceId": "  "}, {"serviceId": None}, {}]
    answer = await rpc(node, "discovery/lookup", place(discoveryConfigs=configs))
    assert [service["serviceId"] for service in answer["services"]] == [name]


async def test_an_unknown_service_is_empty_in_a_lookup(node: NodeProcess, name: str) -> None:
    """The Java client rejects any other id than the one it asked for."""
    assert await lookup(node, name.title()) == {"serviceId": name.title(), **EMPTY}


async def test_an_unknown_service_has_no_lists_in_a_single_question(node: NodeProcess, name: str) -> None:
    posted = await rpc(node, "discovery/service", question("service", name.title()))
    path = f"{RPC}/discovery/service.json?serviceId={name.title()}&regionId={REGION}&zoneId={ZONE}"
    assert posted == await get(node, path)
    assert posted == {"service": {"serviceId": name.title(), **NULLS}, "responseStatus": SUCCESS}


async def test_without_management_there_are_no_lists_but_instances(shared_node: StartNode, name: str) -> None:
    node = shared_node(UNMANAGED)
    await register(node, instance(name))
    known = {**NULLS, "serviceId": name, "instances": [instance(name)]}
    assert await lookup(node, name) == known
    assert (await rpc(node, "discovery/service", question("service", name)))["service"] == known
    unknown = f"{name}.unknown"
    assert await lookup(node, unknown) == {**NULLS, "serviceId": unknown}
    assert (await rpc(node, "discovery/service", question("service", unknown)))["service"] == {
        **NULLS,
        "serviceId": unknown,
    }


@pytest.mark.parametrize("missing", ["serviceid=x", "SERVICEID=x", "service_id=x", ""])
async def test_a_question_by_query_needs_the_exact_name(node: NodeProcess, missing: str) -> None:
    answer = await ask(node, "GET", f"{RPC}/discovery/service.json?regionId={REGION}&zoneId={ZONE}&{missing}")
    assert answer.status == 400
    assert "serviceId" in answer.message


async def test_a_question_by_query_needs_the_region_too(node: NodeProcess, name: str) -> None:
    answer = await get(node, f"{RPC}/discovery/service.json?serviceId={name}")
    assert "regionId" in fails_with(answer, "no-permission")


# Everything, and what changed


async def test_all_services_are_for_everybody(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    for body in ({}, {"regionId": "other", "zoneId": "other"}):
        answer = await rpc(node, "discovery/services", body)
        assert answer["services"] == Containing(Including({"serviceId": name, "instances": [instance(name)]}))
        assert answer["version"] > 0


async def test_services_without_instances_are_left_out(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    await unregister(node, instance(name))
    services = (await rpc(node, "discovery/services", {}))["services"]
    assert name not in [service["serviceId"] for service in services]


async def test_the_bulk_question_applies_the_filters_of_the_single_one(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b"))
    key = {"regionId": REGION, "serviceId": name, "instanceId": "a"}
    operation = {"operation": "pull-out", "operatorId": "op", "token": "", "operationComplete": False}
    body = {"instanceKey": key, **operation}

    await post(node, "/api/management/operate-instance.json", body)
    services = (await rpc(node, "discovery/services", {}))["services"]
    (service,) = [one for one in services if one["serviceId"] == name]
    assert service["instances"] == [instance(name, "b")] == await instances_of(node, name)


async def test_an_answer_is_never_older_than_what_was_answered_before_it(node: NodeProcess, name: str) -> None:
    """The original serves bulk answers up to 30 seconds old."""
    for number in range(20):
        await register(node, instance(name, f"i{number}"))
        services = (await rpc(node, "discovery/services", {}))["services"]
        (service,) = [one for one in services if one["serviceId"] == name]
        assert len(service["instances"]) == number + 1


async def test_a_delta_has_what_came_and_what_went(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "stays"), instance(name, "goes"))
    version = await version_of(node)
    await register(node, instance(name, "comes"))
    await unregister(node, instance(name, "goes"))
    assert await delta_since(node, version, name) == [("delete", "goes"), ("new", "comes")]


async def test_what_came_and_went_between_is_no_delta(node: NodeProcess, name: str) -> None:
    version = await version_of(node)
    await register(node, instance(name))
    await unregister(node, instance(name))
    assert await delta_since(node, version, name) == []


async def test_a_delta_compares_identities_not_data(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    version = await version_of(node)
    await register(node, instance(name, url="http://elsewhere/"))
    assert await delta_since(node, version, name) == []


async def test_deltas_follow_one_another_without_a_gap(node: NodeProcess, name: str) -> None:
    version = await version_of(node)
    picture: set[str] = set()
    for number in range(10):
        await register(node, instance(name, f"i{number}"))
        if number % 3 == 2:
            await unregister(node, instance(name, f"i{number - 2}"))
        answer = await rpc(node, "discovery/services-delta", {"version": version})
        for change in answer["delta"][name]:
            (picture.add if change["changeType"] == "new" else picture.discard)(change["instance"]["instanceId"])
        assert picture == {found["instanceId"] for found in await instances_of(node, name)}
        assert answer["version"] > version
        version = answer["version"]


@pytest.mark.parametrize("offset", [0, 1, 1_000_000], ids=["newest", "later", "much later"])
async def test_there_is_no_delta_from_the_newest_version_on(node: NodeProcess, name: str, offset: int) -> None:
    await register(node, instance(name))
    answer = await rpc(node, "discovery/services-delta", {"version": await version_of(node) + offset})
    fails_with(answer, "data-not-found")
    assert (answer["delta"], answer["version"]) == (None, 0)


@pytest.mark.parametrize("body", [{"version": 0}, {"version": -5}, {"version": 1}, {}])
async def test_there_is_no_delta_from_a_version_that_nobody_knows(node: NodeProcess, body: dict[str, int]) -> None:
    answer = await rpc(node, "discovery/services-delta", body)
    fails_with(answer, "data-not-found")
    assert (answer["delta"], answer["version"]) == (None, 0)


async def test_a_delta_is_for_every_region(node: NodeProcess, name: str) -> None:
    version = await version_of(node)
    await register(node, instance(name))
    answer = await rpc(node, "discovery/services-delta", {"version": version, "regionId": "other", "zoneId": "x"})
    assert answer["responseStatus"] == SUCCESS
