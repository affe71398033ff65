"""Configuration: what operators decide for the long run (groups, rules, canaries) as one document of plain names.

It is what `artemis export` writes and `artemis apply` reads, so the names of its fields are those of a file that people
edit. Pull-outs are not in it: they answer to what happens, not to a plan.
"""

import msgspec

from .draft import Draft
from .kinds import (
    CANARY,
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    Canary,
    Group,
    RouteRule,
    RouteRuleGroup,
    of_group,
    of_rule,
)
from .writes.references import reference_to


class Setting(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the document. What is left out has its default."""


class GroupSetting(Setting, kw_only=True):
    service: str | None = None
    region: str | None = None
    """That of the node unless given."""
    zone: str | None = None
    name: str | None = None
    app: str | None = None
    """The name of the service unless given."""
    type: str | None = None
    """`physical` unless given."""
    status: str | None = None
    """`active` unless given."""
    description: str | None = None
    tags: dict[str, str] = {}
    members: list[str] = []
    """Ids of the instances bound by hand, all of them."""


class RuleGroupSetting(Setting, kw_only=True):
    group: str | None = None
    """The key of a group, or its id, or the name of one of the service."""
    weight: int | None = None
    """Left out: the weight that counts stays as it is, and is 5 for a new group."""
    region: str | None = None
    zone: str | None = None


class RuleSetting(Setting, kw_only=True):
    service: str | None = None
    id: str | None = None
    name: str | None = None
    """For people; the id unless given."""
    strategy: str | None = None
    """`weighted-round-robin` unless given."""
    status: str | None = None
    description: str | None = None
    groups: list[RuleGroupSetting] = []


class CanarySetting(Setting, kw_only=True):
    service: str | None = None
    ips: list[str] | None = None
    group: str | None = None
    """`canary` unless given."""
    enabled: bool | None = True


class Configuration(Setting, kw_only=True):
    """Of several active rules of a service the last one in the list is the one that decides."""

    services: list[str] = []
    """Services that the document is about, beside those that occur in it."""
    groups: list[GroupSetting] = []
    rules: list[RuleSetting] = []
    canaries: list[CanarySetting] = []


def configuration_of(draft: Draft, service_id: str | None = None) -> Configuration:
    """Everything there is to configure, or what concerns one service. Applying it changes nothing."""
    wanted = (service_id or "").strip().lower()

    def is_wanted(value: Group | RouteRule | Canary) -> bool:
        return wanted in ("", value.service_id.lower())

    groups = [group for group in draft.all(GROUP) if not group.deleted and is_wanted(group)]
    rules = [rule for rule in draft.all(ROUTE_RULE) if not rule.deleted and is_wanted(rule)]
    # Within a service, in the order of publication: the last active one decides.
    rules.sort(key=lambda rule: (rule.service_id.lower(), rule.is_active, rule.published if rule.is_active else 0))
    return Configuration(
        groups=[_group(draft, group) for group in sorted(groups, key=lambda group: group.service_id.lower())],
        rules=[_rule(draft, rule) for rule in rules],
        canaries=[_canary(canary) for canary in draft.all(CANARY) if is_wanted(canary)],
    )


def _group(draft: Draft, group: Group) -> GroupSetting:
    term = of_group(group.group_id)
    return GroupSetting(
        service=group.service_id,
        region=group.region_id,
        zone=group.zone_id,
        name=group.name,
        app=_unless(group.app_id, group.service_id),
        type=_unless(group.group_type, "physical"),
        status=_unless(group.status, "active"),
        description=group.description,
        tags={tag.tag: tag.value for tag in draft.find(GROUP_TAG, term)},
        members=[member.instance_id for member in draft.find(GROUP_MEMBER, term)],
    )


def _rule(draft: Draft, rule: RouteRule) -> RuleSetting:
    return RuleSetting(
        service=rule.service_id,
        id=rule.name,
        name=None if rule.title == rule.name else rule.title,
        strategy=_unless(rule.strategy, "weighted-round-robin"),
        status=rule.status,
        description=rule.description,
        groups=[
            _rule_group(draft, link)
            for link in draft.find(ROUTE_RULE_GROUP, of_rule(rule.rule_id))
            if (group := draft.by_id(GROUP, link.group_id)) is not None and not group.deleted
        ],
    )


def _rule_group(draft: Draft, link: RouteRuleGroup) -> RuleGroupSetting:
    group = draft.by_id(GROUP, link.group_id)
    assert group is not None
    return RuleGroupSetting(
        group=reference_to(draft, group), weight=link.weight, region=link.region_id, zone=link.zone_id
    )


def _canary(canary: Canary) -> CanarySetting:
    return CanarySetting(
        service=canary.service_id,
        ips=list(canary.ip_whitelist),
        group=_unless(canary.group_id, "canary"),
        enabled=canary.enabled,
    )


def _unless(text: str, default: str) -> str | None:
    """The text, unless it is what would be taken anyway."""
    return None if text == default else text
