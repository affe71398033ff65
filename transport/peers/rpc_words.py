"""What nodes of the original system say and hear, in our words and theirs."""

import msgspec

from artemis.actors.frames import Word
from artemis.store.instances import LEGACY_KEY, Instance
from artemis.store.leases import Entry

from ..operations.rules import PEER_LIMITS, blank_among
from .rpc_calls import NodeStatus


def is_taken(instance: Instance) -> bool:
    """Whether an instance that the old node knows may be one of ours: its ids would end our links if they were none."""
    blank = blank_among(("serviceId", instance.service_id), ("instanceId", instance.instance_id))
    return blank is None and PEER_LIMITS.refuse(instance) is None


def can_register(status: NodeStatus) -> bool:
    if status.status in ("up", "down"):
        return status.status == "up"
    return bool(status.can_service_registry)


def word(status: NodeStatus, now_ms: int) -> Word:
    return Word(
        status=status.status or "unknown",
        now_ms=now_ms,
        can_register=status.can_service_registry,
        can_discover=status.can_service_discovery,
        allow_register=status.allow_registry_from_other_zone is not False,
        allow_discover=status.allow_discovery_from_other_zone is not False,
    )


def removed(entry: Entry, region_id: str, zone_id: str) -> bytes:
    """An instance that is gone, as far as its identity matters; the original wants a url, whatever it is, and looks for
    the lease where the metadata say it is."""
    return msgspec.json.encode(
        {
            "metadata": {LEGACY_KEY: "true"} if entry.legacy else None,
            "regionId": region_id,
            "zoneId": entry.zone_key or zone_id,
            "serviceId": entry.service.service_id,
            "instanceId": entry.key,
            "url": "unregistered",
        }
    )
