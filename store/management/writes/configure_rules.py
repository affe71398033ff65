"""The rules of a configuration: their groups, the order of these, and which rule of a service decides."""

from collections.abc import Sequence

import msgspec

from ..configuration import Configuration, RuleGroupSetting, RuleSetting
from ..draft import Draft
from ..kinds import (
    ACTIVE,
    CANARY_RULE,
    GROUP,
    INACTIVE,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    WEIGHTED,
    RouteRule,
    RouteRuleGroup,
    of_rule,
    of_service,
    rule_key,
)
from ..records import key_of
from .checks import identifier, optional, prose
from .differences import Differences, changes, check_twins, keyword
from .operator import Operator
from .references import KEY_CHARACTERS_MAX, KEY_SEPARATOR, group_at, group_of_service, key_text
from .rule_groups import checked_weight, store_link, unbind_group
from .rules import STRATEGIES, checked_title, publish_rule, store_rule


class RulesWork:
    """Goes through the rules of a document."""

    def __init__(self, draft: Draft, who: Operator, differences: Differences) -> None:
        self._draft = draft
        self._who = who
        self._differences = differences

    def all(self, wanted: Configuration) -> list[RouteRule]:
        """Bring every rule to what is set; the groups must have been."""
        rules = [self._rule(setting, f"rules[{position}]") for position, setting in enumerate(wanted.rules)]
        check_twins("rules", [rule_key(rule) for rule in rules])
        self._publish(rules)
        return rules

    def _rule(self, setting: RuleSetting, name: str) -> RouteRule:
        service, own = identifier(f"{name}.service", setting.service), identifier(f"{name}.id", setting.id)
        status = identifier(f"{name}.status", setting.status)
        before = self._draft.get(ROUTE_RULE, key_of(service, own))
        held = None if before is None or before.deleted else before
        # What is held stays as it is, also what no API would take today: other versions and the RPC API may have.
        title = checked_title(setting.name, f"{name}.name") if held is None else _title(held, setting, name)
        wanted = RouteRule(
            service_id=service,
            name=own,
            description=prose(f"{name}.description", setting.description),
            status=keyword(f"{name}.status", status, (ACTIVE, INACTIVE), held, "status"),
            strategy=keyword(f"{name}.strategy", setting.strategy or WEIGHTED, STRATEGIES, held, "strategy"),
            title=title,
        )
        rule = self._store(held, wanted)
        self._groups(rule, setting.groups, name)
        return rule

    def _store(self, before: RouteRule | None, wanted: RouteRule) -> RouteRule:
        if before is None:
            self._differences.note("+", "rule", rule_name(wanted))
            return store_rule(self._draft, self._who, wanted)
        fields = {"name": "title", "strategy": "strategy", "status": "status", "description": "description"}
        changed = changes(before, wanted, fields)
        if not changed:
            return self._draft.put(ROUTE_RULE, before)
        self._differences.note("~", "rule", rule_name(before), changed)
        kept = {name: getattr(wanted, name) for name in fields.values()}
        return store_rule(self._draft, self._who, msgspec.structs.replace(before, **kept))

    # Groups of a rule

    def _groups(self, rule: RouteRule, settings: Sequence[RuleGroupSetting], name: str) -> None:
        self._draft.remove_unknown(ROUTE_RULE_GROUP, of_rule(rule.rule_id))
        for link in self._all_links(rule):
            if not self._is_shown(link):  # it counts again when its group comes back
                self._draft.put(ROUTE_RULE_GROUP, link)
        links = [self._group(rule, setting, f"{name}.groups[{at}]") for at, setting in enumerate(settings)]
        check_twins(f"{name}.groups", [str(link.group_id) for link in links])
        wanted = [link.group_id for link in links]
        for link in self._links(rule):
            if link.group_id not in wanted:
                self._differences.note("-", "rule group", f"{rule_name(rule)} {self._group_name(link.group_id)}")
                unbind_group(self._draft, self._who, rule.rule_id, link.group_id)
        before = [link.group_id for link in self._links(rule)]
        if before != wanted:
            orders = ([self._group_name(each) for each in order] for order in (before, wanted))
            self._differences.note("~", "rule", rule_name(rule), {"order of groups": (next(orders), next(orders))})
            for link in links:
                last = msgspec.structs.replace(link, created=self._draft.next_version())
                store_link(self._draft, self._who, last)

    def _group(self, rule: RouteRule, setting: RuleGroupSetting, name: str) -> RouteRuleGroup:
        text = identifier(f"{name}.group", setting.group, KEY_CHARACTERS_MAX)
        region = optional(f"{name}.region", setting.region) or None
        zone = optional(f"{name}.zone", setting.zone) or None
        if KEY_SEPARATOR in text:
            group = group_at(self._draft, text)
        else:
            group = group_of_service(self._draft, rule.service_id, text, region_id=region, zone_id=zone)
        before = self._draft.get(ROUTE_RULE_GROUP, key_of(str(rule.rule_id), str(group.group_id)))
        wanted = before or RouteRuleGroup(route_rule_id=rule.rule_id, group_id=group.group_id)
        wanted = msgspec.structs.replace(wanted, region_id=region, zone_id=zone)
        is_held = before is not None and setting.weight == before.weight
        weight = setting.weight if is_held else checked_weight(f"{name}.weight", setting.weight)
        if weight is not None and weight != wanted.weight:
            wanted = msgspec.structs.replace(wanted, weight=weight, unreleased_weight=weight)
        target = f"{rule_name(rule)} {key_text(group)}"
        if before is None:
            self._differences.note("+", "rule group", target, {"weight": (None, weight)})
            return store_link(self._draft, self._who, wanted)
        changed = changes(before, wanted, {"weight": "weight", "region": "region_id", "zone": "zone_id"})
        if not changed:
            return self._draft.put(ROUTE_RULE_GROUP, before)
        self._differences.note("~", "rule group", target, changed)
        return store_link(self._draft, self._who, wanted)

    def _links(self, rule: RouteRule) -> list[RouteRuleGroup]:
        """The parts of groups in a rule, but for those of deleted groups, which a document does not show."""
        return [link for link in self._all_links(rule) if self._is_shown(link)]

    def _all_links(self, rule: RouteRule) -> list[RouteRuleGroup]:
        return self._draft.find(ROUTE_RULE_GROUP, of_rule(rule.rule_id))

    def _is_shown(self, link: RouteRuleGroup) -> bool:
        group = self._draft.by_id(GROUP, link.group_id)
        return group is not None and not group.deleted

    def _group_name(self, group_id: int) -> str:
        group = self._draft.by_id(GROUP, group_id)
        return str(group_id) if group is None else key_text(group)

    # Publication

    def _publish(self, rules: Sequence[RouteRule]) -> None:
        """See to it that of each service the last active rule in the document is the one that decides."""
        last = {rule.service_id.lower(): rule for rule in rules if _may_decide(rule)}
        for service_key, rule in last.items():
            active = [each for each in self._draft.find(ROUTE_RULE, of_service(service_key)) if _may_decide(each)]
            decisive = max(active, key=lambda each: (each.published, each.rule_id))
            if decisive.rule_id != rule.rule_id:
                publish_rule(self._draft, self._who, rule.rule_id)
                self._differences.note(
                    "~", "rule", rule_name(rule), {"the rule that decides": (decisive.name, rule.name)}
                )


def rule_name(rule: RouteRule) -> str:
    """A rule as messages name it."""
    return f"{rule.service_id} {rule.name}"


def _title(held: RouteRule, setting: RuleSetting, name: str) -> str | None:
    """The name for people: the one that is held when the document says so, or says nothing and it is the rule's id."""
    if setting.name == held.title or (setting.name is None and held.title == held.name):
        return held.title
    return checked_title(setting.name, f"{name}.name")


def _may_decide(rule: RouteRule) -> bool:
    return rule.is_active and rule.name.lower() != CANARY_RULE
