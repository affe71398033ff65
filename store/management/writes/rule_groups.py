"""Groups in route rules, with the weight that counts and the one that waits for its release."""

from collections.abc import Sequence

import msgspec

from ..audit import Field
from ..draft import Draft
from ..errors import Conflict, Invalid, NotFound
from ..kinds import GROUP, ROUTE_RULE, ROUTE_RULE_GROUP, RouteRule, RouteRuleGroup, rule_key
from ..records import key_of
from ..rules import WEIGHT_MAX
from .checks import identifier, items, whole
from .groups import ensure_group, group_of
from .inputs import GroupInput, RuleGroupInput, RuleInput
from .operator import Operator, note
from .rules import checked_rule, rule_of, store_rule


def upsert_rule_groups(draft: Draft, who: Operator, given: Sequence[RuleGroupInput | None] | None) -> None:
    """Bind groups to rules with a weight that waits for its release; a released weight stays as it is."""
    who.require_all()
    for position, link in enumerate(items("routeRuleGroups", given)):
        weight = link.unreleased_weight
        if weight is not None:
            whole(f"routeRuleGroups[{position}].unreleasedWeight", weight)
        put_rule_group(draft, who, link.route_rule_id, link.group_id, unreleased_weight=weight)


def put_rule_group(
    draft: Draft, who: Operator, rule_id: int, group_id: int, *, unreleased_weight: int | None
) -> RouteRuleGroup:
    """Bind a group to a rule, or give its binding another weight to be released."""
    rule_of(draft, rule_id)
    group_of(draft, group_id)
    before = draft.get(ROUTE_RULE_GROUP, _link_key(rule_id, group_id))
    wanted = before or RouteRuleGroup(route_rule_id=rule_id, group_id=group_id)
    after = draft.put(ROUTE_RULE_GROUP, msgspec.structs.replace(wanted, unreleased_weight=unreleased_weight))
    _note_link(draft, who, before, after, unreleased_weight)
    return after


def release_rule_groups(draft: Draft, who: Operator, given: Sequence[RuleGroupInput | None] | None) -> None:
    """Make the waiting weights count. Bindings are named by rule and group, or by their own id."""
    who.require_all()
    for position, link in enumerate(items("routeRuleGroups", given)):
        before = draft.get(ROUTE_RULE_GROUP, _link_key(link.route_rule_id, link.group_id))
        if before is None and not (link.route_rule_id or link.group_id):
            before = draft.by_id(ROUTE_RULE_GROUP, link.route_rule_group_id)
        if before is None:
            raise NotFound(f"routeRuleGroups[{position}]: there is no such group in such a rule")
        after = draft.put(ROUTE_RULE_GROUP, msgspec.structs.replace(before, weight=before.unreleased_weight))
        _note_link(draft, who, before, after, link.unreleased_weight)


def delete_rule_groups(draft: Draft, who: Operator, link_ids: Sequence[int | None] | None) -> None:
    """Unbind by id of the binding. Unknown ids are no error."""
    who.require_all()
    for link_id in items("routeRuleGroupIds", link_ids):
        link = draft.remove_id(ROUTE_RULE_GROUP, link_id)
        if link is not None:
            _note_link(draft, who, link, None, link.unreleased_weight)
        else:
            fields: dict[str, Field] = {"routeRuleId": 0, "groupId": 0}
            note(draft, who, ROUTE_RULE_GROUP.name, str(link_id), before=None, after=None, fields=fields)


def create_rule_with_groups(
    draft: Draft, who: Operator, rule: RuleInput | None, groups: Sequence[GroupInput | None] | None
) -> RouteRule:
    """Rule, groups and waiting weights in one go. A rule or group that exists stays as it is, undeleted if need be."""
    who.require_all()
    if rule is None:
        raise Invalid("routeRule is null")
    wanted = checked_rule(rule, "routeRule.")
    before = draft.get(ROUTE_RULE, rule_key(wanted))
    stored = store_rule(draft, who, wanted if before is None else msgspec.structs.replace(before, deleted=False))
    for position, given in enumerate(items("groups", groups)):
        name = f"groups[{position}]"
        group = ensure_group(draft, who, given, name)
        if group.service_id.lower() != stored.service_id.lower():
            raise Invalid(f"{name}.serviceId is not that of the rule")
        weight = whole(f"{name}.weight", given.weight)
        put_rule_group(draft, who, stored.rule_id, group.group_id, unreleased_weight=weight)
    return stored


def bind_group(
    draft: Draft,
    who: Operator,
    rule_id: int,
    group_id: int,
    *,
    weight: int | None,
    region_id: str | None = None,
    zone_id: str | None = None,
) -> RouteRuleGroup:
    """Give a group a part in a rule; the weight counts at once. Raises Conflict when it has one already."""
    who.check()
    rule_of(draft, rule_id)
    group_of(draft, group_id)
    if draft.get(ROUTE_RULE_GROUP, _link_key(rule_id, group_id)) is not None:
        raise Conflict("the group has a part in the rule already")
    wanted = RouteRuleGroup(route_rule_id=rule_id, group_id=group_id)
    return _bind(draft, who, wanted, weight=weight, region_id=region_id, zone_id=zone_id)


def change_binding(
    draft: Draft,
    who: Operator,
    rule_id: int,
    group_id: int,
    *,
    weight: int | None = None,
    region_id: str | None = None,
    zone_id: str | None = None,
) -> RouteRuleGroup:
    """Change what is given of a group's part in a rule, and leave the rest. Raises NotFound."""
    who.check()
    rule_of(draft, rule_id)
    before = draft.get(ROUTE_RULE_GROUP, _link_key(rule_id, group_id))
    if before is None:
        raise NotFound("the group has no part in the rule")
    return _bind(draft, who, before, weight=weight, region_id=region_id, zone_id=zone_id)


def unbind_group(draft: Draft, who: Operator, rule_id: int, group_id: int) -> RouteRuleGroup:
    """Take a group out of a rule. Raises NotFound when it is not in it."""
    who.check()
    rule_of(draft, rule_id)
    before = draft.remove(ROUTE_RULE_GROUP, _link_key(rule_id, group_id))
    if before is None:
        raise NotFound("the group has no part in the rule")
    _note_link(draft, who, before, None, before.weight)
    return before


def _bind(
    draft: Draft,
    who: Operator,
    wanted: RouteRuleGroup,
    *,
    weight: int | None,
    region_id: str | None,
    zone_id: str | None,
) -> RouteRuleGroup:
    weight = checked_weight("weight", weight)
    changed = msgspec.structs.replace(
        wanted,
        weight=wanted.weight if weight is None else weight,
        unreleased_weight=wanted.unreleased_weight if weight is None else weight,
        region_id=wanted.region_id if region_id is None else identifier("regionId", region_id),
        zone_id=wanted.zone_id if zone_id is None else identifier("zoneId", zone_id),
    )
    return store_link(draft, who, changed)


def checked_weight(name: str, weight: int | None) -> int | None:
    """A weight that counts; None stays None."""
    if weight is not None and not 0 <= weight <= WEIGHT_MAX:
        raise Invalid(f"{name} must be from 0 to {WEIGHT_MAX}, not {weight}")
    return weight


def store_link(draft: Draft, who: Operator, link: RouteRuleGroup) -> RouteRuleGroup:
    """Store a group's part in a rule as it is, checked before."""
    before = draft.get(ROUTE_RULE_GROUP, _link_key(link.route_rule_id, link.group_id))
    after = draft.put(ROUTE_RULE_GROUP, link)
    _note_link(draft, who, before, after, after.weight)
    return after


def _note_link(
    draft: Draft, who: Operator, before: RouteRuleGroup | None, after: RouteRuleGroup | None, weight: int | None
) -> None:
    link = after or before
    assert link is not None
    rule = draft.by_id(ROUTE_RULE, link.route_rule_id)
    group = draft.by_id(GROUP, link.group_id)
    target = str(link.route_rule_id) if rule is None else f"{rule.service_id}/{rule.name}"
    member = str(link.group_id) if group is None else group.path
    fields: dict[str, Field] = {"routeRuleId": link.route_rule_id, "groupId": link.group_id, "weight": weight}
    note(draft, who, ROUTE_RULE_GROUP.name, f"{target}/{member}", before=before, after=after, fields=fields)


def _link_key(rule_id: int, group_id: int) -> str:
    return key_of(str(rule_id), str(group_id))
