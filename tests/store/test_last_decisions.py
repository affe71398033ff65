"""Of two decisions that were acknowledged the later one holds on every node, also where it seemed to change nothing.

Each case is taken at two nodes that hold the same: one of them decides something, and the other, which has not heard of
it, decides at once that everything is to be as it was. There that changes nothing and tells no subscriber; when the two
have compared what they hold, both must hold what was decided last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from artemis.store.management.configuration import Configuration, GroupSetting, RuleGroupSetting, RuleSetting
from artemis.store.management.draft import Draft
from artemis.store.management.kinds import (
    CANARY,
    GROUP,
    GROUP_MEMBER,
    GROUP_OPERATION,
    GROUP_TAG,
    INSTANCE_OPERATION,
    KINDS,
    LOGICAL_INSTANCE,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    SERVER_OPERATION,
    ZONE_OPERATION,
    Kind,
)
from artemis.store.management.records import id_of, key_of
from artemis.store.management.writes import canary, groups, members, operations, rule_groups, rules
from artemis.store.management.writes.configure import configure
from artemis.store.management.writes.inputs import (
    GroupInput,
    GroupMemberInput,
    GroupOperationsInput,
    GroupTagsInput,
    LogicalInstanceInput,
    RuleGroupInput,
    RuleInput,
)

from .building import REGION, instance
from .managed import OPERATOR, Managed

Plan = Callable[[Draft], object]
WHERE = {"service_id": "svc.a", "region_id": REGION, "zone_id": "zone1"}
G1 = id_of("group", key_of("svc.a", REGION, "zone1", "g1"))
R1 = id_of("route-rule", key_of("svc.a", "r1"))
LINK = id_of("route-rule-group", key_of(str(R1), str(G1)))
MEMBER = id_of("group-member", key_of(str(G1), "m1"))
LOGICAL = id_of("logical-instance", key_of("svc.a", "l1"))


def group(**fields: str) -> Plan:
    given: dict[str, Any] = {**WHERE, "name": "g1", "app_id": "app", "status": "active", "description": "old", **fields}
    return lambda draft: groups.upsert_groups(draft, OPERATOR, [GroupInput(**given)])


def rule(**fields: str) -> Plan:
    given = {"service_id": "svc.a", "name": "r1", "status": "active", "strategy": "weighted-round-robin", **fields}
    return lambda draft: rules.upsert_rules(draft, OPERATOR, [RuleInput(**given)])


def rule_with_groups(weight: int) -> Plan:
    given = RuleInput(service_id="svc.a", name="r1", status="active", strategy="weighted-round-robin")
    own = GroupInput(**WHERE, name="g1", app_id="app", status="active", weight=weight)
    return lambda draft: rule_groups.create_rule_with_groups(draft, OPERATOR, given, [own])


def waiting_weight(weight: int) -> Plan:
    link = RuleGroupInput(route_rule_id=R1, group_id=G1, unreleased_weight=weight)
    return lambda draft: rule_groups.upsert_rule_groups(draft, OPERATOR, [link])


def released(draft: Draft) -> None:
    rule_groups.release_rule_groups(draft, OPERATOR, [RuleGroupInput(route_rule_id=R1, group_id=G1)])


def weight(weight: int) -> Plan:
    return lambda draft: rule_groups.change_binding(draft, OPERATOR, R1, G1, weight=weight)


def tag(value: str) -> Plan:
    return lambda draft: members.upsert_tags(draft, OPERATOR, [GroupTagsInput(group_id=G1, tags={"color": value})])


def no_tag(draft: Draft) -> None:
    members.delete_tags(draft, OPERATOR, group_id=G1, tag="COLOR", value=None)


def no_tags(draft: Draft) -> None:
    members.delete_tags(draft, OPERATOR, group_id=G1, tag=None, value=None)


def member(draft: Draft) -> None:
    members.insert_members(draft, OPERATOR, [GroupMemberInput(group_id=G1, instance_id="m1")])


def no_member(draft: Draft) -> None:
    members.delete_members(draft, OPERATOR, [MEMBER])


def canaries(*ips: str) -> Plan:
    return lambda draft: canary.update_canary_ips(
        draft, OPERATOR, region_id=REGION, service_id="svc.a", app_id="app", canary_ips=ips
    )


def white_list(*ips: str, group_id: str = "canary", enabled: bool = True) -> Plan:
    return lambda draft: canary.put_canary(
        draft, OPERATOR, service_id="svc.a", ip_whitelist=ips, group_id=group_id, enabled=enabled
    )


def canary_enabled(enabled: bool) -> Plan:
    return lambda draft: canary.enable_canary(draft, OPERATOR, service_id="svc.a", enabled=enabled)


def no_canary(draft: Draft) -> None:
    canary.remove_canary(draft, OPERATOR, service_id="svc.a")


def logical(url: str) -> Plan:
    given: dict[str, Any] = {**WHERE, "instance_id": "l1", "ip": "10.0.0.9", "machine_name": "m", "metadata": {}}
    given |= {"protocol": "http", "health_check_url": "http://l1/", "url": url, "group_id": "g1"}
    return lambda draft: members.upsert_logical_instances(draft, OPERATOR, [LogicalInstanceInput(**given)])


def no_logical(draft: Draft) -> None:
    members.delete_logical_instances(draft, OPERATOR, [LOGICAL])


def group_out(*, complete: bool) -> Plan:
    given = [GroupOperationsInput(group_id=G1, operations=["out"])]
    return lambda draft: groups.operate_groups(draft, OPERATOR, given, complete=complete)


def instance_out(*, complete: bool) -> Plan:
    return lambda draft: operations.operate_instance(
        draft, OPERATOR, region_id=REGION, service_id="svc.a", instance_id="i1", operation="out", complete=complete
    )


def server_out(*, complete: bool) -> Plan:
    return lambda draft: operations.operate_server(
        draft, OPERATOR, region_id=REGION, server_id="10.0.0.1", operation="out", complete=complete
    )


def zone_out(service_id: str, *, complete: bool) -> Plan:
    return lambda draft: operations.operate_zone(
        draft, OPERATOR, region_id=REGION, service_id=service_id, zone_id="zone1", operation="out", complete=complete
    )


def instance_in(draft: Draft) -> None:
    operations.pull_in_instance(draft, OPERATOR, region_id=REGION, service_id="svc.a", instance_id="i1")


def server_in(draft: Draft) -> None:
    operations.pull_in_server(draft, OPERATOR, region_id=REGION, server_id="10.0.0.1")


def zone_in(draft: Draft) -> None:
    operations.pull_in_zone(draft, OPERATOR, region_id=REGION, service_id="svc.a", zone_id="zone1")


def document(*, tags: dict[str, str], bound: list[str], weight: int, description: str = "old") -> Plan:
    own = GroupSetting(
        service="svc.a", zone="zone1", name="g1", app="app", description=description, tags=tags, members=bound
    )
    of_rule = RuleSetting(
        service="svc.a", id="r1", status="active", groups=[RuleGroupSetting(group="g1", weight=weight)]
    )
    wanted = Configuration(groups=[own], rules=[of_rule])
    return lambda draft: configure(draft, OPERATOR, wanted, region_id=REGION)


def everything(*plans: Plan) -> Plan:
    def plan(draft: Draft) -> None:
        for each in plans:
            each(draft)

    return plan


BOUND = (group(), rule(), waiting_weight(5), weight(5))
DOCUMENT = document(tags={"color": "red"}, bound=["m1"], weight=5)


@dataclass(frozen=True)
class Case:
    """A thing that is one way, becomes another at one node, and is to be as it was by the word of the other."""

    before: tuple[Plan, ...]
    there: Plan
    here: Plan


CASES = {
    "group status": Case((group(),), group(status="inactive"), group()),
    "group description": Case((group(),), group(description="new"), group()),
    "group app": Case((group(),), group(app_id="other"), group()),
    "group status by patch": Case(
        (group(),),
        lambda draft: groups.change_group(draft, OPERATOR, G1, status="inactive"),
        lambda draft: groups.change_group(draft, OPERATOR, G1, status="active"),
    ),
    "group type by patch": Case(
        (group(),),
        lambda draft: groups.change_group(draft, OPERATOR, G1, group_type="logical"),
        lambda draft: groups.change_group(draft, OPERATOR, G1, group_type="physical"),
    ),
    "group deleted": Case((group(),), lambda draft: groups.delete_groups(draft, OPERATOR, [G1]), group()),
    "group removed": Case((group(),), lambda draft: groups.remove_group(draft, OPERATOR, G1), group()),
    "group made": Case((), group(), lambda draft: groups.delete_groups(draft, OPERATOR, [G1])),
    "group back": Case(
        (group(), lambda draft: groups.delete_groups(draft, OPERATOR, [G1])),
        group(),
        lambda draft: groups.delete_groups(draft, OPERATOR, [G1]),
    ),
    "group operation": Case((group(),), group_out(complete=False), group_out(complete=True)),
    "group operation ended": Case(
        (group(), group_out(complete=False)), group_out(complete=True), group_out(complete=False)
    ),
    "tag value": Case((group(), tag("red")), tag("blue"), tag("red")),
    "tag made": Case((group(),), tag("red"), no_tag),
    "any tag made": Case((group(),), tag("red"), no_tags),
    "tag deleted": Case((group(), tag("red")), no_tag, tag("red")),
    "member made": Case((group(),), member, no_member),
    "member deleted": Case((group(), member), no_member, member),
    "canary instances": Case((canaries("i1"),), canaries("i1", "i2"), canaries("i1")),
    "canary instances gone": Case((canaries("i1"),), canaries(), canaries("i1")),
    "canary group deleted": Case(
        (canaries("i1"),),
        lambda draft: groups.delete_groups(draft, OPERATOR, [group.group_id for group in draft.all(GROUP)]),
        canaries("i1"),
    ),
    "canary rule deleted": Case(
        (canaries("i1"),),
        lambda draft: rules.delete_rules(draft, OPERATOR, [rule.rule_id for rule in draft.all(ROUTE_RULE)]),
        canaries("i1"),
    ),
    "canary white list": Case((white_list("10.1.1.1"),), white_list("10.1.1.2"), white_list("10.1.1.1")),
    "canary group": Case((white_list(),), white_list(group_id="other"), white_list()),
    "canary enabled": Case((white_list(),), canary_enabled(False), canary_enabled(True)),
    "canary made": Case((), white_list("10.1.1.1"), no_canary),
    "canary removed": Case((white_list(),), no_canary, white_list()),
    "logical instance url": Case((logical("http://one/"),), logical("http://two/"), logical("http://one/")),
    "logical instance made": Case((), logical("http://one/"), no_logical),
    "logical instance deleted": Case((logical("http://one/"),), no_logical, logical("http://one/")),
    "instance operation": Case((), instance_out(complete=False), instance_out(complete=True)),
    "instance operation ended": Case(
        (instance_out(complete=False),), instance_out(complete=True), instance_out(complete=False)
    ),
    "any instance operation": Case((), instance_out(complete=False), instance_in),
    "server operation": Case((), server_out(complete=False), server_out(complete=True)),
    "any server operation": Case((), server_out(complete=False), server_in),
    "zone operation": Case((), zone_out("svc.a", complete=False), zone_out("svc.a", complete=True)),
    "zone operation for all": Case((), zone_out("", complete=False), zone_out("", complete=True)),
    "any zone operation": Case((), zone_out("svc.a", complete=False), zone_in),
    "rule status": Case((rule(),), rule(status="inactive"), rule()),
    "rule strategy": Case((rule(),), rule(strategy="close-by-visit"), rule()),
    "rule description": Case((rule(description="old"),), rule(description="new"), rule(description="old")),
    "rule title": Case(
        (rule(), lambda draft: rules.change_rule(draft, OPERATOR, R1, title="old")),
        lambda draft: rules.change_rule(draft, OPERATOR, R1, title="new"),
        lambda draft: rules.change_rule(draft, OPERATOR, R1, title="old"),
    ),
    "rule published": Case(
        (rule(status="inactive"),),
        lambda draft: rules.publish_rule(draft, OPERATOR, R1),
        lambda draft: rules.unpublish_rule(draft, OPERATOR, R1),
    ),
    "rule deleted": Case((rule(),), lambda draft: rules.delete_rules(draft, OPERATOR, [R1]), rule()),
    "rule removed": Case((rule(),), lambda draft: rules.remove_rule(draft, OPERATOR, R1), rule()),
    "rule made": Case((), rule(), lambda draft: rules.delete_rules(draft, OPERATOR, [R1])),
    "rule deleted with its groups": Case(
        (rule_with_groups(5),),
        everything(
            lambda draft: rules.delete_rules(draft, OPERATOR, [R1]),
            lambda draft: groups.delete_groups(draft, OPERATOR, [G1]),
        ),
        rule_with_groups(5),
    ),
    "waiting weight of a rule with groups": Case((rule_with_groups(12),), rule_with_groups(10), rule_with_groups(12)),
    "waiting weight": Case(BOUND, waiting_weight(9), waiting_weight(5)),
    "released weight": Case((*BOUND, waiting_weight(9), released), weight(7), released),
    "weight": Case(BOUND, weight(7), weight(5)),
    "rule group made": Case(
        (group(), rule()),
        waiting_weight(9),
        lambda draft: rule_groups.delete_rule_groups(draft, OPERATOR, [LINK]),
    ),
    "rule group deleted": Case(
        BOUND,
        lambda draft: rule_groups.delete_rule_groups(draft, OPERATOR, [LINK]),
        weight(5),
    ),
    "document: group": Case((DOCUMENT,), group(description="new"), DOCUMENT),
    "document: tag": Case((DOCUMENT,), tag("blue"), DOCUMENT),
    "document: another tag": Case(
        (DOCUMENT,), lambda draft: members.put_tag(draft, OPERATOR, G1, "size", "xl"), DOCUMENT
    ),
    "document: member": Case((DOCUMENT,), no_member, DOCUMENT),
    "document: another member": Case(
        (DOCUMENT,), lambda draft: members.put_member(draft, OPERATOR, G1, "m2"), DOCUMENT
    ),
    "document: rule": Case((DOCUMENT,), rule(strategy="close-by-visit"), DOCUMENT),
    "document: weight": Case((DOCUMENT,), weight(7), DOCUMENT),
    "document: canary": Case(
        (white_list("10.1.1.1"),),
        canary_enabled(False),
        lambda draft: configure(
            draft,
            OPERATOR,
            msgspec.convert(
                {"canaries": [{"service": "svc.a", "ips": ["10.1.1.1"], "group": "canary", "enabled": True}]},
                Configuration,
            ),
            region_id=REGION,
        ),
    ),
}


def held(node: Managed) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and key, everything but when it came into being."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for kind in KINDS:
        for key, value in node.management.tables[kind].values.items():
            fields = msgspec.structs.asdict(value)
            found[kind.name, key] = {name: fields[name] for name in fields if name not in ("created", "published")}
    return {key: fields for key, fields in found.items() if not fields.get("deleted")}


def two_nodes(case: Case) -> tuple[Managed, Managed]:
    one, other = Managed("node-a"), Managed("node-b")
    for node in (one, other):
        node.register(instance("i1", service_id="svc.a"))
    for plan in case.before:
        one.write(plan)
    other.merge_from(one)
    assert held(one) == held(other)
    other.now_ms = one.now_ms
    other.told()
    return one, other


@pytest.mark.parametrize("name", CASES)
def test_the_last_decision_holds_where_it_changes_nothing(name: str) -> None:
    case = CASES[name]
    one, other = two_nodes(case)
    before, digests = held(other), other.management.digests()
    one.write(case.there)
    assert held(one) != before, "the case decides nothing"
    other.now_ms = one.now_ms
    audits = len(other.management.audit)
    other.write(case.here)
    assert held(other) == before
    assert other.told() == []
    assert other.management.digests() != digests
    assert name.startswith("document") or len(other.management.audit) > audits
    one.merge_from(other)
    other.merge_from(one)
    assert held(one) == held(other) == before
    assert one.management.digests() == other.management.digests()


@pytest.mark.parametrize("name", CASES)
def test_the_last_decision_holds_in_whatever_order_a_third_node_hears(name: str) -> None:
    case = CASES[name]
    one, other = two_nodes(case)
    before = held(other)
    one.write(case.there)
    other.now_ms = one.now_ms
    other.write(case.here)
    there_first, here_first = Managed("node-c"), Managed("node-d")
    there_first.merge_from(one)
    there_first.merge_from(other)
    here_first.merge_from(other)
    here_first.merge_from(one)
    assert held(there_first) == held(here_first) == before
    assert there_first.management.digests() == here_first.management.digests()


def test_every_kind_of_record_is_decided_about() -> None:
    kinds: tuple[Kind[Any], ...] = (
        *(CANARY, GROUP, GROUP_MEMBER, GROUP_OPERATION, GROUP_TAG, INSTANCE_OPERATION, LOGICAL_INSTANCE),
        *(ROUTE_RULE, ROUTE_RULE_GROUP, SERVER_OPERATION, ZONE_OPERATION),
    )
    assert set(kinds) == set(KINDS)
    written: set[str] = set()
    for case in CASES.values():
        one, other = two_nodes(case)
        other.write(case.here)
        written |= {record.kind for record in other.management.tables.records() if record not in set(_all(one))}
    assert {kind.name for kind in kinds} <= written


def _all(node: Managed) -> list[Any]:
    return list(node.management.tables.records())


# What is removed by id or by what it belongs to


def test_a_group_that_is_removed_takes_along_what_another_node_has_just_hung_on_it() -> None:
    one, other = two_nodes(Case((group(), rule()), group(), group()))
    one.write(everything(tag("red"), member, waiting_weight(3), group_out(complete=False)))
    other.now_ms = one.now_ms
    other.write(lambda draft: groups.remove_group(draft, OPERATOR, G1))
    one.merge_from(other)
    other.merge_from(one)
    assert {kind for kind, _ in held(one)} == {kind for kind, _ in held(other)} == {"route-rule"}


def test_what_is_made_after_a_removal_by_id_stays() -> None:
    one, other = two_nodes(Case((), group(), group()))
    one.write(lambda draft: groups.delete_groups(draft, OPERATOR, [G1]))
    other.now_ms = one.now_ms
    other.write(group())
    one.merge_from(other)
    other.merge_from(one)
    assert {key for _, key in held(one)} == {key for _, key in held(other)} == {"svc.a\nlab\nzone1\ng1"}


def test_a_pull_in_of_everything_reaches_the_instances_of_a_node_that_hears_of_it() -> None:
    one, other = two_nodes(Case((), group(), group()))
    one.write(instance_out(complete=False))
    assert one.shown() == set()
    one.told()
    other.now_ms = one.now_ms
    other.write(instance_in)
    one.merge_from(other)
    assert one.shown() == {"i1"}
    assert one.told() == [("svc.a", "changes", ["new i1"])]


def test_an_id_that_nothing_can_have_leaves_no_trace_but_an_audit() -> None:
    node = Managed()
    node.write(lambda draft: groups.delete_groups(draft, OPERATOR, [0, -1, 2**53, 2**80]))
    assert list(node.management.tables.records()) == []
    assert len(node.management.audit) == 4


def test_a_range_tombstone_is_forgotten_with_what_it_left() -> None:
    one, other = two_nodes(Case((), group(), group()))
    one.write(group())
    other.now_ms = one.now_ms
    other.write(lambda draft: groups.delete_groups(draft, OPERATOR, [G1]))
    one.merge_from(other)
    later = other.now_ms + one.management.tombstone_ttl_ms + 1
    forgotten, _ = one.management.forget(now_ms=later)
    assert sorted(record.kind for record in forgotten) == ["group", "range-tombstone"]
    assert one.management.digests() == Managed().management.digests()


@pytest.mark.parametrize("key", ["group", "group\nid x", "group\nid 99999999999999999999", "nonsense\nid 5", ""])
def test_a_range_tombstone_that_makes_no_sense_covers_nothing(key: str) -> None:
    node = Managed()
    node.write(group())
    node.management.merge([(f"range-tombstone\n{key}", (node.now_ms + 1) << 48, None)], now_ms=node.now_ms)
    assert len(held(node)) == 1


@pytest.mark.parametrize("name", CASES)
def test_no_record_of_an_operator_is_refused_by_a_peer(name: str) -> None:
    one, other = two_nodes(CASES[name])
    one.write(CASES[name].there)
    other.now_ms = one.now_ms
    other.write(CASES[name].here)
    for node in (one, other):
        for record in _all(node):
            assert node.management.problem(record.full_key, record.version, record.value) is None, record
