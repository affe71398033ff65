"""Visibility: whether operators have taken an instance out of discovery, and every reason why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..addresses import canonical_ip
from ..versions import milliseconds
from .kinds import (
    GROUP,
    GROUP_OPERATION,
    INSTANCE_OPERATION,
    SERVER_OPERATION,
    ZONE_OPERATION,
    GroupOperation,
    InstanceOperation,
    LogicalInstance,
    ServerOperation,
    ZoneOperation,
    of_group,
)
from .records import key_of
from .tables import Tables

CauseKind = Literal["instance", "server", "zone", "group"]
Operation = InstanceOperation | ServerOperation | ZoneOperation | GroupOperation


@dataclass(frozen=True, slots=True)
class Cause:
    """One operation that keeps an instance out of discovery."""

    kind: CauseKind
    target: str
    """The instance, server, zone or group pulled out, e.g. lab/svc.a/zone1."""
    operation: str
    operator_id: str
    reason: str | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is, for all the ways in which it can be pulled out. Everything in lower case."""

    region_key: str
    service_key: str
    instance_key: str
    ip: str
    zone_key: str
    group_key: str

    @staticmethod
    def of(
        *,
        region_id: str | None,
        service_id: str | None,
        instance_id: str | None,
        ip: str | None,
        zone_id: str | None,
        group_id: str | None,
    ) -> "Place":
        """From the fields of an instance, in any spelling; a blank group is the group `default`."""
        fields = (region_id, service_id, instance_id, canonical_ip(ip or ""), zone_id, group_id)
        texts = [(text or "").strip().lower() for text in fields]
        return Place(texts[0], texts[1], texts[2], texts[3], texts[4], texts[5] or "default")

    @staticmethod
    def of_logical(instance: LogicalInstance) -> "Place":
        return Place.of(
            region_id=instance.region_id,
            service_id=instance.service_id,
            instance_id=instance.instance_id,
            ip=instance.ip,
            zone_id=instance.zone_id,
            group_id=instance.group_id,
        )


class Visibility:
    """Answers from the indexes of the operation tables: a handful of look-ups, however many operations there are."""

    def __init__(self, tables: Tables) -> None:
        self._instances = tables[INSTANCE_OPERATION].index
        self._servers = tables[SERVER_OPERATION].index
        self._zones = tables[ZONE_OPERATION].index
        self._tables = tables
        self._groups: dict[str, int] = {}
        """Path of each existing group with an operation on it, e.g. svc.a/lab/zone1/g1, to its id."""
        self._group_paths: dict[int, str] = {}

    def is_down(self, place: Place) -> bool:
        """Whether anything takes an instance at this place out of discovery."""
        return self.keeps_out(
            place.region_key, place.service_key, place.instance_key, place.ip, place.zone_key, place.group_key
        )

    def keeps_out(self, region: str, service: str, instance: str, ip: str, zone: str, group: str) -> bool:
        """The same for the parts of a place: asked for every instance that registers, and so without ceremony."""
        if self._instances and f"{region}\n{service}\n{instance}" in self._instances:
            return True
        if self._servers and ip and f"{region}\n{ip}" in self._servers:
            return True
        if self._zones:
            if f"{region}\n{service}\n{zone}" in self._zones or f"{region}\n\n{zone}" in self._zones:
                return True
        if not self._groups:
            return False
        if "/" in group or "/" in instance:
            place = Place(region, service, instance, ip, zone, group)
            return any(path in self._groups for path in _group_paths(place))
        return f"{service}/{region}/{zone}/{group}" in self._groups

    def causes(self, place: Place) -> list[Cause]:
        """Everything that takes an instance at this place out of discovery; empty when nothing does."""
        return [_cause_of(kind, target, operation) for kind, target, operation in self._operations(place)]

    def refresh_group(self, group_id: int) -> bool:
        """Look again whether a group is pulled out, after its record or operations changed. True if so."""
        tables = self._tables
        key = tables[GROUP].keys_by_id.get(group_id)
        group = None if key is None else tables[GROUP].values[key]
        down = group is not None and not group.deleted and of_group(group_id) in tables[GROUP_OPERATION].index
        path = group.path if group is not None and down else None
        if path == self._group_paths.get(group_id):
            return False
        if path is None:
            del self._groups[self._group_paths.pop(group_id)]
        else:
            self._groups[path] = group_id
            self._group_paths[group_id] = path
        return True

    def _operations(self, place: Place) -> Iterator[tuple[CauseKind, str, Operation]]:
        tables, region, service = self._tables, place.region_key, place.service_key
        target = f"{region}/{service}/{place.instance_key}"
        for instance in tables[INSTANCE_OPERATION].find(key_of(region, service, place.instance_key)):
            yield "instance", target, instance
        if place.ip:
            for server in tables[SERVER_OPERATION].find(key_of(region, place.ip)):
                yield "server", f"{region}/{place.ip}", server
        for service_key in (service, "") if service else ("",):
            for zone in tables[ZONE_OPERATION].find(key_of(region, service_key, place.zone_key)):
                yield "zone", "/".join(filter(None, (region, service_key, place.zone_key))), zone
        for path in _group_paths(place):
            group_id = self._groups.get(path)
            if group_id is not None:
                for group in tables[GROUP_OPERATION].find(of_group(group_id)):
                    yield "group", path, group


def _group_paths(place: Place) -> list[str]:
    """Every group path under which the path of an instance lies, parts being separated by slashes."""
    path = f"{place.service_key}/{place.region_key}/{place.zone_key}/{place.group_key}"
    if "/" not in place.group_key and "/" not in place.instance_key:
        return [path]
    full = f"{path}/{place.instance_key}"
    return [full[:end] for end, character in enumerate(full) if character == "/"]


def _cause_of(kind: CauseKind, target: str, operation: Operation) -> Cause:
    return Cause(
        kind,
        target,
        operation.operation,
        operation.operator_id,
        operation.reason,
        milliseconds(operation.created),
    )
