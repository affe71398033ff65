"""What a call to unregister may leave behind: tombstones of what could have been registered, and nothing else."""

import json

import pytest

from artemis.actors.effects import Effects
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock
from artemis.transport.operations.registry import RegistryOperations
from artemis.transport.operations.rules import InstanceRules
from artemis.transport.requests import Caller, Request

from ..managing import Standing

NOW_MS = 1_800_000_000_000


class StoppedClock:
    def now_s(self) -> float:
        return 100.0

    def now_ms(self) -> int:
        return NOW_MS

    def stamp_ms(self) -> float:
        return NOW_MS


def operations(registry: Registry) -> RegistryOperations:
    return RegistryOperations(
        registry,
        Effects(),
        StoppedClock(),
        standing=Standing(),
        rules=InstanceRules("lab", "zone1"),
        limit_of=lambda name: 0,
    )


def a_registry() -> Registry:
    return Registry(RegistrySettings("lab"), clock=HybridClock(7), origin=7, now_s=100.0, now_ms=NOW_MS)


def unregister(registry: Registry, field: str, key: dict[str, str], *, loose: bool = False) -> object:
    body = json.dumps({field: [key]}).encode()
    reply = operations(registry).unregister(Request("POST", "/", b"", body, Caller("10.0.0.1"), loose=loose))
    return json.loads(reply.body)["responseStatus"]["errorCode"]


@pytest.mark.parametrize("field", ["instances", "instanceKeys"])
@pytest.mark.parametrize(
    ("service_id", "instance_id"), [("svc", "i" * 257), ("s" * 257, "i1"), ("svc\ni", "1"), ("svc", "i\n1")]
)
def test_an_identity_that_nothing_can_have_leaves_no_tombstone(field: str, service_id: str, instance_id: str) -> None:
    """Peers would take its key for a broken frame, and end the link each time they hear of it."""
    registry = a_registry()
    key = {"regionId": "lab", "serviceId": service_id, "instanceId": instance_id}
    url = {"url": "http://x"} if field == "instances" else {}
    assert unregister(registry, field, {**key, **url}, loose=field != "instances") == "success"
    assert registry.services == {}


def test_an_unknown_identity_leaves_a_tombstone() -> None:
    registry = a_registry()
    key = {"regionId": "lab", "serviceId": "svc", "instanceId": "i1", "url": "http://x"}
    assert unregister(registry, "instances", key) == "success"
    assert registry.find("svc", "i1") is not None
