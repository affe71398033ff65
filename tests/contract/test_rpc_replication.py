"""The replication endpoints, as nodes of the original system use them: section 1.5 of the RPC API."""

from typing import Any

import pytest

from artemis.cluster.processes import free_ports

from .building import PARTIAL, SUCCESS, fails_with, ids_of, instance, instances_of, place, register
from .conftest import StartNode
from .flavours import FORCED_DOWN, GUARDED, SECRET, STRICT
from .matching import Containing, Including
from .nodes import REGION, NodeProcess
from .wire import REST, RPC, ask, encoded, get, post, rpc

CALLS = ("register", "heartbeat", "unregister")


async def replicate(node: NodeProcess, call: str, *instances: dict[str, Any] | None) -> dict[str, Any]:
    answer = await rpc(node, f"replication/registry/{call}", {"instances": list(instances)})
    assert isinstance(answer, dict)
    return answer


async def test_a_replicated_register_is_found(node: NodeProcess, name: str) -> None:
    assert (await replicate(node, "register", instance(name)))["responseStatus"] == SUCCESS
    assert await instances_of(node, name) == [instance(name)]


async def test_a_replicated_heartbeat_of_an_unknown_lease_registers_it(node: NodeProcess, name: str) -> None:
    answer = await replicate(node, "heartbeat", instance(name))
    assert answer == {"failedInstances": None, "responseStatus": SUCCESS}
    assert await instances_of(node, name) == [instance(name)]


async def test_a_replicated_heartbeat_never_changes_what_is_known(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    await replicate(node, "heartbeat", instance(name, url="http://elsewhere/"))
    assert await instances_of(node, name) == [instance(name)]


async def test_a_replicated_unregister_removes(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    assert (await replicate(node, "unregister", instance(name)))["responseStatus"] == SUCCESS
    assert await ids_of(node, name) == []
    assert (await replicate(node, "unregister", instance(name)))["responseStatus"] == SUCCESS


@pytest.mark.parametrize("call", CALLS)
async def test_nothing_to_replicate_is_a_bad_request(node: NodeProcess, call: str) -> None:
    fails_with(await replicate(node, call), "bad-request")


@pytest.mark.parametrize("call", CALLS)
async def test_the_region_is_checked(node: NodeProcess, name: str, call: str) -> None:
    answer = await replicate(node, call, instance(name, "a", regionId="other"), instance(name, "b"))
    assert answer["responseStatus"] == PARTIAL
    (failed,) = answer["failedInstances"]
    assert failed["errorCode"] == "no-permission"
    assert failed["instance"] == instance(name, "a", regionId="other")


@pytest.mark.parametrize("call", CALLS)
async def test_the_zone_is_not_checked(shared_node: StartNode, name: str, call: str) -> None:
    answer = await replicate(shared_node(STRICT), call, instance(name, zoneId="zone9"))
    assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize("call", CALLS)
async def test_the_state_of_the_node_is_not_checked(shared_node: StartNode, name: str, call: str) -> None:
    answer = await replicate(shared_node(FORCED_DOWN), call, instance(name))
    assert answer["responseStatus"] == SUCCESS


async def test_a_dump_holds_what_a_node_that_serves_nobody_knows(shared_node: StartNode, name: str) -> None:
    node = shared_node(FORCED_DOWN)
    await replicate(node, "register", instance(name))
    dump = await rpc(node, "replication/registry/services", place())
    assert dump["services"] == Containing(Including({"serviceId": name, "instances": [instance(name)]}))


async def test_a_dump_is_for_this_region(node: NodeProcess) -> None:
    answer = await rpc(node, "replication/registry/services", {"regionId": "other", "zoneId": "zone1"})
    fails_with(answer, "no-permission")
    assert answer["services"] is None


async def test_a_dump_asked_for_by_query_needs_the_region_only(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    path = f"{RPC}/replication/registry/services.json"
    assert (await ask(node, "GET", path)).status == 400
    assert (await get(node, f"{path}?regionId={REGION}&zoneId=zone9"))["responseStatus"] == SUCCESS


async def test_a_dump_of_an_empty_registry_is_an_empty_list(shared_node: StartNode) -> None:
    """With no service at all, so on a node to which nobody registers."""
    node = shared_node(GUARDED)
    path = f"{RPC}/replication/registry/services.json?regionId={REGION}"
    answer = await ask(node, "GET", path, x_artemis_secret=SECRET)
    assert answer.json == {"services": [], "responseStatus": SUCCESS}


async def test_instances_that_were_pulled_out_are_dumped_all_the_same(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b"))
    operation = {"operation": "pull-out", "operatorId": "op", "token": "", "operationComplete": False}
    key = {"regionId": REGION, "serviceId": name, "instanceId": "a"}
    body = encoded({"instanceKey": key, **operation})
    assert (await ask(node, "POST", "/api/management/operate-instance.json", body)).status == 200
    assert await ids_of(node, name) == ["b"]
    dump = await rpc(node, "replication/registry/services", place())
    (service,) = [one for one in dump["services"] if one["serviceId"] == name]
    assert sorted(one["instanceId"] for one in service["instances"]) == ["a", "b"]
    assert (service["logicInstances"], service["routeRules"], service["metadata"]) == (None, None, None)


@pytest.mark.parametrize("prefix", [RPC, REST])
@pytest.mark.parametrize("call", [*CALLS, "services"])
async def test_strangers_may_not_replicate(shared_node: StartNode, name: str, prefix: str, call: str) -> None:
    """The original lets everybody; a secret, or an address in the list of nodes, is what makes a peer here."""
    node = shared_node(GUARDED)
    body = encoded({"instances": [instance(name, regionId="other")], "regionId": REGION})
    path = f"{prefix}/replication/registry/{call}.json"
    for headers in ({}, {"x_artemis_secret": "a guess"}):
        refused = await ask(node, "POST", path, body, **headers)
        assert refused.status == 403
        assert "secret" in refused.message
    assert (await ask(node, "POST", path, body, x_artemis_secret=SECRET)).status == 200


async def test_behind_a_proxy_a_stranger_has_not_the_address_of_a_node(node: NodeProcess, name: str) -> None:
    body = encoded({"instances": [instance(name)]})
    path = f"{RPC}/replication/registry/register.json"
    assert (await ask(node, "POST", path, body)).status == 200
    assert (await ask(node, "POST", path, body, x_forwarded_for="192.0.2.7")).status == 403


@pytest.mark.parametrize(("dialect", "status"), [("link", 403), ("rpc", 200)])
async def test_where_there_is_a_secret_only_nodes_that_cannot_send_it_replicate_without(
    start_node: StartNode, name: str, dialect: str, status: int
) -> None:
    """To be at the address of a listed node is proof enough for nodes of the original system only."""
    listed = "http://127.0.0.1:9"
    (port,) = free_ports(1)
    nodes = {"zone1": [f"http://127.0.0.1:{port}", listed]}
    cluster = {"secret": SECRET, "nodes": nodes, "dialects": {listed: dialect}}
    node = start_node({"node": {"port": port}, "cluster": cluster})
    body = encoded({"instances": [instance(name)]})
    answer = await ask(node, "POST", f"{RPC}/replication/registry/register.json", body)
    assert answer.status == status
    assert await ids_of(node, name) == (["i1"] if status == 200 else [])


async def test_what_another_node_took_is_not_refused_for_its_size(node: NodeProcess, name: str) -> None:
    large = instance(
        name, url="http://x/" + "u" * 5_000, metadata={f"k{number}": "v" for number in range(70)}, machineName="m" * 500
    )
    for prefix in (RPC, REST):
        answer = await post(node, f"{prefix}/registry/register.json", {"instances": [large]})
        assert answer["failedInstances"][0]["errorCode"] == "bad-request", "clients are held to the narrow limits"
    for call in ("register", "heartbeat"):
        assert (await replicate(node, call, large))["responseStatus"] == SUCCESS
    assert await instances_of(node, name) == [large]


async def test_what_no_node_can_have_taken_is_refused_counted_and_told_seldom(start_node: StartNode, name: str) -> None:
    node = start_node({})
    monsters = [instance(name, f"i{number}", metadata={"k": "v" * 600_000}) for number in range(3)]
    for monster in monsters:
        answer = await replicate(node, "register", monster, instance(name, "good"))
        assert [failed["errorCode"] for failed in answer["failedInstances"]] == ["bad-request"]
    await replicate(node, "heartbeat", instance(name, regionId="other"))
    assert await ids_of(node, name) == ["good"]
    metrics = (await ask(node, "GET", "/metrics")).body.decode()
    for code, count in (("bad-request", 3.0), ("no-permission", 1.0)):
        (line,) = [line for line in metrics.splitlines() if "replication_refused_total{" in line and code in line]
        assert line.endswith(f" {count}")
    said = [event["message"] for event in node.events() if "replicates were refused" in event["message"]]
    assert len(said) == 1, "once in ten seconds"
    assert said[0].startswith("1 instances that 127.0.0.1 replicates were refused; the last is ")
    assert "600001 bytes" in said[0]
