"""Every HTTP row of the RPC API's table, 1 to 31: the path, the method, and an answer that was not made up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from .building import INSTANCE_FIELDS, SUCCESS, instance, place, register
from .matching import COUNT_AS_TEXT, EPOCH_MS, LOCAL_TIME, NEVER, Containing, Including, Text, Whole
from .nodes import LEASE_S, REGION, ZONE, NodeProcess
from .wire import RPC, ask, get, post, rpc


@dataclass(frozen=True)
class Situation:
    """A node with one instance, i1, of one service; `version` is from before it was registered."""

    node: NodeProcess
    service: str
    version: int


class Row(NamedTuple):
    """`ask` makes the body of a POST, or the query of a GET."""

    number: int
    method: str
    path: str
    ask: Callable[[Situation], Any]
    answer: Callable[[Situation], Any]


def instances(it: Situation) -> dict[str, Any]:
    return {"instances": [instance(it.service)]}


def nothing(it: Situation) -> dict[str, Any]:
    return {}


def no_query(it: Situation) -> str:
    return ""


def here(it: Situation) -> dict[str, Any]:
    return place()


def all_done(it: Situation) -> dict[str, Any]:
    return {"failedInstances": None, "responseStatus": SUCCESS}


def service_of(it: Situation) -> dict[str, Any]:
    return {
        "instances": [instance(it.service)],
        "logicInstances": [],
        "metadata": None,
        "routeRules": [],
        "serviceId": it.service,
    }


def raw_services(it: Situation) -> dict[str, Any]:
    return {
        "services": Containing({**service_of(it), "logicInstances": None, "routeRules": None}),
        "responseStatus": SUCCESS,
    }


def one_service(it: Situation) -> dict[str, Any]:
    return {"service": service_of(it), "responseStatus": SUCCESS}


def all_services(it: Situation) -> dict[str, Any]:
    return {"services": Containing(service_of(it)), "version": EPOCH_MS, "responseStatus": SUCCESS}


def what_is_new(it: Situation) -> dict[str, Any]:
    change = {"changeTime": EPOCH_MS, "changeType": "new", "instance": instance(it.service)}
    return {"delta": Including({it.service: [change]}), "version": Whole(it.version + 1), "responseStatus": SUCCESS}


def this_node(it: Situation) -> dict[str, Any]:
    return {"url": it.node.url, "zone": {"metadata": None, "regionId": REGION, "zoneId": ZONE}}


def nodes(it: Situation) -> dict[str, Any]:
    return {"nodes": [this_node(it)], "responseStatus": SUCCESS}


def status_of(it: Situation) -> dict[str, Any]:
    return {
        "allowDiscoveryFromOtherZone": True,
        "allowRegistryFromOtherZone": True,
        "canServiceDiscovery": True,
        "canServiceRegistry": True,
        "node": this_node(it),
        "status": "up",
    }


def node_status(it: Situation) -> dict[str, Any]:
    return {"nodeStatus": status_of(it), "responseStatus": SUCCESS}


def cluster_status(it: Situation) -> dict[str, Any]:
    return Including({"nodeCount": 1, "nodesStatus": [status_of(it)], "responseStatus": SUCCESS})


def leases(it: Situation) -> dict[str, Any]:
    lease = {
        "instance": f"{REGION}/{ZONE}/{it.service}/i1",
        "creationTime": LOCAL_TIME,
        "renewalTime": LOCAL_TIME,
        "evitionTime": NEVER,
        "ttl": LEASE_S * 1000,
    }
    return Including(
        {
            "isSafe": True,
            "isSafeCheckEnabled": True,
            "leaseCount": Whole(1),
            "leaseUpdateCountLastTimeWindow": Whole(),
            "leaseUpdateMaxCount": Whole(),
            "leaseUpdateMaxCountLastUpdateTime": EPOCH_MS,
            "leases": {it.service: [Including(lease)]},
            "responseStatus": SUCCESS,
        }
    )


def no_leases(it: Situation) -> dict[str, Any]:
    return Including({"isSafe": True, "leaseCount": Whole(), "leases": {}, "responseStatus": SUCCESS})


def configuration(it: Situation) -> dict[str, Any]:
    properties = Including({"node.region": Text(r"lab \(.*artemis\.toml\)"), "registry.legacy_ttl_s": "90 (default)"})
    return {"sources": Including({}), "properties": properties, "responseStatus": SUCCESS}


def deployment(it: Situation) -> dict[str, Any]:
    return {
        "regionId": REGION,
        "zoneId": ZONE,
        "appId": Text(),
        "machineName": Text(".+"),
        "ip": it.node.host,
        "port": it.node.port,
        "protocol": "http",
        "path": None,
        "sources": Including({}),
        "properties": Including({}),
        "responseStatus": SUCCESS,
    }


def connections(it: Situation) -> dict[str, Any]:
    return {"registry": COUNT_AS_TEXT, "discovery": COUNT_AS_TEXT}


def lookup_body(it: Situation) -> dict[str, Any]:
    return place(discoveryConfigs=[{"serviceId": it.service, "regionId": None, "zoneId": None, "discoveryData": None}])


def lookup_answer(it: Situation) -> dict[str, Any]:
    return {"services": [service_of(it)], "responseStatus": SUCCESS}


def service_body(it: Situation) -> dict[str, Any]:
    return place(discoveryConfig={"serviceId": it.service})


def service_query(it: Situation) -> str:
    return f"?serviceId={it.service}&regionId={REGION}&zoneId={ZONE}"


def region_query(it: Situation) -> str:
    return f"?regionId={REGION}"


def delta_body(it: Situation) -> dict[str, Any]:
    return place(version=it.version)


def leases_body(it: Situation) -> dict[str, Any]:
    return {"serviceIds": [it.service]}


def leases_query(it: Situation) -> str:
    return f"?appIds={it.service}"


ROWS = (
    Row(1, "POST", "registry/register", instances, all_done),
    Row(2, "POST", "registry/heartbeat", instances, all_done),
    Row(3, "POST", "registry/unregister", instances, all_done),
    Row(4, "POST", "replication/registry/register", instances, all_done),
    Row(5, "POST", "replication/registry/heartbeat", instances, all_done),
    Row(6, "POST", "replication/registry/unregister", instances, all_done),
    Row(7, "POST", "replication/registry/services", here, raw_services),
    Row(8, "GET", "replication/registry/services", region_query, raw_services),
    Row(9, "POST", "discovery/lookup", lookup_body, lookup_answer),
    Row(10, "POST", "discovery/service", service_body, one_service),
    Row(11, "GET", "discovery/service", service_query, one_service),
    Row(12, "POST", "discovery/services", nothing, all_services),
    Row(13, "GET", "discovery/services", no_query, all_services),
    Row(14, "POST", "discovery/services-delta", delta_body, what_is_new),
    Row(15, "POST", "cluster/up-registry-nodes", here, nodes),
    Row(16, "GET", "cluster/up-registry-nodes", no_query, nodes),
    Row(17, "POST", "cluster/up-discovery-nodes", nothing, nodes),
    Row(18, "GET", "cluster/up-discovery-nodes", region_query, nodes),
    Row(19, "POST", "status/node", nothing, node_status),
    Row(20, "GET", "status/node", no_query, node_status),
    Row(21, "POST", "status/cluster", nothing, cluster_status),
    Row(22, "GET", "status/cluster", no_query, cluster_status),
    Row(23, "POST", "status/leases", leases_body, leases),
    Row(24, "GET", "status/leases", leases_query, leases),
    Row(25, "POST", "status/legacy-leases", leases_body, no_leases),
    Row(26, "GET", "status/legacy-leases", leases_query, no_leases),
    Row(27, "POST", "status/config", nothing, configuration),
    Row(28, "GET", "status/config", no_query, configuration),
    Row(29, "POST", "status/deployment", nothing, deployment),
    Row(30, "GET", "status/deployment", no_query, deployment),
    Row(31, "GET", "status/websocket/connection", no_query, connections),
)


def name_of(row: Row) -> str:
    return f"{row.number} {row.method} {row.path}"


@pytest.fixture
async def situation(node: NodeProcess, name: str) -> Situation:
    version = (await get(node, f"{RPC}/discovery/services.json"))["version"]
    await register(node, instance(name))
    return Situation(node, name, version)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
async def test_a_row_answers_as_the_contract_has_it(situation: Situation, row: Row) -> None:
    path = f"{RPC}/{row.path}.json"
    if row.method == "POST":
        answer = await post(situation.node, path, row.ask(situation))
    else:
        answer = await get(situation.node, path + row.ask(situation))
    assert answer == row.answer(situation)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
async def test_a_row_answers_nothing_without_its_suffix_or_in_another_case(situation: Situation, row: Row) -> None:
    """`/artemis/api` is exactly what the original serves; only `/api` is lenient."""
    body = b"{}" if row.method == "POST" else None
    for path in (f"{RPC}/{row.path}", f"{RPC}/{row.path.upper()}.json", f"{RPC}/{row.path}.xml"):
        assert (await ask(situation.node, row.method, path, body)).status == 404


async def test_answers_carry_every_field_of_an_instance_nulls_included(node: NodeProcess, name: str) -> None:
    await register(node, {"regionId": REGION, "serviceId": name, "instanceId": "i1", "url": "u"})
    body = place(discoveryConfigs=[{"serviceId": name}])
    (found,) = (await rpc(node, "discovery/lookup", body))["services"][0]["instances"]
    assert tuple(sorted(found)) == INSTANCE_FIELDS


async def test_fields_of_an_answer_are_sorted(node: NodeProcess, name: str) -> None:
    """Clients do not depend on it; whoever compares captured answers does."""
    await register(node, instance(name))
    service = (await rpc(node, "discovery/lookup", place(discoveryConfigs=[{"serviceId": name}])))["services"][0]
    for found in (service, service["instances"][0], (await get(node, f"{RPC}/status/node.json"))["nodeStatus"]):
        assert list(found) == sorted(found)


def test_the_table_is_complete() -> None:
    assert [row.number for row in ROWS] == list(range(1, 32))
