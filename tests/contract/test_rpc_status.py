"""Cluster and status questions: sections 1.7 and 1.8 of the RPC API, rule by rule."""

import re
from datetime import datetime
from typing import Any

import pytest

from .building import SUCCESS, fails_with, instance, register
from .conftest import StartNode
from .flavours import BUSY, FORCED_DOWN, GUARDED, SECRET, STRICT
from .matching import LOCAL_TIME, Including
from .nodes import NodeProcess
from .sockets import ALL_CHANGES, CHANGES, HEARTBEAT, WATCH, websocket
from .waiting import eventually
from .wire import RPC, ask, get, rpc

NODE_CALLS = ("up-registry-nodes", "up-discovery-nodes")


# Nodes


@pytest.mark.parametrize("call", NODE_CALLS)
@pytest.mark.parametrize("asked", [{}, {"regionId": "other"}, {"regionId": None, "zoneId": "zone9"}])
async def test_a_node_that_serves_other_zones_is_named_to_everybody(
    node: NodeProcess, call: str, asked: dict[str, Any]
) -> None:
    (found,) = (await rpc(node, f"cluster/{call}", asked))["nodes"]
    assert found["url"] == node.url


@pytest.mark.parametrize("call", NODE_CALLS)
@pytest.mark.parametrize(
    ("asked", "is_named"),
    [
        ({"regionId": "lab", "zoneId": "zone1"}, True),
        ({"regionId": "lab", "zoneId": "zone2"}, False),
        ({"regionId": "other", "zoneId": "zone1"}, False),
        ({"regionId": "LAB", "zoneId": "zone1"}, False),
        ({"regionId": "lab", "zoneId": "Zone1"}, False),
        ({}, False),
    ],
)
async def test_a_node_for_its_own_zone_is_named_to_that_zone_only(
    shared_node: StartNode, call: str, asked: dict[str, Any], is_named: bool
) -> None:
    """Exact case, as the original has it: the client takes its zone from the same configuration."""
    node = shared_node(STRICT)
    by_body = await rpc(node, f"cluster/{call}", asked)
    by_query = await get(node, f"{RPC}/cluster/{call}.json?" + "&".join(f"{key}={asked[key]}" for key in asked))
    assert by_body == by_query
    if is_named:
        assert [found["url"] for found in by_body["nodes"]] == [node.url]
    else:
        fails_with(by_body, "data-not-found")
        assert by_body["nodes"] is None


@pytest.mark.parametrize("call", NODE_CALLS)
async def test_a_node_that_serves_nobody_is_not_named(shared_node: StartNode, call: str) -> None:
    answer = await rpc(shared_node(FORCED_DOWN), f"cluster/{call}", {})
    fails_with(answer, "data-not-found")
    assert answer["nodes"] is None


async def test_a_constant_of_the_original_that_maps_to_nothing_maps_to_nothing(node: NodeProcess) -> None:
    assert (await ask(node, "POST", f"{RPC}/cluster/nodes.json", b"{}")).status == 404


# Status


async def test_a_node_that_is_down_says_so_to_its_peers(shared_node: StartNode) -> None:
    node = shared_node(FORCED_DOWN)
    status = (await rpc(node, "status/node", {}))["nodeStatus"]
    assert status == Including({"status": "down", "canServiceRegistry": False, "canServiceDiscovery": False})
    assert (await rpc(node, "status/cluster", {}))["nodesStatus"] == [status]


async def test_what_a_node_allows_is_in_its_status(shared_node: StartNode) -> None:
    status = (await rpc(shared_node(STRICT), "status/node", {}))["nodeStatus"]
    refused = {"allowRegistryFromOtherZone": False, "allowDiscoveryFromOtherZone": False}
    assert status == Including({**refused, "status": "up"})


async def test_the_leases_of_all_services_are_there_unless_some_are_asked_for(node: NodeProcess, name: str) -> None:
    services = [f"{name}.{letter}" for letter in "abc"]
    await register(node, *(instance(service) for service in services))
    everything = (await rpc(node, "status/leases", {}))["leases"]
    assert set(services) <= set(everything)
    some = (await rpc(node, "status/leases", {"serviceIds": services[:2]}))["leases"]
    assert sorted(some) == services[:2]


async def test_services_are_named_in_a_query_one_by_one_or_as_a_list(node: NodeProcess, name: str) -> None:
    services = [f"{name}.{letter}" for letter in "abc"]
    await register(node, *(instance(service) for service in services))
    for query in (f"appIds={services[0]}&appIds={services[1]}", f"appIds={services[0]},{services[1]}"):
        answer = await get(node, f"{RPC}/status/leases.json?{query}")
        assert sorted(answer["leases"]) == services[:2]


async def test_a_lease_has_the_fields_and_the_spelling_of_the_original(node: NodeProcess, name: str) -> None:
    await register(node, instance(name.title(), "I1", groupId="G1"))
    answer = await rpc(node, "status/leases", {"serviceIds": [name]})
    ((service, (lease,)),) = answer["leases"].items()
    assert service == name.title()
    assert lease["instance"] == f"lab/zone1/{name}/g1/i1"
    assert lease["evitionTime"] == "1970-01-01 00:00:00.000"
    for field in ("creationTime", "renewalTime"):
        assert lease[field] == LOCAL_TIME
        age = datetime.now() - datetime.strptime(lease[field], "%Y-%m-%d %H:%M:%S.%f")
        assert -1 < age.total_seconds() < 60


async def test_a_heartbeat_moves_the_renewal_and_not_the_creation(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))

    async def lease() -> dict[str, str]:
        ((found,),) = (await rpc(node, "status/leases", {"serviceIds": [name]}))["leases"].values()
        assert isinstance(found, dict)
        return found

    before = await lease()

    async def is_renewed() -> bool:
        await rpc(node, "registry/heartbeat", {"instances": [instance(name)]})
        return (await lease())["renewalTime"] > before["renewalTime"]

    await eventually(is_renewed)
    assert (await lease())["creationTime"] == before["creationTime"]


async def test_the_configuration_is_shown_with_the_source_of_each_value_and_without_secrets(
    shared_node: StartNode,
) -> None:
    answer = await rpc(shared_node(GUARDED), "status/config", {})
    properties = answer["properties"]
    assert re.fullmatch(r"debug \(file .*artemis\.toml\)", properties["logging.level"])
    assert properties["registry.legacy_ttl_s"] == "90 (default)"
    assert properties["cluster.secret"].startswith("***")
    assert SECRET not in str(answer)


async def test_the_status_of_the_node_itself_is_never_limited(shared_node: StartNode) -> None:
    node = shared_node(BUSY)
    for _ in range(20):
        assert (await get(node, f"{RPC}/status/node.json"))["responseStatus"] == SUCCESS
        assert (await rpc(node, "status/node", {}))["responseStatus"] == SUCCESS


async def test_web_sockets_are_counted_as_texts_and_the_stream_of_all_services_is_not(node: NodeProcess) -> None:
    async def counts() -> tuple[int, int]:
        answer = await get(node, f"{RPC}/status/websocket/connection.json")
        assert set(answer) == {"registry", "discovery"}
        assert all(isinstance(text, str) for text in answer.values())
        return int(answer["registry"]), int(answer["discovery"])

    async def are(registry: int, discovery: int) -> bool:
        return await counts() == (registry, discovery)

    await eventually(lambda: are(0, 0))
    async with (
        websocket(node, HEARTBEAT),
        websocket(node, CHANGES),
        websocket(node, CHANGES),
        websocket(node, ALL_CHANGES),
        websocket(node, WATCH),
    ):
        await eventually(lambda: are(1, 2))
    await eventually(lambda: are(0, 0))


@pytest.mark.parametrize("call", ["node", "cluster", "leases", "legacy-leases", "config", "deployment"])
async def test_a_status_may_be_asked_for_with_an_empty_object(node: NodeProcess, call: str) -> None:
    assert (await rpc(node, f"status/{call}", {}))["responseStatus"] == SUCCESS
