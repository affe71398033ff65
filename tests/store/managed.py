"""A registry and its management in one hand: writes take effect at once, without actors or disk."""

from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from artemis.store.changes import ServiceChange
from artemis.store.instances import Instance
from artemis.store.management.draft import Plan
from artemis.store.management.effects import announce
from artemis.store.management.kinds import GROUP, ROUTE_RULE, Group, RouteRule
from artemis.store.management.management import Management
from artemis.store.management.records import key_of
from artemis.store.management.visibility import Place
from artemis.store.management.writes import groups, operations, rule_groups, rules
from artemis.store.management.writes.inputs import GroupInput, RuleInput
from artemis.store.management.writes.operator import Operator
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.routing import Router
from artemis.store.versions import HybridClock, origin_of

from .building import NOW_MS, REGION

T = TypeVar("T")

OPERATOR = Operator(operator_id="op", token="t", operation="test", reason="because", address="10.9.9.9")


@dataclass(frozen=True)
class Asking:
    """A caller of the REST API."""

    ip: str = "10.1.1.1"
    region_id: str = REGION
    zone_id: str = "zone1"


class Managed:
    """One node, as far as the store goes."""

    def __init__(self, node_id: str = "node-a") -> None:
        origin = origin_of(node_id)
        clock = HybridClock(origin)
        self.now_ms = NOW_MS
        self.management = Management(region_id=REGION, clock=clock, origin=origin, node_id=node_id)
        self.registry = Registry(
            RegistrySettings(region_id=REGION),
            clock=clock,
            origin=origin,
            now_s=0.0,
            now_ms=NOW_MS,
            visibility=self.management,
        )
        self.router = Router(self.management)
        self.changes: list[ServiceChange] = []
        """What subscribers were told, oldest first."""

    def register(self, *instances: Instance) -> None:
        self.changes += self.registry.register(instances, now_s=0.0, now_ms=self.now_ms).changes

    def write(self, plan: Plan[T]) -> T:
        """What the management writer does, all at once."""
        self.now_ms += 1
        draft = self.management.draft(now_ms=self.now_ms)
        result = draft.attempt(plan)
        audits = self.management.seal(draft.audits, now_ms=self.now_ms)
        applied = self.management.apply(draft.records())
        self.management.audit.add(audits)
        self.changes += announce(applied.effect, self.registry, now_ms=self.now_ms)
        return result

    def merge_from(self, other: "Managed") -> None:
        """One round of anti-entropy, in one direction."""
        theirs = other.management
        keys = [full_key for bucket in range(256) for full_key, _ in theirs.versions(bucket)]
        applied = self.management.merge(theirs.states(keys), now_ms=self.now_ms)
        self.management.audit.merge(theirs.audit.after(self.management.audit.vector(), 10_000), complete=True)
        self.changes += announce(applied.effect, self.registry, now_ms=self.now_ms)

    def shown(self, service_id: str = "svc.a") -> set[str]:
        table = self.registry.services.get(service_id.lower())
        return set() if table is None else {entry.key for entry in table.visible()}

    def told(self) -> list[tuple[str, str, list[str]]]:
        """Service, how RPC clients hear of it, and the changes; forgets them."""
        told = [
            (
                change.service_key,
                "reload" if change.rpc_reload else "changes",
                sorted(f"{c.change_type} {c.key}" for c in change.changes),
            )
            for change in self.changes
        ]
        self.changes = []
        return told

    def place(self, instance_id: str, service_id: str = "svc.a", **fields: str) -> Place:
        return Place.of(
            region_id=fields.get("region_id", REGION),
            service_id=service_id,
            instance_id=instance_id,
            ip=fields.get("ip", "10.0.0.1"),
            zone_id=fields.get("zone_id", "zone1"),
            group_id=fields.get("group_id"),
        )

    # Shorthands for writes

    def instance(self, instance_id: str, operation: str = "out", *, complete: bool = False) -> None:
        self.write(
            partial(
                operations.operate_instance,
                who=OPERATOR,
                region_id=REGION,
                service_id="svc.a",
                instance_id=instance_id,
                operation=operation,
                complete=complete,
            )
        )

    def server(self, ip: str, *, complete: bool = False) -> None:
        self.write(
            partial(
                operations.operate_server,
                who=OPERATOR,
                region_id=REGION,
                server_id=ip,
                operation="out",
                complete=complete,
            )
        )

    def zone(self, zone_id: str, service_id: str = "svc.a", *, complete: bool = False) -> None:
        self.write(
            partial(
                operations.operate_zone,
                who=OPERATOR,
                region_id=REGION,
                service_id=service_id,
                zone_id=zone_id,
                operation="out",
                complete=complete,
            )
        )

    def group(self, name: str, service_id: str = "svc.a", zone_id: str = "zone1") -> Group:
        given = GroupInput(
            service_id=service_id, region_id=REGION, zone_id=zone_id, name=name, app_id="app", status="active"
        )
        self.write(lambda draft: groups.put_group(draft, OPERATOR, given, ""))
        return self.management.tables[GROUP].values[key_of(service_id, REGION, zone_id, name)]

    def group_operation(self, group: Group, *, complete: bool = False) -> None:
        self.write(lambda draft: groups.operate_group(draft, OPERATOR, group.group_id, "out", complete=complete))

    def rule(
        self,
        name: str,
        *weights: tuple[Group, int],
        strategy: str = "weighted-round-robin",
        service_id: str = "svc.a",
        publish: bool = True,
    ) -> RouteRule:
        given = RuleInput(service_id=service_id, name=name, strategy=strategy)
        rule = self.write(lambda draft: rules.create_rule(draft, OPERATOR, given))
        for group, weight in weights:
            self.bind(rule, group, weight)
        if publish:
            self.write(lambda draft: rules.publish_rule(draft, OPERATOR, rule.rule_id))
        return self.management.tables[ROUTE_RULE].values[key_of(service_id, name)]

    def bind(self, rule: RouteRule, group: Group, weight: int) -> None:
        self.write(lambda draft: rule_groups.bind_group(draft, OPERATOR, rule.rule_id, group.group_id, weight=weight))

    def chosen(self, asking: Asking = Asking(), service_id: str = "svc.a") -> list[str]:
        """The instances that a caller of the REST API is given, in order."""
        table = self.registry.services[service_id]
        return sorted(entry.key for entry in self.router.entries(table, asking))
