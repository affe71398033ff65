"""Applying a configuration: bring groups, rules and canaries to what a document says, in one transaction.

Every change is written by the same functions as a single write, with its own entry in the audit log. What is as the
document says already is stored again as it is, for other nodes may hold something else: nobody sees a difference, and
the audit log says nothing of it.
"""

from typing import Final

import msgspec

from ..configuration import CanarySetting, Configuration, GroupSetting
from ..draft import Draft
from ..errors import Invalid
from ..kinds import (
    ACTIVE,
    CANARY,
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    INACTIVE,
    ROUTE_RULE,
    Canary,
    Group,
    RouteRule,
    group_key,
    of_group,
    of_service,
)
from ..records import key_of
from .canary import remove_canary, store_canary, white_list
from .checks import identifier, prose
from .configure_rules import RulesWork, rule_name
from .differences import Difference, Differences, Sign, changes, check_twins, keyword
from .groups import GROUP_TYPES, remove_group, store_group
from .members import delete_tags, put_member, put_tag, remove_member
from .operator import Operator
from .references import key_text
from .rules import remove_rule

ITEMS_MAX: Final = 10_000
"""Groups, members, tags, rules, their groups and canaries of one document. More is refused."""


def configure(
    draft: Draft, who: Operator, wanted: Configuration, *, region_id: str, prune: bool = False
) -> list[Difference]:
    """Make the draft what a document says; returns what that changed.

    `prune` removes what the services of the document have beyond it, `region_id` is where groups are that do not say.
    """
    who.check()
    _check_size(wanted)
    differences = Differences()
    groups = _GroupsWork(draft, who, differences, region_id).all(wanted)
    rules = RulesWork(draft, who, differences).all(wanted)
    canaries = _CanariesWork(draft, who, differences).all(wanted)
    services = [identifier(f"services[{position}]", each) for position, each in enumerate(wanted.services)]
    services += [group.service_id for group in groups]
    services += [rule.service_id for rule in rules]
    services += [canary.service_id for canary in canaries]
    kept = {value.group_id for value in groups} | {value.rule_id for value in rules}
    configured = {canary.service_id.lower() for canary in canaries}
    for service_key in dict.fromkeys(service_id.lower() for service_id in services):
        rest = _Rest(draft, who, differences, service_key, prune=prune)
        rest.of_records(kept)
        if service_key not in configured:
            rest.of_canary()
    return differences.found


class _GroupsWork:
    """The groups of a document, with tags and members."""

    def __init__(self, draft: Draft, who: Operator, differences: Differences, region_id: str) -> None:
        self._draft = draft
        self._who = who
        self._differences = differences
        self._region_id = region_id

    def all(self, wanted: Configuration) -> list[Group]:
        groups = [self._group(setting, f"groups[{position}]") for position, setting in enumerate(wanted.groups)]
        check_twins("groups", [group_key(group) for group in groups])
        return groups

    def _group(self, setting: GroupSetting, name: str) -> Group:
        service = identifier(f"{name}.service", setting.service)
        region = identifier(f"{name}.region", setting.region or self._region_id)
        zone, own = identifier(f"{name}.zone", setting.zone), identifier(f"{name}.name", setting.name)
        before = self._draft.get(GROUP, key_of(service, region, zone, own))
        held = None if before is None or before.deleted else before
        wanted = Group(
            service_id=service,
            region_id=region,
            zone_id=zone,
            name=own,
            app_id=identifier(f"{name}.app", setting.app or service),
            description=prose(f"{name}.description", setting.description),
            status=keyword(f"{name}.status", setting.status or ACTIVE, (ACTIVE, INACTIVE), held, "status"),
            group_type=keyword(f"{name}.type", setting.type or GROUP_TYPES[0], GROUP_TYPES, held, "group_type"),
        )
        group = self._store(held, wanted)
        self._tags(group, setting.tags, name)
        self._members(group, setting.members, name)
        return group

    def _store(self, before: Group | None, wanted: Group) -> Group:
        if before is None:
            self._differences.note("+", "group", key_text(wanted))
            return store_group(self._draft, self._who, wanted)
        fields = {"app": "app_id", "type": "group_type", "status": "status", "description": "description"}
        changed = changes(before, wanted, fields)
        if not changed:
            return self._draft.put(GROUP, before)
        self._differences.note("~", "group", key_text(before), changed)
        kept = {name: getattr(wanted, name) for name in fields.values()}
        return store_group(self._draft, self._who, msgspec.structs.replace(before, **kept))

    def _tags(self, group: Group, wanted: dict[str, str], name: str) -> None:
        self._draft.remove_unknown(GROUP_TAG, of_group(group.group_id))
        held = {tag.tag.lower(): tag for tag in self._draft.find(GROUP_TAG, of_group(group.group_id))}
        key = key_text(group)
        for text, value in wanted.items():
            tag = identifier(f"{name}.tags", text)
            stored = identifier(f"{name}.tags.{tag}", value, 1024)
            before = held.pop(tag.lower(), None)
            if before is None or before.value != stored:
                put_tag(self._draft, self._who, group.group_id, tag, stored)
                old = None if before is None else before.value
                self._differences.note("+" if before is None else "~", "tag", f"{key} {tag}", {"value": (old, stored)})
            else:
                self._draft.put(GROUP_TAG, before)
        for gone in held.values():
            delete_tags(self._draft, self._who, group_id=group.group_id, tag=gone.tag, value=None)
            self._differences.note("-", "tag", f"{key} {gone.tag}", {"value": (gone.value, None)})

    def _members(self, group: Group, wanted: list[str], name: str) -> None:
        self._draft.remove_unknown(GROUP_MEMBER, of_group(group.group_id))
        bound = self._draft.find(GROUP_MEMBER, of_group(group.group_id))
        held = {member.instance_id.lower(): member for member in bound}
        key = key_text(group)
        for position, text in enumerate(wanted):
            instance_id = identifier(f"{name}.members[{position}]", text)
            before = held.pop(instance_id.lower(), None)
            if before is not None:
                self._draft.put(GROUP_MEMBER, before)
            else:
                put_member(self._draft, self._who, group.group_id, instance_id)
                self._differences.note("+", "member", f"{key} {instance_id}")
        for gone in held.values():
            remove_member(self._draft, self._who, group.group_id, gone.instance_id)
            self._differences.note("-", "member", f"{key} {gone.instance_id}")


class _CanariesWork:
    """The canaries of a document."""

    def __init__(self, draft: Draft, who: Operator, differences: Differences) -> None:
        self._draft = draft
        self._who = who
        self._differences = differences

    def all(self, wanted: Configuration) -> list[Canary]:
        found = [self._canary(setting, f"canaries[{position}]") for position, setting in enumerate(wanted.canaries)]
        check_twins("canaries", [key_of(canary.service_id) for canary in found])
        return found

    def _canary(self, setting: CanarySetting, name: str) -> Canary:
        wanted = Canary(
            service_id=identifier(f"{name}.service", setting.service),
            ip_whitelist=white_list(f"{name}.ips", setting.ips),
            group_id=identifier(f"{name}.group", setting.group if setting.group is not None else "canary"),
            enabled=setting.enabled is not False,
        )
        before = self._draft.get(CANARY, key_of(wanted.service_id))
        if before is None:
            self._differences.note("+", "canary", wanted.service_id)
            return store_canary(self._draft, self._who, wanted)
        changed = changes(before, wanted, {"ips": "ip_whitelist", "group": "group_id", "enabled": "enabled"})
        if not changed:
            return self._draft.put(CANARY, before)
        self._differences.note("~", "canary", before.service_id, changed)
        return store_canary(self._draft, self._who, msgspec.structs.replace(wanted, service_id=before.service_id))


class _Rest:
    """What a service has beyond the document: removed when that is wanted, named otherwise."""

    def __init__(self, draft: Draft, who: Operator, differences: Differences, service_key: str, *, prune: bool) -> None:
        self._draft = draft
        self._who = who
        self._differences = differences
        self._service_key = service_key
        self._prune = prune
        self._sign: Sign = "-" if prune else "?"

    def of_records(self, kept: set[int]) -> None:
        """Rules and groups whose ids are not among those kept."""
        term = of_service(self._service_key)
        for rule in self._draft.find(ROUTE_RULE, term):
            if not rule.deleted and rule.rule_id not in kept:
                self._rule(rule)
        for group in self._draft.find(GROUP, term):
            if not group.deleted and group.group_id not in kept:
                self._differences.note(self._sign, "group", key_text(group))
                if self._prune:
                    remove_group(self._draft, self._who, group.group_id)

    def _rule(self, rule: RouteRule) -> None:
        self._differences.note(self._sign, "rule", rule_name(rule))
        if self._prune:
            remove_rule(self._draft, self._who, rule.rule_id)

    def of_canary(self) -> None:
        canary = self._draft.get(CANARY, self._service_key)
        if canary is not None:
            self._differences.note(self._sign, "canary", canary.service_id)
            if self._prune:
                remove_canary(self._draft, self._who, service_id=canary.service_id)


def _check_size(wanted: Configuration) -> None:
    size = len(wanted.groups) + len(wanted.rules) + len(wanted.canaries) + len(wanted.services)
    size += sum(len(group.tags) + len(group.members) for group in wanted.groups)
    size += sum(len(rule.groups) for rule in wanted.rules)
    if size > ITEMS_MAX:
        raise Invalid(f"the configuration has {size} items, at most {ITEMS_MAX} are allowed")
