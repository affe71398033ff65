"""Decorations: the logical instances and route rules that RPC answers carry, as JSON, encoded once per change."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ..instances import Instance, encode_instance
from ..leases import Entry, ServiceTable
from .kinds import CANARY_RULE, LogicalInstance
from .rules import EffectiveGroup, EffectiveRule, ServiceRules
from .visibility import Place, Visibility

NOTHING: Final = (b"[]", b"[]")

Decoration = tuple[bytes, bytes]
"""JSON arrays: logical instances, route rules."""


class _Group(msgspec.Struct, rename="camel"):
    """The order of the fields is the alphabet's, as in all answers of the RPC API."""

    group_key: str
    instance_ids: tuple[str, ...]
    instances: msgspec.Raw | None
    metadata: dict[str, str] | None
    weight: int


class _Rule(msgspec.Struct, rename="camel"):
    groups: list[_Group]
    route_id: str
    strategy: str


class _Cached:
    """What was encoded, and what it was made of."""

    __slots__ = ("decoration", "generation", "revision", "rules")

    def __init__(self, rules: ServiceRules, generation: int, revision: int, decoration: Decoration) -> None:
        self.rules = rules
        self.generation = generation
        self.revision = revision
        self.decoration = decoration


class Decorations:
    """Keeps the newest decoration of each service that has one."""

    def __init__(self, visibility: Visibility, region_key: str) -> None:
        self._visibility = visibility
        self._region_key = region_key
        self._cache: dict[str, _Cached] = {}
        self.generation = 0
        """Rises with every operation: a logical instance may have been pulled out or in."""

    def of(self, rules: ServiceRules, service_key: str, table: ServiceTable | None) -> Decoration:
        """The decoration of a service. The very same bytes are returned until something in them changes."""
        revision = _canary_revision(rules, table)
        cached = self._cache.get(service_key)
        if cached is not None and cached.rules is rules and cached.revision == revision:
            if cached.generation == self.generation or not rules.logical:
                return cached.decoration
        decoration = self._visible(rules, table)
        if cached is not None and cached.decoration == decoration:
            decoration = cached.decoration
        self._cache[service_key] = _Cached(rules, self.generation, revision, decoration)
        return decoration

    def forget(self, service_key: str) -> None:
        self._cache.pop(service_key, None)

    def undisguised(self, rules: ServiceRules, table: ServiceTable | None) -> Decoration:
        """The same as operators see it: with everything that was pulled out."""
        live = [entry for entry in table.entries.values() if entry.live] if table is not None else []
        return self._encode(rules, list(rules.logical), live)

    def _visible(self, rules: ServiceRules, table: ServiceTable | None) -> Decoration:
        logical = [i for i in rules.logical if not self._visibility.is_down(Place.of_logical(i))]
        return self._encode(rules, logical, table.visible() if table is not None else [])

    def _encode(self, rules: ServiceRules, logical: Sequence[LogicalInstance], entries: Sequence[Entry]) -> Decoration:
        return encode_logical(logical), encode_rules(rules.rules, lambda group: self._canaries(group, logical, entries))

    def _canaries(
        self, group: EffectiveGroup, logical: Sequence[LogicalInstance], entries: Sequence[Entry]
    ) -> list[bytes]:
        """The instances of a canary group, registered ones first."""
        registered = [
            entry.json
            for entry in entries
            if entry.key in group.member_keys
            or lies_in(
                group.path,
                Place(self._region_key, entry.service.key, entry.key, "", entry.zone_key, entry.group_key),
            )
        ]
        static = [
            encode_instance(instance_of(instance))
            for instance in logical
            if instance.instance_id.lower() in group.member_keys or lies_in(group.path, Place.of_logical(instance))
        ]
        return registered + static


def lies_in(group_path: str, place: Place) -> bool:
    """Whether the path of an instance leads through the group."""
    path = f"{place.service_key}/{place.region_key}/{place.zone_key}/{place.group_key}/{place.instance_key}"
    return path.startswith(group_path + "/")


def instance_of(logical: LogicalInstance) -> Instance:
    """The logical instance as clients see it."""
    return Instance(
        group_id=logical.group_id,
        health_check_url=logical.health_check_url,
        instance_id=logical.instance_id,
        ip=logical.ip,
        machine_name=logical.machine_name,
        metadata=logical.metadata,
        port=logical.port,
        protocol=logical.protocol,
        region_id=logical.region_id,
        service_id=logical.service_id,
        status="up",
        url=logical.url,
        zone_id=logical.zone_id,
    )


def encode_logical(instances: Sequence[LogicalInstance]) -> bytes:
    return b"[" + b",".join([encode_instance(instance_of(instance)) for instance in instances]) + b"]"


def encode_rules(rules: tuple[EffectiveRule, ...], canaries: Callable[[EffectiveGroup], list[bytes]]) -> bytes:
    """Route rules as JSON; `canaries` gives the instances to show in a group of the canary rule."""
    rows: list[_Rule] = []
    for rule in rules:
        is_canary = rule.name.lower() == CANARY_RULE
        groups = [
            _Group(
                group_key=group.path,
                instance_ids=group.members,
                instances=msgspec.Raw(b"[" + b",".join(canaries(group)) + b"]") if is_canary else None,
                metadata=dict(group.tags) or None,
                weight=group.weight,
            )
            for group in rule.groups
        ]
        rows.append(_Rule(groups, rule.name, rule.strategy))
    return msgspec.json.encode(rows)


def _canary_revision(rules: ServiceRules, table: ServiceTable | None) -> int:
    """The revision on which the decoration depends: only canary groups list instances."""
    if table is None or not any(rule.name.lower() == CANARY_RULE for rule in rules.rules):
        return 0
    return table.revision
