"""Instances as real services register them, and the bodies of requests about them."""

from collections.abc import Iterator

from .http import encode

REGION = "bench"
ZONES = ("zone1", "zone2")

REGISTER = "/artemis/api/registry/register.json"
HEARTBEAT = "/artemis/api/registry/heartbeat.json"
HEARTBEAT_BY_KEY = "/api/registry/heartbeat.json"
UNREGISTER = "/artemis/api/registry/unregister.json"
LOOKUP = "/artemis/api/discovery/lookup.json"

INSTANCES_PER_SERVICE = 100
INSTANCES_PER_REQUEST = 500
"""How many are registered at once while a measurement is prepared; below the limits of a node."""


def make_instance(number: int, service: str | None = None, *, zone: str | None = None) -> dict[str, object]:
    """Instance `number`, about 400 bytes of JSON, of a service with a hundred instances unless one is named."""
    ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    port = 8080 + (number >> 24)
    return {
        "regionId": REGION,
        "zoneId": zone or ZONES[number % len(ZONES)],
        "groupId": "default",
        "serviceId": service or f"bench.service-{number // INSTANCES_PER_SERVICE}.v1",
        "instanceId": f"{ip}:{port}",
        "machineName": f"machine-{number}",
        "ip": ip,
        "port": port,
        "protocol": "http",
        "url": f"http://{ip}:{port}/service",
        "healthCheckUrl": f"http://{ip}:{port}/health",
        "status": "up",
        "metadata": {"version": "1.4.2", "weight": "5"},
    }


def make_instances(start: int, count: int, service: str | None = None) -> list[dict[str, object]]:
    """Instances `start` to `start + count - 1`."""
    return [make_instance(number, service) for number in range(start, start + count)]


def batches(count: int, *, start: int = 0, size: int = INSTANCES_PER_REQUEST) -> Iterator[bytes]:
    """Bodies that register `count` instances, one after the other, so that a million need no memory."""
    for first in range(start, start + count, size):
        yield body_of(make_instances(first, min(size, start + count - first)))


def body_of(instances: list[dict[str, object]]) -> bytes:
    """The body of a register, heartbeat, or unregister request."""
    return encode({"instances": instances})


def keys_of(instances: list[dict[str, object]]) -> bytes:
    """The body of a heartbeat by key, with the five fields that clients send."""
    names = ("regionId", "zoneId", "serviceId", "groupId", "instanceId")
    return encode({"instanceKeys": [{name: instance[name] for name in names} for instance in instances]})


def lookup_body(service: str) -> bytes:
    """The body of a look-up, as the Java client sends it."""
    config = {"serviceId": service, "regionId": None, "zoneId": None, "discoveryData": None}
    return encode({"discoveryConfigs": [config], "regionId": REGION, "zoneId": ZONES[0]})
