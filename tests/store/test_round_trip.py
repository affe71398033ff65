"""An export, applied where it comes from, changes nothing; applied elsewhere, it makes the same again."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artemis.node.cli.documents import read_document, write_document
from artemis.store.management.configuration import Configuration, configuration_of
from artemis.store.management.draft import Draft, Plan
from artemis.store.management.errors import Refused
from artemis.store.management.kinds import GROUP as GROUP_KIND
from artemis.store.management.kinds import ROUTE_RULE
from artemis.store.management.management import Management
from artemis.store.management.writes import canary, groups, members, rule_groups, rules
from artemis.store.management.writes.configure import configure
from artemis.store.management.writes.differences import Difference
from artemis.store.management.writes.inputs import (
    GroupInput,
    GroupMemberInput,
    GroupTagsInput,
    RuleGroupInput,
    RuleInput,
)
from artemis.store.management.writes.operator import Operator
from artemis.store.versions import HybridClock

from .building import NOW_MS, REGION

T = TypeVar("T")

WHO = Operator("op", token="t", operation="write", reason="why")

HOSTILE = st.text(alphabet=st.sampled_from(" :/%\"\\'#=,.[]{}<>*\tA1aßİıſK\n\x7f\x85\u2028é🐢-_"), max_size=6)
NAME = st.sampled_from(["a", "A", "a b", " a ", "a:b", "b", "a/b", "inactive", "1"]) | HOSTILE
PROSE = st.none() | st.sampled_from(["", " ", " two\nlines\r\n", '"""', "'''"]) | st.text(max_size=8)
WORD = st.none() | st.sampled_from(["active", "Active", " INACTIVE ", "inactive", "odd", "physical", "LOGICAL"]) | NAME
STRATEGY = st.sampled_from(["weighted-round-robin", "close-by-visit", "Close-By-Visit", " odd "]) | NAME
WEIGHT = st.none() | st.sampled_from([-1, 0, 5, 10_000, 10_001, 2**31 - 1]) | st.integers(0, 20)
IPS = st.lists(st.sampled_from(["10.0.0.1", " 10.0.0.1", "2001:DB8::0:1", "::ffff:10.0.0.1", "10.1.2.3/8"]), max_size=3)

NUMBER = st.integers(0, 5)

GROUP = st.builds(
    GroupInput,
    service_id=st.sampled_from(["s", "s:x"]) | NAME,
    region_id=st.just(REGION) | NAME,
    zone_id=NAME,
    name=NAME,
    app_id=st.none() | NAME,
    description=PROSE,
    status=WORD,
)
RULE = st.builds(
    RuleInput, service_id=st.just("s") | NAME, name=NAME, description=PROSE, status=WORD, strategy=st.none() | STRATEGY
)


def group_of(draft: Draft, number: int) -> int:
    found = draft.all(GROUP_KIND)
    return found[number % len(found)].group_id if found else 0


def rule_of(draft: Draft, number: int) -> int:
    found = draft.all(ROUTE_RULE)
    return found[number % len(found)].rule_id if found else 0


def writes() -> st.SearchStrategy[Plan[object]]:
    """Every write of both APIs that an export shows. Groups and rules are picked by number among those there are."""

    def plan(write: Callable[..., object], *parts: st.SearchStrategy[object]) -> st.SearchStrategy[Plan[object]]:
        return st.tuples(*parts).map(lambda values: lambda draft: write(draft, *values))

    return st.one_of(
        plan(lambda draft, group: groups.upsert_groups(draft, WHO, [group]), GROUP),
        plan(lambda draft, group, kind: groups.create_group(draft, WHO, group, kind), GROUP, WORD),
        plan(lambda draft, at: groups.delete_groups(draft, WHO, [group_of(draft, at)]), NUMBER),
        plan(
            lambda draft, at, text, status: groups.change_group(
                draft, WHO, group_of(draft, at), description=text, status=status
            ),
            *(NUMBER, PROSE, WORD),
        ),
        plan(
            lambda draft, at, tags: members.upsert_tags(
                draft, WHO, [GroupTagsInput(group_id=group_of(draft, at), tags=tags)]
            ),
            NUMBER,
            st.dictionaries(NAME, NAME, max_size=3),
        ),
        plan(
            lambda draft, at, name: members.insert_members(
                draft, WHO, [GroupMemberInput(group_id=group_of(draft, at), instance_id=name)]
            ),
            *(NUMBER, NAME),
        ),
        plan(lambda draft, rule: rules.upsert_rules(draft, WHO, [rule]), RULE),
        plan(lambda draft, rule, title: rules.create_rule(draft, WHO, rule, title=title), RULE, st.none() | NAME),
        plan(
            lambda draft, at, title, text: rules.change_rule(
                draft, WHO, rule_of(draft, at), title=title, description=text
            ),
            *(NUMBER, st.none() | NAME, PROSE),
        ),
        plan(lambda draft, at: rules.publish_rule(draft, WHO, rule_of(draft, at)), NUMBER),
        plan(lambda draft, at: rules.delete_rules(draft, WHO, [rule_of(draft, at)]), NUMBER),
        plan(
            lambda draft, rule, at, weight: rule_groups.upsert_rule_groups(
                draft, WHO, [_link(draft, rule, at, unreleased_weight=weight)]
            ),
            *(NUMBER, NUMBER, WEIGHT),
        ),
        plan(
            lambda draft, rule, at: rule_groups.release_rule_groups(draft, WHO, [_link(draft, rule, at)]),
            *(NUMBER, NUMBER),
        ),
        plan(
            lambda draft, rule, at, weight, region, zone: rule_groups.bind_group(
                draft,
                WHO,
                rule_of(draft, rule),
                group_of(draft, at),
                weight=weight,
                region_id=region,
                zone_id=zone,
            ),
            *(NUMBER, NUMBER, WEIGHT, st.none() | NAME, st.none() | NAME),
        ),
        plan(
            lambda draft, name, ips, group, enabled: canary.put_canary(
                draft, WHO, service_id=name, ip_whitelist=ips, group_id=group, enabled=enabled
            ),
            *(NAME, IPS, st.none() | NAME, st.none() | st.booleans()),
        ),
        plan(
            lambda draft, name, app, ids: canary.update_canary_ips(
                draft, WHO, region_id=REGION, service_id=name, app_id=app, canary_ips=ids
            ),
            *(NAME, NAME, st.lists(NAME, max_size=2)),
        ),
    )


def _link(draft: Draft, rule: int, group: int, *, unreleased_weight: int | None = None) -> RuleGroupInput:
    return RuleGroupInput(
        route_rule_id=rule_of(draft, rule), group_id=group_of(draft, group), unreleased_weight=unreleased_weight
    )


def a_node() -> Management:
    return Management(region_id=REGION, clock=HybridClock(7), origin=7)


def carry_out(management: Management, plan: Plan[T], *, now_ms: int) -> tuple[T, Draft]:
    """What a plan returned, and the draft it worked on, whose records are applied."""
    draft = management.draft(now_ms=now_ms)
    done = draft.attempt(plan)
    management.apply(draft.records())
    return done, draft


def apply(management: Management, document: Configuration) -> tuple[list[Difference], Draft]:
    return carry_out(management, lambda draft: configure(draft, WHO, document, region_id=REGION), now_ms=NOW_MS + 1)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(writes(), min_size=1, max_size=14))
def test_an_export_changes_nothing_where_it_comes_from_nor_where_it_was_applied(plans: list[Plan[object]]) -> None:
    here = a_node()
    for plan in plans:
        try:
            carry_out(here, plan, now_ms=NOW_MS)
        except Refused:
            continue
    exported = configuration_of(here.draft(now_ms=NOW_MS))
    document = read_document("export", write_document(exported).encode())
    assert document == exported
    differences, draft = apply(here, document)
    assert differences == []
    assert draft.audits == []
    assert configuration_of(here.draft(now_ms=NOW_MS + 2)) == exported
    elsewhere = a_node()
    try:
        apply(elsewhere, document)
    except Refused:
        return  # the RPC API takes weights and words that nobody may write into a file
    assert apply(elsewhere, document)[0] == []


def test_names_may_be_as_long_as_they_can_be_and_keys_ambiguous() -> None:
    here = a_node()
    long = "n" * 256

    def plan(draft: Draft) -> None:
        rule = rules.create_rule(draft, WHO, RuleInput(service_id=long, name=long), title=" A name ")
        for zone, name in (("a", "b:c"), ("a:b", "c"), (long, long)):
            group = groups.create_group(
                draft, WHO, GroupInput(service_id=long, region_id=REGION, zone_id=zone, name=name)
            )
            rule_groups.bind_group(draft, WHO, rule.rule_id, group.group_id, weight=7)

    carry_out(here, plan, now_ms=NOW_MS)
    exported = configuration_of(here.draft(now_ms=NOW_MS))
    assert exported.rules[0].name == "A name"
    assert apply(here, exported)[0] == []
    elsewhere = a_node()
    apply(elsewhere, exported)
    assert configuration_of(elsewhere.draft(now_ms=NOW_MS + 2)) == exported


def test_what_no_api_takes_today_stays_as_it_is() -> None:
    """A rule's name with blanks around it, from a version that trimmed in one place only."""
    here = a_node()

    def plan(draft: Draft) -> None:
        rule = rules.create_rule(draft, WHO, RuleInput(service_id="s", name="r"))
        rules.store_rule(draft, WHO, msgspec.structs.replace(rule, title=" two words "))
        group = groups.create_group(draft, WHO, GroupInput(service_id="s", region_id=REGION, zone_id="z", name="g"))
        rule_groups.put_rule_group(draft, WHO, rule.rule_id, group.group_id, unreleased_weight=20_000)
        rule_groups.release_rule_groups(draft, WHO, [_link(draft, 0, 0)])

    carry_out(here, plan, now_ms=NOW_MS)
    exported = configuration_of(here.draft(now_ms=NOW_MS))
    assert (exported.rules[0].name, exported.rules[0].groups[0].weight) == (" two words ", 20_000)
    differences, draft = apply(here, exported)
    assert differences == []
    assert draft.audits == []
