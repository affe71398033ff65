"""Instances and requests, as tests write them."""

from typing import Any

from .nodes import REGION, ZONE
from .wire import Address, rpc

SUCCESS = {"errorCode": "success", "message": "", "status": "success"}
PARTIAL = {"errorCode": "partial_fail", "message": "", "status": "partial_fail"}

REST_SUCCESS = {"errorCode": "success", "errorMessage": "", "message": "", "status": "success"}
REST_PARTIAL = {"errorCode": "bad-request", "errorMessage": "", "message": "", "status": "partial_fail"}
"""The REST API has five codes, and a message under two names."""

INSTANCE_FIELDS = (
    "groupId",
    "healthCheckUrl",
    "instanceId",
    "ip",
    "machineName",
    "metadata",
    "port",
    "protocol",
    "regionId",
    "serviceId",
    "status",
    "url",
    "zoneId",
)


def instance(service_id: str, instance_id: str = "i1", **more: Any) -> dict[str, Any]:
    """A complete Instance, every field of it."""
    return {
        "groupId": None,
        "healthCheckUrl": "",
        "instanceId": instance_id,
        "ip": "10.0.0.1",
        "machineName": None,
        "metadata": {"k": "v"},
        "port": 8090,
        "protocol": "http",
        "regionId": REGION,
        "serviceId": service_id,
        "status": "up",
        "url": f"http://10.0.0.1:8090/{instance_id}",
        "zoneId": ZONE,
        **more,
    }


def bare_instance(service_id: str, **more: Any) -> dict[str, Any]:
    """What the node makes of an instance of which nothing was said but these fields."""
    return {name: 0 if name == "port" else None for name in INSTANCE_FIELDS} | {"serviceId": service_id, **more}


def key_of(registered: dict[str, Any]) -> dict[str, Any]:
    """The InstanceKey of an instance."""
    return {name: registered[name] for name in ("regionId", "serviceId", "instanceId")}


def place(**more: Any) -> dict[str, Any]:
    """A request from this node's own region and zone."""
    return {"regionId": REGION, "zoneId": ZONE, **more}


async def register(node: Address, *instances: dict[str, Any]) -> None:
    """Register instances, all of them."""
    answer = await rpc(node, "registry/register", {"instances": list(instances)})
    assert answer == {"failedInstances": None, "responseStatus": SUCCESS}


async def unregister(node: Address, *instances: dict[str, Any]) -> None:
    answer = await rpc(node, "registry/unregister", {"instances": list(instances)})
    assert answer == {"failedInstances": None, "responseStatus": SUCCESS}


async def lookup(node: Address, service_id: str) -> dict[str, Any]:
    """The Service as a client sees it."""
    answer = await rpc(node, "discovery/lookup", place(discoveryConfigs=[{"serviceId": service_id}]))
    assert answer["responseStatus"] == SUCCESS
    (service,) = answer["services"]
    assert isinstance(service, dict)
    return service


async def instances_of(node: Address, service_id: str) -> list[dict[str, Any]]:
    found = (await lookup(node, service_id))["instances"]
    assert isinstance(found, list)
    return found


async def ids_of(node: Address, service_id: str) -> list[str]:
    """Instance ids of a service, sorted."""
    return sorted(found["instanceId"] for found in await instances_of(node, service_id))


def fails_with(answer: dict[str, Any], code: str) -> str:
    """Assert that a call failed as a whole, with this code; its message."""
    status = answer["responseStatus"]
    assert (status["status"], status["errorCode"]) == ("fail", code), answer
    message = status["message"]
    assert isinstance(message, str)
    assert message
    return message
