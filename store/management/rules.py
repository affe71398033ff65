"""What the records say about one service: its effective route rules, logical instances and canary, worked out once."""

from dataclasses import dataclass
from typing import Final

from .kinds import (
    CANARY,
    CANARY_RULE,
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    LOGICAL_INSTANCE,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    Canary,
    Group,
    LogicalInstance,
    RouteRule,
    RouteRuleGroup,
    of_group,
    of_rule,
    of_service,
)
from .records import key_of
from .tables import Tables

WEIGHT_DEFAULT: Final = 5
"""The weight of a group whose weight was never released, or is negative."""

WEIGHT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class EffectiveGroup:
    """An active group's part in an active rule."""

    group_id: int
    path: str
    """svc.a/lab/zone1/g1, in lower case."""
    region_key: str
    zone_key: str
    weight: int
    members: tuple[str, ...]
    """Ids of the instances bound by hand, as spelled there."""
    member_keys: frozenset[str]
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule that is active and has at least one active group."""

    rule_id: int
    name: str
    strategy: str
    published: int
    groups: tuple[EffectiveGroup, ...]

    @property
    def tuples(self) -> tuple[object, ...]:
        """What subscribers are told about when it changes: everything but the tags."""
        return (self.name, self.strategy, self.published, *((g.path, g.weight, g.members) for g in self.groups))


@dataclass(frozen=True, slots=True)
class CanaryGroup:
    """The enabled canary of a service: which instances it is about, and for whom."""

    ip_whitelist: tuple[str, ...]
    group_keys: frozenset[str]
    """Lower-cased group ids that make an instance a canary."""
    member_keys: frozenset[str]
    """Lower-cased ids of instances that are canaries because they are bound to such a group."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceRules:
    """Everything in the records that decides how a service is answered, pull-outs aside."""

    rules: tuple[EffectiveRule, ...] = ()
    logical: tuple[LogicalInstance, ...] = ()
    canary: CanaryGroup | None = None

    def tuples(self) -> tuple[object, ...]:
        """Two pictures with equal tuples are the same to a subscriber."""
        logical = tuple((i.instance_id, _shown(i)) for i in self.logical)
        return (tuple(rule.tuples for rule in self.rules), logical, self.canary)

    def is_empty(self) -> bool:
        return not self.rules and not self.logical and self.canary is None


NO_RULES: Final = ServiceRules()


def _shown(i: LogicalInstance) -> tuple[object, ...]:
    return (
        *(i.ip, i.machine_name, tuple(sorted(i.metadata.items())), i.port, i.protocol),
        *(i.region_id, i.zone_id, i.health_check_url, i.url, i.group_id),
    )


def rules_of(tables: Tables, service_key: str) -> ServiceRules:
    """Work out the picture of one service."""
    term = of_service(service_key)
    rules = [effective_rule(tables, rule) for rule in tables[ROUTE_RULE].find(term) if rule.is_active]
    found = ServiceRules(
        rules=tuple(rule for rule in rules if rule is not None),
        logical=tuple(tables[LOGICAL_INSTANCE].find(term)),
        canary=_canary(tables, service_key),
    )
    return NO_RULES if found.is_empty() else found


def effective_rule(tables: Tables, rule: RouteRule) -> EffectiveRule | None:
    """The rule with its active groups; None when it has none."""
    groups: list[EffectiveGroup] = []
    for link in tables[ROUTE_RULE_GROUP].find(of_rule(rule.rule_id)):
        group = group_by_id(tables, link.group_id)
        if group is not None and group.is_active:
            groups.append(_effective_group(tables, link, group))
    if not groups:
        return None
    return EffectiveRule(rule.rule_id, rule.name, rule.strategy, rule.published, tuple(groups))


def group_by_id(tables: Tables, group_id: int) -> Group | None:
    """The group of an id, unless it was deleted."""
    table = tables[GROUP]
    key = table.keys_by_id.get(group_id)
    group = None if key is None else table.values[key]
    return None if group is None or group.deleted else group


def services_of_group(tables: Tables, group_id: int) -> set[str]:
    """Keys of the services that a change of this group may concern: its own, and those whose rules use it."""
    group_table, rule_table = tables[GROUP], tables[ROUTE_RULE]
    key = group_table.keys_by_id.get(group_id)
    services = set() if key is None else {group_table.values[key].service_id.lower()}
    for link in tables[ROUTE_RULE_GROUP].find(of_group(group_id)):
        rule_key = rule_table.keys_by_id.get(link.route_rule_id)
        if rule_key is not None:
            services.add(rule_table.values[rule_key].service_id.lower())
    return services


def fixed_weight(weight: int | None) -> int:
    """The weight that counts, whatever was released."""
    if weight is None or weight < 0:
        return WEIGHT_DEFAULT
    return min(weight, WEIGHT_MAX)


def _effective_group(tables: Tables, link: RouteRuleGroup, group: Group) -> EffectiveGroup:
    term = of_group(link.group_id)
    members = tuple(member.instance_id for member in tables[GROUP_MEMBER].find(term))
    return EffectiveGroup(
        group_id=link.group_id,
        path=group.path,
        region_key=(link.region_id or group.region_id).lower(),
        zone_key=(link.zone_id or group.zone_id).lower(),
        weight=fixed_weight(link.weight),
        members=members,
        member_keys=frozenset(member.lower() for member in members),
        tags=tuple((tag.tag, tag.value) for tag in tables[GROUP_TAG].find(term)),
    )


def _canary(tables: Tables, service_key: str) -> CanaryGroup | None:
    config = tables[CANARY].values.get(service_key)
    if config is None or not config.enabled:
        return None
    return CanaryGroup(
        ip_whitelist=config.ip_whitelist,
        group_keys=frozenset({config.group_id.lower()}),
        member_keys=_canary_members(tables, service_key, config),
    )


def _canary_members(tables: Tables, service_key: str, config: Canary) -> frozenset[str]:
    """Instances bound to the groups that the canary goes by, or to those in which the RPC API keeps canaries."""
    wanted = config.group_id.lower()
    groups = {
        group.group_id
        for group in tables[GROUP].find(of_service(service_key))
        if not group.deleted and wanted in (group.name.lower(), group.path)
    }
    rule = tables[ROUTE_RULE].values.get(key_of(service_key, CANARY_RULE))
    if rule is not None and not rule.deleted:
        links = tables[ROUTE_RULE_GROUP].find(of_rule(rule.rule_id))
        groups.update(link.group_id for link in links if group_by_id(tables, link.group_id) is not None)
    return frozenset(
        member.instance_id.lower() for group_id in groups for member in tables[GROUP_MEMBER].find(of_group(group_id))
    )
