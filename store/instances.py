"""The instance: what a service says about one of its processes, as the contract spells it."""

from typing import Final

import msgspec

from .addresses import canonical_ip, host_address

ALL_SERVICES: Final = "*"
"""No service has this id: to subscribers it means all of them."""

LEGACY_KEY: Final = "java_registry"
"""An instance with a non-blank entry of this name in its metadata holds a legacy lease (RPC contract 3.1)."""

LEASE_TTL_KEY: Final = "artemis.lease-ttl-ms"
"""Metadata entry by which an instance asks for its own lease time, in milliseconds."""


class Instance(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One registered process of a service. Unknown properties are refused here and dropped by tolerant decoding."""

    group_id: str | None = None
    health_check_url: str | None = None
    instance_id: str | None = None
    ip: str | None = None
    machine_name: str | None = None
    metadata: dict[str, str | None] | None = None
    port: int = 0
    protocol: str | None = None
    region_id: str | None = None
    service_id: str | None = None
    status: str | None = None
    url: str | None = None
    zone_id: str | None = None

    def is_legacy(self) -> bool:
        """Whether this instance holds its lease with the manager of legacy leases."""
        value = (self.metadata or {}).get(LEGACY_KEY)
        return value is not None and bool(value.strip())

    def lease_ttl_s(self) -> float | None:
        """The lease time the instance asks for, in seconds; None when it asks for none or for nonsense."""
        text = (self.metadata or {}).get(LEASE_TTL_KEY)
        if not text or len(text) > 12 or not text.strip().isdecimal():
            return None
        return int(text) / 1000

    def text(self) -> str:
        """The form used in messages: region/zone/service[/group]/instance in lower case."""
        parts = [self.region_id or "", self.zone_id or "", self.service_id or ""]
        if self.group_id and self.group_id.strip():
            parts.append(self.group_id)
        parts.append(self.instance_id or "")
        return "/".join(parts).lower()


def settled(instance: Instance, zone_id: str) -> Instance:
    """The instance as it is held and shown: a blank zone is that of the node, a blank ip the host of the url when that
    is an address, ip and status are in their one spelling. The same object when it was so already."""
    zone, ip, status = instance.zone_id, instance.ip, instance.status
    if status == "up" and ip and zone and ":" not in ip and " " not in ip and " " not in zone:
        return instance  # like nearly all of them
    settled_zone = (zone and zone.strip()) or zone_id
    settled_ip = (ip and canonical_ip(ip)) or host_address(instance.url or "")
    settled_status = status and status.strip().lower()
    if settled_zone == zone and settled_ip == ip and settled_status == status:
        return instance
    return msgspec.structs.replace(instance, zone_id=settled_zone, ip=settled_ip, status=settled_status)


class _Tolerant(Instance, frozen=True, forbid_unknown_fields=False):
    """An instance with fields that only newer nodes know."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Tolerant)


def encode_instance(instance: Instance) -> bytes:
    """The canonical JSON of an instance: two instances are the same when these bytes are."""
    if instance.metadata is not None and len(instance.metadata) > 1:
        ordered = dict(sorted(instance.metadata.items()))
        instance = msgspec.structs.replace(instance, metadata=ordered)
    return _encoder.encode(instance)


def decode_instance(json: bytes) -> Instance:
    """The instance behind bytes made by `encode_instance`, of this version or of a newer one."""
    return _decoder.decode(json)
