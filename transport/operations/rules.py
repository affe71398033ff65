"""What an instance must be like to be registered here, and the words in which it is refused."""

from dataclasses import dataclass
from typing import Final

import msgspec

from artemis.store.instances import ALL_SERVICES, Instance

from ..requests import Reply
from .answers import ErrorCode, answer, encode_json

Refusal = tuple[ErrorCode, str]


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """How large an instance may be. Lengths in characters, metadata in bytes of UTF-8."""

    id_characters: int = 256
    url_characters: int = 2048
    metadata_entries: int = 64
    metadata_bytes: int = 16 * 1024

    def allow_ids(self, service_id: str | None, instance_id: str | None) -> bool:
        """Whether there can be an instance of this identity: nothing else is worth a tombstone, or travels to peers."""
        ids = (service_id or "", instance_id or "")
        return ids[0] != ALL_SERVICES and all(len(text) <= self.id_characters and text.isprintable() for text in ids)

    def refuse(self, instance: Instance) -> Refusal | None:
        """Texts must be printable and within their limits, and no service is called like all of them."""
        if instance.service_id == ALL_SERVICES:
            return "bad-request", f"serviceId {ALL_SERVICES} means all services: no instance can be registered under it"
        for name in ("region_id", "zone_id", "group_id", "service_id", "instance_id", "machine_name", "ip"):
            value: str | None = getattr(instance, name)
            if value is not None and (len(value) > self.id_characters or not value.isprintable()):
                return "bad-request", _explain(name, value, self.id_characters)
        for name in ("url", "health_check_url", "protocol", "status"):
            value = getattr(instance, name)
            if value is not None and (len(value) > self.url_characters or not value.isprintable()):
                return "bad-request", _explain(name, value, self.url_characters)
        if not -(2**31) <= instance.port < 2**31:
            return "bad-request", f"port {instance.port} is out of range"
        return self._refuse_metadata(instance.metadata) if instance.metadata else None

    def _refuse_metadata(self, metadata: dict[str, str | None]) -> Refusal | None:
        if len(metadata) > self.metadata_entries:
            message = f"metadata has {len(metadata)} entries, at most {self.metadata_entries} are allowed"
            return "bad-request", message
        size = 0
        for key, value in metadata.items():  # not a sum over a generator: registering does this for each instance
            size += len(key.encode())
            if value:
                size += len(value.encode())
        if size > self.metadata_bytes:
            return "bad-request", f"metadata has {size} bytes, at most {self.metadata_bytes} are allowed"
        return None


PEER_LIMITS: Final = InstanceLimits(
    id_characters=1000, url_characters=65_536, metadata_entries=65_536, metadata_bytes=1 << 19
)
"""For what peers replicate: as wide as the limits of clients can be configured. What another node took from a client is
refused only when no node could have taken it."""


@dataclass(frozen=True, slots=True)
class InstanceRules:
    """Where instances may be from, and how large they may be."""

    region_id: str
    zone_id: str
    allow_other_zones: bool = True
    instances_max: int = 1000
    limits: InstanceLimits = InstanceLimits()

    def refuse_place(self, instance: Instance) -> Refusal | None:
        """Instances of another region are never ours; those of another zone only if that is allowed."""
        region = self.foreign_region(instance.region_id) or self.foreign_zone(instance.zone_id)
        return None if region is None else ("no-permission", region)

    def foreign_region(self, region_id: str | None) -> str | None:
        if region_id is not None and (region_id == self.region_id or region_id.lower() == self.region_id.lower()):
            return None
        return (
            "regionId is not the same as the registry node. "
            f"regionId: {region_id or 'null'}, registry node.regionId: {self.region_id}"
        )

    def foreign_zone(self, zone_id: str | None) -> str | None:
        if self.allow_other_zones or (zone_id is not None and zone_id.lower() == self.zone_id.lower()):
            return None
        return (
            "zoneId is not the same as the registry node. "
            f"zoneId: {zone_id or 'null'}, registry node.zoneId: {self.zone_id}"
        )

    def refuse_blank(self, instance: Instance) -> Refusal | None:
        """Service, instance and url must be there; the RPC contract calls their absence an internal error."""
        name = blank_among(
            ("serviceId", instance.service_id), ("instanceId", instance.instance_id), ("url", instance.url)
        )
        return None if name is None else ("internal-service-error", f"Exception: instance.{name} is blank")


def _explain(name: str, value: str, characters_max: int) -> str:
    if len(value) > characters_max:
        return f"{_wire(name)} has {len(value)} characters, at most {characters_max} are allowed"
    return f"{_wire(name)} contains control or other unprintable characters"


def _wire(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def blank_among(*texts: tuple[str, str | None]) -> str | None:
    """The name of the first text that is missing or blank."""
    for name, value in texts:  # a third of what a generator costs, and registering asks for each instance
        if not value or value.isspace():
            return name
    return None


def failed(instance: Instance, refusal: Refusal, *, loose: bool) -> bytes:
    """The contract's FailedInstance. The instance is echoed complete: clients register exactly what they get back.

    The REST API (`loose`) has its fields flat as well, without nulls.
    """
    code, reason = refusal
    item: dict[str, object] = {"errorCode": code, "errorMessage": f"{instance.text()}: {reason}", "instance": instance}
    if loose:
        item |= flat(instance)
        item["metadata"] = {key: value or "" for key, value in (instance.metadata or {}).items()}
    return encode_json(item)


def flat(value: msgspec.Struct) -> dict[str, object]:
    """The fields by their names on the wire; a text that is missing is empty."""
    fields: dict[str, object] = msgspec.to_builtins(value)
    return {name: "" if field is None else field for name, field in fields.items()}


def failures_answer(failures: list[bytes], *, loose: bool) -> Reply:
    """The answer to a write of which these items failed."""
    if not failures:
        return answer(b'"failedInstances":null', loose=loose)
    return answer(b'"failedInstances":' + json_array(failures), "partial_fail", loose=loose)


def json_array(items: list[bytes]) -> bytes:
    """Encoded items as an array; null for none."""
    return b"[" + b",".join(items) + b"]" if items else b"null"
