"""Impact: compares the tables before and after a batch of records, and says what that means for discovery."""

from typing import Any

from .effects import Effect
from .kinds import (
    INSTANCE_OPERATION,
    LOGICAL_INSTANCE,
    ROUTE_RULE,
    SERVER_OPERATION,
    ZONE_OPERATION,
    Canary,
    Group,
    GroupMember,
    GroupOperation,
    GroupTag,
    InstanceOperation,
    Kind,
    LogicalInstance,
    RouteRule,
    RouteRuleGroup,
    ServerOperation,
    Value,
    ZoneOperation,
    of_server,
)
from .records import key_of
from .rules import services_of_group
from .tables import Tables
from .visibility import Visibility

_TERMED: dict[str, Kind[Any]] = {kind.name: kind for kind in (INSTANCE_OPERATION, SERVER_OPERATION, ZONE_OPERATION)}


class Impact:
    """Fed with each record of a batch before and after it is put, then asked once for the effect of all."""

    def __init__(self, tables: Tables, visibility: Visibility, region_key: str) -> None:
        self._tables = tables
        self._visibility = visibility
        self._region_key = region_key
        self._was_down: dict[tuple[str, str], bool] = {}
        """(kind, term) of each operated instance, server and zone: whether it was down before the batch."""
        self._groups: dict[int, set[str]] = {}
        """Groups whose record or operations changed, with the services they belong to."""
        self._values: list[Value] = []
        self.touched: set[str] = set()
        """Services whose picture must be worked out again."""

    @property
    def operations_changed(self) -> bool:
        return bool(self._was_down or self._groups)

    def before(self, kind: str, value: Value | None) -> None:
        """The record of this value is about to be put; a tombstone's term is learnt from what it replaces."""
        if value is not None:
            self._remember_down(kind, value)

    def changed(self, kind: str, old: Value | None, new: Value | None) -> None:
        """The record has been put, and this is what it replaced."""
        for value in (old, new):
            if value is None:
                continue
            self._values.append(value)
            self.touched |= self._services_of(value)
            if isinstance(value, Group):
                self._groups.setdefault(value.group_id, set()).add(value.service_id.lower())
            elif isinstance(value, GroupOperation):
                self._groups.setdefault(value.group_id, set())
        if old is not None and new is None:
            table = _TERMED.get(kind)
            if table is not None:
                # Only this operation went; before the batch it was there, unless an earlier record says otherwise.
                self._was_down.setdefault((kind, table.terms(old)[0]), True)

    def effect(self) -> Effect:
        """What the whole batch did."""
        effect = Effect()
        for value in self._values:
            self.touched |= self._services_of(value)
        for (kind, term), was_down in self._was_down.items():
            if was_down != (term in self._tables[_TERMED[kind]].index):
                self._add(effect, kind, term)
        for group_id, known in self._groups.items():
            services = known | services_of_group(self._tables, group_id)
            if self._visibility.refresh_group(group_id):
                effect.zones |= services
                effect.reload |= {key for key in services if self._has_logical(key)}
        return effect

    def _remember_down(self, kind: str, value: Value) -> None:
        table = _TERMED.get(kind)
        if table is not None:
            term = table.terms(value)[0]
            self._was_down.setdefault((kind, term), term in self._tables[table].index)

    def _add(self, effect: Effect, kind: str, term: str) -> None:
        region_key, *rest = term.split("\n")
        logical = self._tables[LOGICAL_INSTANCE]
        ours = region_key == self._region_key
        if kind == INSTANCE_OPERATION.name:
            service_key, instance_key = rest
            if ours:
                effect.services.add(service_key)
            if key_of(service_key, instance_key) in logical.values:
                effect.reload.add(service_key)
        elif kind == SERVER_OPERATION.name:
            if ours:
                effect.servers.add(rest[0])
            effect.reload |= {i.service_id.lower() for i in logical.find(of_server(region_key, rest[0]))}
        else:
            service_key, zone_key = rest
            if ours:
                if service_key:
                    effect.zones.add(service_key)
                else:
                    effect.everywhere.add(zone_key)
            effect.reload |= self._logical_in_zone(region_key, service_key, zone_key)

    def _logical_in_zone(self, region_key: str, service_key: str, zone_key: str) -> set[str]:
        return {
            i.service_id.lower()
            for i in self._tables[LOGICAL_INSTANCE].values.values()
            if i.zone_id.lower() == zone_key
            and i.region_id.lower() == region_key
            and service_key in ("", i.service_id.lower())
        }

    def _has_logical(self, service_key: str) -> bool:
        return f"service {service_key}" in self._tables[LOGICAL_INSTANCE].index

    def _services_of(self, value: Value) -> set[str]:
        """Services whose rules, logical instances or canary this value may concern."""
        match value:
            case RouteRule() | LogicalInstance() | Canary():
                return {value.service_id.lower()}
            case Group():
                return {value.service_id.lower()} | services_of_group(self._tables, value.group_id)
            case GroupTag() | GroupMember():
                return services_of_group(self._tables, value.group_id)
            case RouteRuleGroup():
                rules = self._tables[ROUTE_RULE]
                key = rules.keys_by_id.get(value.route_rule_id)
                services = set() if key is None else {rules.values[key].service_id.lower()}
                return services | services_of_group(self._tables, value.group_id)
            case InstanceOperation() | ServerOperation() | ZoneOperation() | GroupOperation():
                return set()
            case _:
                return set()
