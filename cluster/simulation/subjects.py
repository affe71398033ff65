"""Subjects: what an operator of a simulation decides about is one field of one record, or whether the record exists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from artemis.store.management.kinds import GROUP, Kind, Value
from artemis.store.management.records import id_of, key_of
from artemis.store.management.tables import Tables

from .scenario import REGION

Wanted = bool | int
Request = tuple[str, dict[str, Any]]
"""Path and body of a POST."""

PULL_OUT: Final = "pullout"
ZONE: Final = "east"
"""Of all groups."""
GROUP_OPERATED: Final = "operated"
"""The group that is pulled out now and then."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is one way or another: on or off, or a number."""

    name: str
    kind: str
    """Of the record that says how it is."""
    asks: Callable[[Wanted], Sequence[Request]]
    """The requests that make it so; the last one is the decision, those before it make what it needs."""
    held: Callable[[Tables], Wanted]
    """How it is at a node; 0 or False when there is no record."""
    is_switch: bool = True


def manage(path: str, **body: Any) -> Request:
    return f"/api/management/{path}.json", body


def exists(name: str, kind: Kind[Any], key: str, asks: Callable[[Wanted], Sequence[Request]]) -> Subject:
    """Whether there is a record. Groups and rules are deleted by a mark, and count as gone."""

    def held(tables: Tables) -> bool:
        value = tables[kind].values.get(key)
        return value is not None and not getattr(value, "deleted", False)

    return Subject(name, kind.name, asks, held)


def field(
    name: str,
    kind: Kind[Any],
    key: str,
    asks: Callable[[Wanted], Sequence[Request]],
    read: Callable[[Any], Wanted],
    *,
    is_switch: bool = False,
) -> Subject:
    """What a field of a record says."""

    def held(tables: Tables) -> Wanted:
        value: Value | None = tables[kind].values.get(key)
        return 0 if value is None else read(value)

    return Subject(name, kind.name, asks, held, is_switch)


def group_row(service: str, name: str, **fields: Any) -> dict[str, Any]:
    where = {"serviceId": service, "regionId": REGION, "zoneId": ZONE}
    return {**where, "name": name, "appId": "app", "status": "active", **fields}


def group_key(service: str, name: str) -> str:
    return key_of(service, REGION, ZONE, name)


def group_id(service: str, name: str) -> int:
    return id_of(GROUP.name, group_key(service, name))


def insert_group(service: str, name: str, **fields: Any) -> Request:
    return manage("group/insert-groups", groups=[group_row(service, name, **fields)])
