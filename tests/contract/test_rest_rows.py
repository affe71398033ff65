"""The core rows of the REST API's table, 1 to 16, 29 and 30, with their aliases: section 2. Row 28 is in test_watch."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from .building import (
    REST_PARTIAL,
    REST_SUCCESS,
    fails_with,
    ids_of,
    instance,
    instances_of,
    key_of,
    place,
    register,
)
from .conftest import StartNode
from .flavours import FORCED_DOWN, STRICT
from .matching import EPOCH_MS, Containing, Including, Text, Whole
from .nodes import REGION, ZONE, NodeProcess
from .wire import REST, ask, encoded, get, post, rest

Made = Callable[[str], Any]


class Row(NamedTuple):
    """`ask` makes the body of a POST, or the query of a GET, about a service with one instance, i1."""

    number: int
    method: str
    path: str
    ask: Made
    answer: Made


def always(value: Any) -> Made:
    return lambda _service: value


def instances(service: str) -> dict[str, Any]:
    return {"instances": [instance(service)]}


def keys(service: str) -> dict[str, Any]:
    return {"instanceKeys": [key_of(instance(service))]}


def service_of(service: str) -> dict[str, Any]:
    return Including({"serviceId": service, "instances": [instance(service)], "metadata": None})


DONE = always({"failedInstances": None, "responseStatus": REST_SUCCESS})
KEYS_DONE = always({"failedInstances": None, "failedInstanceKeys": None, "responseStatus": REST_SUCCESS})
NODES = always(
    {"nodes": [Including({"zone": {"metadata": None, "regionId": REGION, "zoneId": ZONE}})]}
    | {"responseStatus": REST_SUCCESS}
)
CLUSTER = always(
    Including({"nodeCount": 1, "nodesStatus": [Including({"status": "up"})], "responseStatus": REST_SUCCESS})
)


def one(service: str) -> dict[str, Any]:
    return {"service": service_of(service), "responseStatus": REST_SUCCESS}


def all_of_them(service: str) -> dict[str, Any]:
    return {"services": Containing(service_of(service)), "version": EPOCH_MS, "responseStatus": REST_SUCCESS}


def listed(service: str) -> dict[str, Any]:
    return {"services": [service_of(service)], "responseStatus": REST_SUCCESS}


def picked(service: str) -> dict[str, Any]:
    return {"success": True, "instance": instance(service)}


def dumped(service: str) -> dict[str, Any]:
    return {"services": Containing(service_of(service)), "responseStatus": REST_SUCCESS}


def config(service: str) -> dict[str, Any]:
    return {"discoveryConfig": {"serviceId": service}}


def configs(service: str) -> dict[str, Any]:
    return {"discoveryConfigs": [{"serviceId": service}]}


def query(service: str) -> str:
    return f"?serviceId={service}"


NO_DELTA = always(Including({"delta": None, "version": 0}))

ROWS = (
    Row(1, "POST", "registry/register", instances, DONE),
    Row(2, "POST", "registry/heartbeat", instances, DONE),
    Row(2, "POST", "registry/heartbeat", keys, KEYS_DONE),
    Row(3, "POST", "registry/unregister", instances, DONE),
    Row(3, "POST", "registry/unregister", keys, KEYS_DONE),
    Row(4, "POST", "discovery/service", config, one),
    Row(5, "GET", "discovery/service", query, one),
    Row(6, "POST", "discovery/services", always({}), all_of_them),
    Row(7, "GET", "discovery/services", always(""), all_of_them),
    Row(8, "POST", "discovery/services-delta", always({"version": 1}), NO_DELTA),
    Row(9, "POST", "discovery/lookup", configs, listed),
    Row(9, "POST", "discovery/lookup", config, picked),
    Row(10, "POST", "cluster/up-registry-nodes", always({}), NODES),
    Row(10, "GET", "cluster/up-registry-nodes", always(""), NODES),
    Row(11, "POST", "cluster/up-discovery-nodes", always({}), NODES),
    Row(11, "GET", "cluster/up-discovery-nodes", always(""), NODES),
    Row(12, "POST", "replication/registry/register", instances, DONE),
    Row(13, "POST", "replication/registry/heartbeat", instances, DONE),
    Row(14, "POST", "replication/registry/unregister", instances, DONE),
    Row(15, "POST", "replication/registry/services", always(place()), dumped),
    Row(15, "GET", "replication/registry/services", always(f"?regionId={REGION}"), dumped),
    Row(16, "GET", "status/cluster", always(""), CLUSTER),
    Row(16, "POST", "status/cluster", always({}), CLUSTER),
)

STATUS_ALIASES = ("node", "leases", "legacy-leases", "config", "deployment")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number} {row.method} {row.path}")
async def test_a_row_answers_with_its_suffix_and_without(node: NodeProcess, name: str, row: Row) -> None:
    for service, path in ((f"{name}.a", f"{REST}/{row.path}.json"), (f"{name}.b", f"{REST}/{row.path}")):
        await register(node, instance(service))
        asked = row.ask(service)
        answer = await post(node, path, asked) if row.method == "POST" else await get(node, path + asked)
        assert answer == row.answer(service)


@pytest.mark.parametrize("call", STATUS_ALIASES)
async def test_status_paths_are_served_under_both_prefixes(node: NodeProcess, call: str) -> None:
    path = f"{REST}/status/{call}.json"
    assert (await get(node, path))["responseStatus"] == REST_SUCCESS
    assert set(await post(node, path, {})) == set(await get(node, f"/artemis{path}"))


async def test_the_count_of_web_sockets_is_served_under_both_prefixes(node: NodeProcess) -> None:
    for prefix in ("", "/artemis"):
        assert set(await get(node, f"{prefix}{REST}/status/websocket/connection.json")) == {"registry", "discovery"}


# Rows 1 to 3: keys instead of instances


async def test_keys_that_fail_are_named_with_the_reason(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    known, unknown = key_of(instance(name)), key_of(instance(name, "unknown"))
    foreign, blank = {**known, "regionId": "other"}, {**known, "instanceId": " "}
    answer = await rest(node, "registry/heartbeat", {"instanceKeys": [known, unknown, None, foreign, blank]})
    assert answer["responseStatus"] == REST_PARTIAL
    failed = answer["failedInstanceKeys"]
    keys = [{name: one[name] for name in known} for one in failed]
    assert keys == [unknown, foreign, blank]
    assert [one["errorCode"] for one in failed] == ["data-not-found", "no-permission", "bad-request"]
    assert all(one["errorMessage"] for one in failed)
    assert answer["failedInstances"] is None


async def test_instances_and_keys_may_come_together(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b"))
    body = {"instances": [instance(name, "a")], "instanceKeys": [key_of(instance(name, "b"))]}
    assert (await rest(node, "registry/heartbeat", body))["responseStatus"] == REST_SUCCESS
    assert (await rest(node, "registry/unregister", body))["responseStatus"] == REST_SUCCESS
    assert await ids_of(node, name) == []


async def test_nothing_is_registered_by_its_key(node: NodeProcess, name: str) -> None:
    fails_with(await rest(node, "registry/register", keys(name)), "bad-request")


async def test_the_rpc_api_knows_no_keys(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    fails_with(await post(node, "/artemis/api/registry/unregister.json", keys(name)), "bad-request")
    assert await ids_of(node, name) == ["i1"]


# Rows 4 to 9: what discovery falls back to, and what it holds


async def test_region_and_zone_fall_back_to_the_config_and_then_to_the_node(shared_node: StartNode, name: str) -> None:
    node = shared_node(STRICT)
    await register(node, instance(name))

    async def code(**more: Any) -> str:
        answer = await rest(node, "discovery/service", more)
        return str(answer["responseStatus"]["errorCode"])

    here, elsewhere = {"regionId": REGION, "zoneId": ZONE}, {"regionId": "other", "zoneId": "other"}
    assert await code(discoveryConfig={"serviceId": name}) == "success"
    assert await code(discoveryConfig={"serviceId": name, **here}) == "success"
    assert await code(discoveryConfig={"serviceId": name, **elsewhere}) == "bad-request"
    assert await code(discoveryConfig={"serviceId": name, **elsewhere}, **here) == "success"
    assert await code(discoveryConfig={"serviceId": name, **here}, **elsewhere) == "bad-request"


async def test_a_question_by_query_names_the_parameter_that_is_missing(node: NodeProcess) -> None:
    answer = await ask(node, "GET", f"{REST}/discovery/service?regionId={REGION}")
    assert answer.status == 400
    assert "serviceId" in answer.message


async def test_discovery_holds_instances_that_are_up_only(node: NodeProcess, name: str) -> None:
    statuses = {"i1": "up", "i2": "UP", "i3": "", "i4": None, "i5": "down", "i6": "starting", "i7": "unhealthy"}
    await register(node, *(instance(name, one, status=status) for one, status in statuses.items()))
    (service,) = (await rest(node, "discovery/lookup", configs(name)))["services"]
    usable = ["i1", "i2", "i3", "i4"]
    assert sorted(found["instanceId"] for found in service["instances"]) == usable
    services = (await rest(node, "discovery/services", {}))["services"]
    (bulk,) = [found for found in services if found["serviceId"] == name]
    assert sorted(found["instanceId"] for found in bulk["instances"]) == usable
    assert await ids_of(node, name) == sorted(statuses)  # the RPC API never interprets a status


async def test_a_real_delta_is_answered(node: NodeProcess, name: str) -> None:
    version = (await rest(node, "discovery/services", {}))["version"]
    await register(node, instance(name))
    answer = await rest(node, "discovery/services-delta", {"version": version})
    change = {"changeTime": EPOCH_MS, "changeType": "new", "instance": instance(name)}
    expected = {"delta": Including({name: [change]}), "version": Whole(version + 1), "responseStatus": REST_SUCCESS}
    assert answer == expected


async def test_a_bulk_question_never_leaks_what_was_pulled_out(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b"))
    operation = {"operation": "pull-out", "operatorId": "op", "token": "", "operationComplete": False}
    key = key_of(instance(name, "a"))
    await post(node, "/api/management/operate-instance.json", {"instanceKey": key, **operation})
    for services in (
        (await rest(node, "discovery/services", {}))["services"],
        (await get(node, f"{REST}/discovery/services"))["services"],
    ):
        (found,) = [service for service in services if service["serviceId"] == name]
        assert found["instances"] == [instance(name, "b")]


# Row 9: one instance


async def pick(node: NodeProcess, service: str, strategy: str | None, times: int) -> list[str]:
    body = {**config(service), "strategy": strategy}
    picks = []
    for _ in range(times):
        answer = await rest(node, "discovery/lookup", body)
        assert answer["success"] is True
        picks.append(answer["instance"]["instanceId"])
    return picks


async def test_round_robin_takes_one_after_the_other(node: NodeProcess, name: str) -> None:
    await register(node, *(instance(name, f"i{number}") for number in range(3)))
    picks = await pick(node, name, "round-robin", 9)
    assert sorted(picks[:3]) == ["i0", "i1", "i2"]
    assert picks == picks[:3] * 3


@pytest.mark.parametrize("strategy", [None, "random", "Random", "weighted"])
async def test_every_instance_has_its_chance(node: NodeProcess, name: str, strategy: str | None) -> None:
    await register(node, *(instance(name, f"i{number}") for number in range(3)))
    assert set(await pick(node, name, strategy, 60)) == {"i0", "i1", "i2"}


async def test_weights_decide_how_often_one_is_taken(node: NodeProcess, name: str) -> None:
    for one_id, weight in (("never", "0"), ("seldom", "10"), ("often", "90")):
        await register(node, instance(name, one_id, metadata={"weight": weight}))
    counts = Counter(await pick(node, name, "weighted", 200))
    assert counts["never"] == 0
    assert math.isclose(counts["often"] / 200, 0.9, abs_tol=0.12)


async def test_none_to_take_is_404(node: NodeProcess, name: str) -> None:
    answer = await ask(node, "POST", f"{REST}/discovery/lookup", encoded(config(name)))
    assert answer.status == 404
    assert answer.json == {"success": False, "message": Text(f".*{name}.*")}


async def test_an_unknown_strategy_is_400_and_told_the_known_ones(node: NodeProcess, name: str) -> None:
    answer = await ask(node, "POST", f"{REST}/discovery/lookup", encoded({**config(name), "strategy": "best"}))
    assert answer.status == 400
    assert all(known in answer.message for known in ("random", "round-robin", "weighted"))


async def test_the_rpc_api_takes_no_single_form(node: NodeProcess, name: str) -> None:
    answer = await post(node, "/artemis/api/discovery/lookup.json", place(**config(name)))
    fails_with(answer, "bad-request")


async def test_an_instance_that_is_down_is_never_taken(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b", status="down"))
    assert set(await pick(node, name, "round-robin", 4)) == {"a"}


# A node that does not serve


async def test_a_node_that_does_not_serve_says_so_in_every_form(shared_node: StartNode, name: str) -> None:
    node = shared_node(FORCED_DOWN)
    for call, body in (
        ("registry/register", instances(name)),
        ("registry/heartbeat", keys(name)),
        ("discovery/service", config(name)),
        ("discovery/lookup", configs(name)),
        ("discovery/services", {}),
    ):
        fails_with(await rest(node, call, body), "service-unavailable")
    answer = await ask(node, "POST", f"{REST}/discovery/lookup", encoded(config(name)))
    assert answer.status == 503
    assert answer.header("retry-after")
    assert "down" in answer.message


async def test_what_one_api_writes_the_other_shows(node: NodeProcess, name: str) -> None:
    await rest(node, "registry/register", instances(name))
    assert await instances_of(node, name) == [instance(name)]
    await post(node, "/artemis/api/registry/unregister.json", instances(name))
    (service,) = (await rest(node, "discovery/lookup", configs(name)))["services"]
    assert service["instances"] == []
