"""Server-side routing: what a caller of the REST API is given (REST contract, section 4)."""

from collections import Counter
from functools import partial
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artemis.store.explain import explain
from artemis.store.management.kinds import Group
from artemis.store.management.writes import canary, groups, members, rule_groups, rules
from artemis.store.wheels import WeightedWheel

from .building import instance
from .managed import OPERATOR, Asking, Managed


@pytest.fixture
def node() -> Managed:
    """Two instances in group g1, one in g2, one in none."""
    node = Managed()
    node.register(
        instance("a1", group_id="g1"),
        instance("a2", group_id="g1"),
        instance("b1", group_id="g2"),
        instance("c1", zone_id="zone2"),
    )
    return node


def put_canary(node: Managed, *ips: str, group_id: str = "g2", enabled: bool = True) -> None:
    node.write(
        lambda draft: canary.put_canary(
            draft, OPERATOR, service_id="Svc.A", ip_whitelist=ips, group_id=group_id, enabled=enabled
        )
    )


def test_without_rules_everybody_gets_everything_in_the_bytes_encoded_already(node: Managed) -> None:
    table = node.registry.services["svc.a"]
    assert node.router.fragment(table, Asking()) is table.fragment()


def test_only_instances_that_are_up_are_given_and_a_blank_status_counts_as_up(node: Managed) -> None:
    node.register(instance("a1", status="down"), instance("a2", status=" UP "), instance("b1", status=""))
    assert node.chosen() == ["a2", "b1", "c1"]


def test_what_operators_pulled_out_is_not_given(node: Managed) -> None:
    node.instance("a1")
    node.zone("zone2")
    assert node.chosen() == ["a2", "b1"]


# Weighted round robin


def test_seventy_to_thirty_is_exact_over_a_thousand_calls_and_smooth(node: Managed) -> None:
    node.rule("r1", (node.group("g1"), 70), (node.group("g2"), 30))
    answers = [tuple(node.chosen()) for _ in range(1000)]
    assert Counter(answers) == {("a1", "a2"): 700, ("b1",): 300}
    runs = {answer: max(len(list(run)) for key, run in groupby(answers) if key == answer) for answer in set(answers)}
    assert runs == {("a1", "a2"): 3, ("b1",): 1}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_every_cycle_holds_each_group_as_often_as_it_weighs(weights: list[int]) -> None:
    wheel = WeightedWheel(tuple(enumerate(weights)))
    everyone = range(len(weights))
    for _ in range(2):
        turns = Counter(wheel.next(everyone) for _ in range(sum(weights)))
        assert [turns[position] for position in everyone] == weights


@given(st.data())
def test_no_group_runs_ahead_of_its_share_by_more_than_a_turn_per_rival(data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    wheel = WeightedWheel(tuple(enumerate(weights)))
    turns = [0] * len(weights)
    for step in range(1, sum(weights) + 1):
        turns[wheel.next(range(len(weights)))] += 1
        for weight, had in zip(weights, turns, strict=True):
            assert abs(had - step * weight / sum(weights)) < len(weights)


def test_a_group_without_instances_leaves_its_turns_to_the_others(node: Managed) -> None:
    node.rule("r1", (node.group("g1"), 70), (node.group("g2"), 20), (node.group("empty"), 10))
    answers = Counter(tuple(node.chosen()) for _ in range(900))
    assert answers == {("a1", "a2"): 700, ("b1",): 200}


def test_when_no_group_has_instances_all_are_given(node: Managed) -> None:
    node.rule("r1", (node.group("empty"), 10))
    assert node.chosen() == ["a1", "a2", "b1", "c1"]


def test_a_group_whose_instances_are_pulled_out_is_passed_over_at_once(node: Managed) -> None:
    node.rule("r1", (node.group("g1"), 1), (node.group("g2"), 9999))
    node.instance("b1")
    assert {tuple(node.chosen()) for _ in range(10)} == {("a1", "a2")}
    node.instance("b1", complete=True)
    assert ("b1",) in {tuple(node.chosen()) for _ in range(10)}


def test_a_group_of_weight_nothing_is_only_a_fallback(node: Managed) -> None:
    node.rule("r1", (node.group("g1"), 0), (node.group("g2"), 1))
    assert {tuple(node.chosen()) for _ in range(20)} == {("b1",)}
    node.instance("b1")
    assert node.chosen() == ["a1", "a2"]


def test_members_bound_by_hand_count_as_the_groups_own(node: Managed) -> None:
    group = node.group("manual")
    node.rule("r1", (group, 1))
    node.write(lambda draft: members.put_member(draft, OPERATOR, group.group_id, "C1"))
    assert node.chosen() == ["c1"]
    node.write(lambda draft: members.remove_member(draft, OPERATOR, group.group_id, "c1"))
    assert node.chosen() == ["a1", "a2", "b1", "c1"]


def test_other_weights_begin_a_new_cycle(node: Managed) -> None:
    g1, g2 = node.group("g1"), node.group("g2")
    rule = node.rule("r1", (g1, 3), (g2, 1))
    node.chosen()
    node.write(lambda draft: rule_groups.change_binding(draft, OPERATOR, rule.rule_id, g1.group_id, weight=1))
    answers = Counter(tuple(node.chosen()) for _ in range(100))
    assert answers == {("a1", "a2"): 50, ("b1",): 50}


def test_unreleased_weights_do_not_count(node: Managed) -> None:
    g1, g2 = node.group("g1"), node.group("g2")
    rule = node.rule("r1", (g1, 1), (g2, 1))
    put = partial(rule_groups.put_rule_group, who=OPERATOR, rule_id=rule.rule_id, group_id=g2.group_id)
    node.write(lambda draft: put(draft, unreleased_weight=0))
    assert Counter(tuple(node.chosen()) for _ in range(10)) == {("a1", "a2"): 5, ("b1",): 5}


def test_unpublishing_and_deactivating_take_effect_at_once(node: Managed) -> None:
    group = node.group("g1")
    rule = node.rule("r1", (group, 1), publish=False)
    everyone = ["a1", "a2", "b1", "c1"]
    assert node.chosen() == everyone
    node.write(lambda draft: rules.publish_rule(draft, OPERATOR, rule.rule_id))
    assert node.chosen() == ["a1", "a2"]
    node.write(lambda draft: groups.change_group(draft, OPERATOR, group.group_id, status="inactive"))
    assert node.chosen() == everyone
    node.write(lambda draft: groups.change_group(draft, OPERATOR, group.group_id, status="active"))
    assert node.chosen() == ["a1", "a2"]
    node.write(lambda draft: rules.unpublish_rule(draft, OPERATOR, rule.rule_id))
    assert node.chosen() == everyone


def test_of_several_active_rules_the_one_published_last_wins(node: Managed) -> None:
    first = node.rule("first", (node.group("g1"), 1))
    node.rule("second", (node.group("g2"), 1))
    assert node.chosen() == ["b1"]
    node.write(lambda draft: rules.publish_rule(draft, OPERATOR, first.rule_id))
    assert node.chosen() == ["a1", "a2"]


# Close by visit


def close_by(node: Managed) -> dict[str, Group]:
    found = {name: node.group(name, zone_id=zone) for name, zone in (("g1", "zone1"), ("default", "zone2"))}
    node.rule("r1", *((group, 1) for group in found.values()), strategy="close-by-visit")
    return found


def test_close_by_visit_gives_the_group_of_the_callers_zone(node: Managed) -> None:
    close_by(node)
    assert node.chosen(Asking(zone_id="ZONE2")) == ["c1"]
    assert node.chosen(Asking(zone_id="zone1")) == ["a1", "a2"]


def test_close_by_visit_falls_back_to_the_region_and_then_to_the_first(node: Managed) -> None:
    found = close_by(node)
    assert node.chosen(Asking(zone_id="elsewhere")) == ["a1", "a2"]
    assert node.chosen(Asking(zone_id="elsewhere", region_id="other")) == ["a1", "a2"]
    assert node.chosen(Asking(zone_id="zone2", region_id="other")) == ["a1", "a2"], "a zone of that name elsewhere"
    node.group_operation(found["default"])
    assert node.chosen(Asking(zone_id="zone2")) == ["a1", "a2"]


# Canary


def test_callers_on_the_white_list_get_the_canaries_and_all_others_the_rest(node: Managed) -> None:
    put_canary(node, "10.1.1.1", "192.168.0.0/16", "2001:db8::/32")
    rest = ["a1", "a2", "c1"]
    for ip in ("10.1.1.1", "192.168.77.1", "2001:db8::5", "::ffff:10.1.1.1"):
        assert node.chosen(Asking(ip=ip)) == ["b1"]
    for ip in ("10.1.1.2", "2001:db9::5", "nonsense", ""):
        assert node.chosen(Asking(ip=ip)) == rest


def test_without_a_live_canary_everybody_gets_the_rest(node: Managed) -> None:
    put_canary(node, "10.1.1.1")
    node.instance("b1")
    assert node.chosen() == ["a1", "a2", "c1"]


def test_when_there_is_nothing_but_canaries_everybody_gets_them() -> None:
    node = Managed()
    node.register(instance("b1", group_id="g2"))
    put_canary(node, "10.1.1.1")
    assert node.chosen(Asking(ip="10.7.7.7")) == ["b1"]


def test_an_instance_bound_to_the_canary_group_is_a_canary(node: Managed) -> None:
    group = node.group("canary")
    node.write(lambda draft: members.put_member(draft, OPERATOR, group.group_id, "a1"))
    put_canary(node, "10.1.1.1", group_id="canary")
    assert node.chosen() == ["a1"]


def test_a_canary_that_is_off_or_removed_concerns_nobody(node: Managed) -> None:
    everyone = ["a1", "a2", "b1", "c1"]
    put_canary(node, "10.1.1.1", enabled=False)
    assert node.chosen() == everyone
    node.write(lambda draft: canary.enable_canary(draft, OPERATOR, service_id="svc.a", enabled=True))
    assert node.chosen() == ["b1"]
    node.write(lambda draft: canary.remove_canary(draft, OPERATOR, service_id="SVC.A"))
    assert node.chosen() == everyone


def test_canaries_named_by_the_rpc_api_are_those_of_the_rest_api(node: Managed) -> None:
    node.write(
        lambda draft: canary.update_canary_ips(
            draft, OPERATOR, region_id="lab", service_id="svc.a", app_id="app1", canary_ips=["c1"]
        )
    )
    assert node.chosen() == ["a1", "a2", "b1", "c1"], "nobody is sent there until somebody is on the white list"
    put_canary(node, "10.1.1.1", group_id="app1")
    assert node.chosen() == ["c1"]
    assert node.chosen(Asking(ip="10.7.7.7")) == ["a1", "a2", "b1"]


def test_canary_comes_before_the_rule(node: Managed) -> None:
    node.rule("r1", (node.group("g1"), 1), (node.group("g2"), 1))
    put_canary(node, "10.1.1.1")
    assert {tuple(node.chosen(Asking(ip="10.7.7.7"))) for _ in range(4)} == {("a1", "a2")}
    assert {tuple(node.chosen()) for _ in range(4)} == {("b1",)}


# Explain


def test_explain_names_for_every_instance_the_filter_that_decided() -> None:
    node = Managed()
    node.register(
        instance("down", status="down"),
        instance("out"),
        instance("can", group_id="can"),
        instance("g1", group_id="g1"),
        instance("g2", group_id="g2"),
        instance("none"),
    )
    node.instance("out")
    put_canary(node, "10.1.1.1", group_id="can")
    node.rule("r1", (node.group("g1"), 70), (node.group("g2"), 30))
    table, asking = node.registry.services["svc.a"], Asking(ip="10.7.7.7")
    found = {e.instance_id: e for e in explain(node.management, node.router, table, asking)}
    assert {name: (e.kept, e.filter) for name, e in found.items()} == {
        "down": (False, "status"),
        "out": (False, "pulled-out"),
        "can": (False, "canary"),
        "g1": (True, "route-rule"),
        "g2": (False, "route-rule"),
        "none": (False, "route-rule"),
    }
    assert [cause.kind for cause in found["out"].causes] == ["instance"]
    assert "weight 70 of 100" in found["g1"].reason
    assert "not on the white list" in found["can"].reason


@given(st.lists(st.booleans(), max_size=30))
def test_explaining_turns_no_wheel_and_tells_the_next_answer(looks: list[bool]) -> None:
    node = Managed()
    node.register(instance("a", group_id="g1"), instance("b", group_id="g2"))
    node.rule("r1", (node.group("g1"), 7), (node.group("g2"), 3))
    table = node.registry.services["svc.a"]
    for look in looks:
        explained = explain(node.management, node.router, table, Asking())
        if look:
            assert [e.instance_id for e in explained if e.kept] == node.chosen()
