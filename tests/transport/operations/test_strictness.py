"""What real clients send is read the fast way: no field of theirs sends a body through the tolerant reading."""

from typing import Any, Final

import msgspec
import pytest

from artemis.transport.operations import decoding
from artemis.transport.operations.cluster import PlaceRequest
from artemis.transport.operations.decoding import decode
from artemis.transport.operations.discovery import LookupRequest, ServiceRequest, ServicesRequest
from artemis.transport.operations.registry import InstancesRequest
from artemis.transport.operations.rest.canary import CanaryAsk, EnableAsk, ServiceAsk, WhiteListAsk
from artemis.transport.operations.rest.instances import InstanceAsk, OperateInstanceAsk, OperateServerAsk
from artemis.transport.operations.status import LeasesRequest
from artemis.transport.push import Command

from ...contract import samples_core, samples_management
from ..managing import Managing

CORE: Final[dict[str, type[msgspec.Struct]]] = {
    "registry": InstancesRequest,
    "lookup": LookupRequest,
    "service": ServiceRequest,
    "services": ServicesRequest,
    "services-delta": ServicesRequest,
    "cluster": PlaceRequest,
    "leases": LeasesRequest,
}
"""Kinds of requests, by the name of a call or of its area."""

EMPTY_INSTANCE: Final = dict.fromkeys(samples_core.BARE) | {"port": 0}
KEY: Final = dict.fromkeys(("regionId", "zoneId", "serviceId", "groupId", "instanceId"), "x")
CONFIG: Final = {"serviceId": "s", "regionId": None, "zoneId": None, "discoveryData": {"ip": "10.0.0.1", "app": None}}
PLACE: Final = {"regionId": "lab", "zoneId": None}
OPERATOR: Final = {"operatorId": "op", "reason": None}

SENT: Final[tuple[tuple[type[msgspec.Struct], dict[str, Any]], ...]] = (
    (InstancesRequest, {"instances": [EMPTY_INSTANCE, samples_core.SVC_A]}),
    (InstancesRequest, {"instanceKeys": [KEY, KEY | {"groupId": None, "zoneId": None}]}),
    (InstancesRequest, {"instances": None, "instanceKeys": [KEY]}),
    (LookupRequest, {"discoveryConfigs": [CONFIG], **PLACE}),
    (LookupRequest, {"discoveryConfig": CONFIG, "strategy": "random", **PLACE}),
    (ServiceRequest, {"discoveryConfig": CONFIG, **PLACE}),
    (ServicesRequest, {"version": 7, **PLACE}),
    (OperateInstanceAsk, {"instanceKey": KEY, "operation": "pullout", "operationComplete": True, **OPERATOR}),
    (OperateServerAsk, {"serverId": "10.0.0.1", "regionId": "lab", "operation": "pullin", **OPERATOR}),
    (InstanceAsk, {"instanceKey": KEY}),
    (CanaryAsk, {"serviceId": "s", "ipWhitelist": ["10.0.0.1"], "groupId": None, "enabled": None, **OPERATOR}),
    (EnableAsk, {"serviceId": "s", "enabled": True, **OPERATOR}),
    (ServiceAsk, {"serviceId": "s", **OPERATOR}),
    (WhiteListAsk, {"ips": ["10.0.0.1"], **OPERATOR}),
    (Command, {"type": "subscribe", "serviceId": "s", "since": None}),
)
"""Bodies of the SDKs, every field written and the optional ones null, as their serialisers do."""


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: type, body: bytes | str) -> object:
        pytest.fail(f"{kind.__name__} does not hold every field of {body!r}")

    monkeypatch.setattr(decoding, "_decode_tolerantly", refuse)


@pytest.mark.parametrize(("kind", "body"), SENT, ids=lambda value: value.__name__ if isinstance(value, type) else "")
def test_every_field_that_clients_send_has_its_place(kind: type[msgspec.Struct], body: dict[str, Any]) -> None:
    decode(kind, msgspec.json.encode(body))


def test_the_captured_requests_of_the_core_are_read_strictly() -> None:
    seen: set[str] = set()
    for exchange in samples_core.EXCHANGES:
        *_, area, call = exchange.path.removesuffix(".json").split("/")
        kind = CORE.get(call) or CORE.get(area)
        if kind is not None and isinstance(exchange.request, dict):
            decode(kind, msgspec.json.encode(exchange.request))
            seen.add(call)
    assert {"register", "heartbeat", "lookup", "services", "services-delta"} <= seen


async def test_the_captured_requests_of_management_are_read_strictly() -> None:
    managing = Managing()
    for exchange in samples_management.EXCHANGES:
        await managing.post(exchange.path, exchange.request)


async def test_where_the_caller_is_costs_nothing_in_management() -> None:
    managing = Managing()
    for route in managing.routes:
        if route.method == "POST" and ("get-all" in route.path or route.path.endswith("/services.json")):
            await managing.post(route.path, PLACE)
