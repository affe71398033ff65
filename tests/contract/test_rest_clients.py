"""What clients of the REST API rely on: each answer is decoded strictly, as their SDK does, and its shapes must fit."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

import msgspec
import pytest

from artemis.cluster.processes import free_ports

from .building import PARTIAL, SUCCESS, instance, register
from .conftest import StartNode
from .flavours import BUSY, FORCED_DOWN
from .nodes import REGION, ZONE, NodeProcess
from .sockets import WATCH, watching, websocket
from .wire import REST, ask, encoded, rpc

M = TypeVar("M", bound=msgspec.Struct)


class Status(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    error_code: Literal["success", "bad-request", "service-unavailable", "rate-limited", "internal-error"]
    error_message: str
    message: str
    status: Literal["success", "fail", "partial_fail"]


class Answer(msgspec.Struct, rename="camel"):
    response_status: Status


class Both(msgspec.Struct, rename="camel"):
    status: Status
    response_status: dict[str, str]


class Key(msgspec.Struct, rename="camel"):
    region_id: str
    zone_id: str
    service_id: str
    group_id: str
    instance_id: str


class FailedKey(Key, forbid_unknown_fields=True):
    error_code: str
    error_message: str


class FailedInstance(FailedKey, forbid_unknown_fields=False):
    machine_name: str
    ip: str
    port: int
    protocol: str
    url: str
    health_check_url: str
    status: str
    metadata: dict[str, str]


class Written(Answer):
    failed_instances: list[FailedInstance] | None = None
    failed_instance_keys: list[FailedKey] | None = None


class Found(msgspec.Struct, rename="camel"):
    service_id: str
    instances: list[msgspec.Raw]


class OneService(Answer):
    service: Found | msgspec.UnsetType | None = msgspec.UNSET


class Node(msgspec.Struct, rename="camel"):
    node_id: str
    url: str
    region_id: str
    zone_id: str


class NodeStatus(msgspec.Struct, rename="camel"):
    node_id: str
    node: Node
    status: Literal["starting", "up", "down", "unknown"]


class Nodes(Answer):
    nodes_status: list[NodeStatus]


class OneNode(Answer):
    node_status: NodeStatus


class Change(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    change_type: Literal["new", "change", "delete", "reload"]
    change_time: datetime
    change_time_ms: int
    instance: msgspec.Raw


async def call(node: NodeProcess, path: str, body: object, kind: type[M]) -> M:
    """A POST of the SDK: no compression, the body in one piece."""
    answer = await ask(node, "POST", f"{REST}/{path}.json", encoded(body))
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body, type=kind)


def five_fields(service: str, instance_id: str = "i1", **more: Any) -> dict[str, Any]:
    """A key as the SDK sends it."""
    key = {"regionId": REGION, "zoneId": ZONE, "serviceId": service, "groupId": "default", "instanceId": instance_id}
    return key | more


# Codes

ALL_GOOD: Final = ("success", "success")
WHOLE: Final = ("fail", "bad-request")

CALLS: Final[dict[str, tuple[str, Any, tuple[str, str]]]] = {
    "registered": ("registry/register", {"instances": [instance("test.five")]}, ALL_GOOD),
    "a part fails": (
        "registry/register",
        {"instances": [instance("test.five"), instance("test.five", regionId="other")]},
        ("partial_fail", "bad-request"),
    ),
    "nothing to do": ("registry/heartbeat", {"instances": []}, WHOLE),
    "no config": ("discovery/service", {}, WHOLE),
    "an unknown service": ("discovery/service", {"discoveryConfig": {"serviceId": "test.nobody"}}, WHOLE),
    "another region": ("discovery/lookup", {"discoveryConfigs": [{"serviceId": "s"}], "regionId": "other"}, WHOLE),
    "no delta": ("discovery/services-delta", {"version": 1}, WHOLE),
    "a foreign peer": ("replication/registry/services", {"regionId": "other"}, WHOLE),
    "leases": ("status/leases", {}, ALL_GOOD),
    "configuration": ("status/config", {}, ALL_GOOD),
    "deployment": ("status/deployment", {}, ALL_GOOD),
    "nodes": ("cluster/up-discovery-nodes", {}, ALL_GOOD),
}


@pytest.mark.parametrize("case", CALLS)
async def test_every_answer_has_one_of_the_five_codes(node: NodeProcess, case: str) -> None:
    path, body, (status, code) = CALLS[case]
    told = (await call(node, path, body, Answer)).response_status
    assert (told.status, told.error_code) == (status, code)
    assert told.error_message == told.message
    assert bool(told.message) == (status == "fail")


async def test_paths_of_both_apis_answer_in_both_shapes(node: NodeProcess) -> None:
    for path in ("all-instance-operations", "all-server-operations"):
        answer = await call(node, f"management/{path}", {}, Both)
        assert answer.status.error_code == "success"
        assert answer.response_status == SUCCESS
    for path, code in (("services", "success"), ("service", "bad-request")):
        shared = await ask(node, "POST", f"{REST}/management/{path}.json", b"{}")
        assert shared.json["responseStatus"]["errorCode"] == code


async def test_a_node_that_does_not_serve_and_one_that_is_asked_too_often(
    shared_node: StartNode, start_node: StartNode
) -> None:
    config = {"discoveryConfig": {"serviceId": "s"}}
    for path, body in (("registry/heartbeat", {"instanceKeys": [five_fields("s")]}), ("discovery/service", config)):
        answer = await call(shared_node(FORCED_DOWN), path, body, Answer)
        assert answer.response_status.error_code == "service-unavailable"
    busy = start_node(BUSY)
    codes = [(await call(busy, "status/cluster", {}, Answer)).response_status.error_code for _ in range(4)]
    assert codes == ["success"] * 3 + ["rate-limited"]


# The registry


async def test_heartbeats_by_key_send_five_fields_and_failures_have_them_flat(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    known, unknown = five_fields(name, instanceId="I1"), five_fields(name, "unknown", groupId=None)
    answer = await call(node, "registry/heartbeat", {"instanceKeys": [known]}, Written)
    assert answer.response_status.error_code == "success"
    assert not answer.failed_instance_keys
    answer = await call(node, "registry/heartbeat", {"instanceKeys": [known, unknown]}, Written)
    (failed,) = answer.failed_instance_keys or []
    assert failed.error_code == "data-not-found"
    assert (failed.zone_id, failed.group_id, failed.instance_id) == (ZONE, "", "unknown")
    assert failed.error_message.startswith(f"{REGION}/{ZONE}/{name}/unknown: ")


@pytest.mark.parametrize("operation", ["register", "heartbeat", "unregister"])
async def test_what_an_instance_lacks_is_a_bad_request_and_the_rest_comes_back_flat(
    node: NodeProcess, name: str, operation: str
) -> None:
    for field in ("regionId", "serviceId", "instanceId", "url"):
        for lacking in (None, " "):
            broken = instance(name, metadata={"k": "v", "none": None}) | {field: lacking}
            answer = await call(node, f"registry/{operation}", {"instances": [broken]}, Written)
            (failed,) = answer.failed_instances or []
            assert failed.error_code == "bad-request"
            assert field in failed.error_message
            assert (failed.port, failed.group_id, failed.metadata) == (8090, "", {"k": "v", "none": ""})


@pytest.mark.parametrize("operation", ["heartbeat", "unregister"])
async def test_what_a_key_lacks_is_a_bad_request(node: NodeProcess, name: str, operation: str) -> None:
    for field in ("regionId", "serviceId", "instanceId"):
        key = five_fields(name) | {field: None}
        answer = await call(node, f"registry/{operation}", {"instanceKeys": [key]}, Written)
        (failed,) = answer.failed_instance_keys or []
        assert failed.error_code == "bad-request"
        assert field in failed.error_message


async def test_the_rpc_face_keeps_its_words(node: NodeProcess, name: str) -> None:
    foreign, blank = instance(name, regionId=None), instance(name, url=None)
    answer = await rpc(node, "registry/register", {"instances": [instance(name), foreign, blank]})
    assert answer["responseStatus"] == PARTIAL
    codes = [failed["errorCode"] for failed in answer["failedInstances"]]
    assert codes == ["no-permission", "internal-service-error"]
    assert [failed["instance"] for failed in answer["failedInstances"]] == [foreign, blank]
    assert set(answer["failedInstances"][0]) == {"errorCode", "errorMessage", "instance"}
    (node_status,) = (await rpc(node, "status/cluster", {}))["nodesStatus"]
    assert "nodeId" not in node_status
    config = {"discoveryConfig": {"serviceId": "test.nobody"}, "regionId": REGION, "zoneId": ZONE}
    answer = await rpc(node, "discovery/service", config)
    assert answer["responseStatus"] == SUCCESS
    assert answer["service"]["serviceId"] == "test.nobody"


# Discovery


async def test_an_unknown_service_is_named_and_there_is_none(node: NodeProcess, name: str) -> None:
    body = {"discoveryConfig": {"serviceId": name}, "regionId": REGION, "zoneId": ZONE}
    answer = await call(node, "discovery/service", body, OneService)
    assert answer.service is msgspec.UNSET
    assert name in answer.response_status.error_message
    byquery = await ask(node, "GET", f"{REST}/discovery/service.json?serviceId={name}")
    assert msgspec.json.decode(byquery.body, type=OneService) == answer


async def test_a_service_of_which_everything_is_pulled_out_is_known(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, status="down"))
    answer = await call(node, "discovery/service", {"discoveryConfig": {"serviceId": name}}, OneService)
    assert answer.response_status.error_code == "success"
    assert isinstance(answer.service, Found)
    assert answer.service.instances == []


# The cluster


async def test_nodes_have_an_id_and_a_place(node: NodeProcess) -> None:
    (found,) = (await call(node, "status/cluster", {}, Nodes)).nodes_status
    assert found.node_id == found.node.node_id
    assert found.node.url.endswith(found.node_id)
    assert (found.node.region_id, found.node.zone_id, found.status) == (REGION, ZONE, "up")
    assert (await call(node, "status/node", {}, OneNode)).node_status == found


async def test_a_configured_peer_that_was_never_heard_of_has_an_id_too(start_node: StartNode) -> None:
    (port,) = free_ports(1)
    nodes = {ZONE: [f"http://127.0.0.1:{port}", "http://127.0.0.1:1"]}
    answer = await call(start_node({"node": {"port": port}, "cluster": {"nodes": nodes}}), "status/cluster", {}, Nodes)
    assert {"127.0.0.1:1"} < {found.node_id for found in answer.nodes_status}


# Pushes


async def test_times_of_changes_are_texts_with_milliseconds(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        revision = (await watching(session, name))["revision"]
        await register(node, instance(name, "i2"))
        pushed = await session.receive()
    async with websocket(node, WATCH) as session:
        missed = await session.ask({"type": "subscribe", "serviceId": name, "since": revision})
    assert missed["changes"] == missed["missed"][0]["changes"] == pushed["changes"]
    (change,) = pushed["changes"]
    assert len(change["changeTime"]) == len("2026-11-22T03:58:55.170Z")
    assert change["changeTime"].endswith("Z")
    decoded = msgspec.json.decode(encoded(change), type=Change)
    assert decoded.change_time.utcoffset() == timedelta(0)
    assert round(decoded.change_time.timestamp() * 1000) == decoded.change_time_ms


# Requests without a body

OPTIONAL: Final = (
    *("status/cluster", "status/node", "status/leases", "status/config", "discovery/services"),
    *("cluster/up-registry-nodes", "management/services", "management/all-server-operations"),
    *("management/log/instance-operation-logs", "management/log/group-logs"),
)


@pytest.mark.parametrize("path", OPTIONAL)
async def test_a_post_of_which_every_field_is_optional_needs_no_body(node: NodeProcess, path: str) -> None:
    headers: tuple[dict[str, str], ...] = ({}, {"content_length": "0"}, {"content_type": "application/json"})
    for some in headers:
        answer = await ask(node, "POST", f"{REST}/{path}.json", None, **some)
        assert answer.status == 200, answer
        assert answer.json["responseStatus"]["status"] == "success"


async def test_a_post_that_says_something_needs_both(node: NodeProcess) -> None:
    assert (await ask(node, "POST", f"{REST}/registry/register.json")).status == 415
    assert (await ask(node, "POST", f"{REST}/registry/register.json", b"{}", content_type="text/plain")).status == 415
    assert (await ask(node, "POST", f"{REST}/status/cluster.json", b"{}", content_type="text/plain")).status == 415
    assert (await ask(node, "POST", f"{REST}/status/cluster.json", b"{}", content_type="")).status == 415
    assert (await ask(node, "POST", "/artemis/api/status/cluster.json")).status == 415
    assert (await ask(node, "POST", f"{REST}/management/group/get-groups.json")).status == 415
