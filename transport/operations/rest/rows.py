"""What the REST API shows of the records: its types, made of values."""

from collections.abc import Sequence
from typing import Final

import msgspec

from artemis.store.management.draft import Draft
from artemis.store.management.kinds import (
    CANARY,
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    KINDS,
    ROUTE_RULE_GROUP,
    Canary,
    Group,
    GroupMember,
    GroupTag,
    Kind,
    RouteRule,
    RouteRuleGroup,
    V,
    Value,
    ZoneOperation,
    group_key,
    of_group,
    of_rule,
)
from artemis.store.management.writes.references import key_text
from artemis.store.versions import milliseconds

PULL_OUT: Final = "pullout"
"""What the operation of a pull-out is called, here and in the RPC API's lists of operations."""

PULL_IN: Final = "pullin"
"""What the end of such an operation is called. It is an order, and is stored nowhere."""

Row = dict[str, object]


def updated_ms(draft: Draft, kind: Kind[V], value: V) -> int:
    """When the record of a value was last written."""
    return milliseconds(draft.version(kind, kind.key(value)))


def group_row(draft: Draft, group: Group) -> Row:
    """ServiceGroup."""
    return {
        "groupId": group.group_id,
        "groupKey": key_text(group),
        "serviceId": group.service_id,
        "regionId": group.region_id,
        "zoneId": group.zone_id,
        "name": group.name,
        "appId": group.app_id,
        "groupType": group.group_type,
        "status": group.status,
        "description": group.description,
        "tags": tag_rows(draft.find(GROUP_TAG, of_group(group.group_id))),
        "metadata": group.metadata,
        "createdAt": milliseconds(group.created),
        "updatedAt": milliseconds(draft.version(GROUP, group_key(group))),
    }


def tag_rows(tags: Sequence[GroupTag]) -> list[Row]:
    """[Tag]."""
    return [{"key": tag.tag, "value": tag.value} for tag in tags]


def member_row(group: Group, member: GroupMember) -> Row:
    """An instance bound to a group."""
    return {
        "groupInstanceId": GROUP_MEMBER.id_of(GROUP_MEMBER.key(member)),
        "groupId": group.group_id,
        "groupKey": key_text(group),
        "instanceId": member.instance_id,
        "operatorId": member.operator_id,
        "createdAt": milliseconds(member.created),
    }


def rule_row(draft: Draft, rule: RouteRule) -> Row:
    """RouteRule, with its groups."""
    return {
        "routeRuleId": rule.rule_id,
        "routeId": rule.name,
        "serviceId": rule.service_id,
        "name": rule.title or rule.name,
        "description": rule.description,
        "status": rule.status,
        "strategy": rule.strategy,
        "groups": link_rows(draft, rule),
    }


def link_rows(draft: Draft, rule: RouteRule) -> list[Row]:
    """[RouteRuleGroup] in the order in which the groups were added to the rule."""
    return [link_row(draft, link) for link in draft.find(ROUTE_RULE_GROUP, of_rule(rule.rule_id))]


def link_row(draft: Draft, link: RouteRuleGroup) -> Row:
    """RouteRuleGroup. Region and zone are those of the group unless the link has others."""
    group = draft.by_id(GROUP, link.group_id)
    return {
        "routeRuleGroupId": ROUTE_RULE_GROUP.id_of(ROUTE_RULE_GROUP.key(link)),
        "routeRuleId": link.route_rule_id,
        "groupId": link.group_id,
        "groupKey": None if group is None else key_text(group),
        "weight": link.weight,
        "unreleasedWeight": link.unreleased_weight,
        "regionId": link.region_id or (None if group is None else group.region_id),
        "zoneId": link.zone_id or (None if group is None else group.zone_id),
    }


def canary_row(draft: Draft, canary: Canary) -> Row:
    """CanaryConfig."""
    return {
        "serviceId": canary.service_id,
        "ipWhitelist": canary.ip_whitelist,
        "groupId": canary.group_id,
        "enabled": canary.enabled,
        "updatedAt": updated_ms(draft, CANARY, canary),
    }


def zone_row(operation: ZoneOperation) -> Row:
    """ZoneOperation."""
    return {
        "zoneId": operation.zone_id,
        "regionId": operation.region_id,
        "serviceId": operation.service_id or None,
        "operation": operation.operation,
        "operatorId": operation.operator_id,
        "reason": operation.reason,
        "operationTime": milliseconds(operation.created),
    }


def snapshot_of(kind: str, json: msgspec.Raw) -> Row | None:
    """What an audit keeps of a thing before or after a write: all of it, but for what only nodes understand."""
    found = msgspec.json.decode(json, type=dict[str, object] | None)
    value = _VALUES.get(kind)
    if found is None or value is None:
        return found
    thing = msgspec.json.decode(json, type=value)
    names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    return {shown: getattr(thing, name) for name, shown in names if name not in _INTERNAL}


_VALUES: Final[dict[str, type[Value]]] = {**{kind.name: kind.value for kind in KINDS}, "canary-ips": Group}
_INTERNAL: Final = frozenset({"created", "deleted", "published"})
