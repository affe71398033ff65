"""Small builders for tests of the store."""

from artemis.store.instances import Instance
from artemis.store.preservation import PreservationSettings
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.table import Visibility
from artemis.store.versions import HybridClock, origin_of

NOW_MS = 1_795_348_934_139
REGION = "lab"


def instance(
    instance_id: str = "i1", service_id: str = "svc.a", *, metadata: dict[str, str | None] | None = None, **fields: str
) -> Instance:
    """An instance that is fit to be registered."""
    return Instance(
        region_id=REGION,
        zone_id=fields.pop("zone_id", "zone1"),
        service_id=service_id,
        instance_id=instance_id,
        ip=fields.pop("ip", "10.0.0.1"),
        port=8080,
        url=fields.pop("url", f"http://{instance_id}:8080/"),
        metadata=metadata,
        **fields,
    )


def registry(
    node_id: str = "node-a",
    *,
    now_s: float = 0.0,
    visibility: Visibility | None = None,
    preservation: PreservationSettings | None = None,
    pause_s: float = 1e9,
    entries_max: int = 2_000_000,
) -> Registry:
    """A registry whose clock may jump: tests of the store do not sweep ten times a second."""
    origin = origin_of(node_id)
    settings = RegistrySettings(
        region_id=REGION,
        pause_s=pause_s,
        entries_max=entries_max,
        preservation=preservation or PreservationSettings(enabled=False),
    )
    return Registry(
        settings, clock=HybridClock(origin), origin=origin, now_s=now_s, now_ms=NOW_MS, visibility=visibility
    )


def shown(table: Registry, service_id: str = "svc.a") -> set[str]:
    """Keys of the instances that discovery shows."""
    service = table.services.get(service_id.lower())
    return set() if service is None else {entry.key for entry in service.visible()}
