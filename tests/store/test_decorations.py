"""What RPC answers carry beside the instances: logical instances and route rules (RPC contract 3.8)."""

from typing import Any

import msgspec
import pytest

from artemis.store.management.kinds import ROUTE_RULE_GROUP
from artemis.store.management.writes import canary, groups, members, rule_groups, rules
from artemis.store.management.writes.inputs import LogicalInstanceInput, RuleGroupInput

from .building import instance
from .managed import OPERATOR, Managed


@pytest.fixture
def node() -> Managed:
    node = Managed()
    node.register(instance("i1"), instance("i2", group_id="g1"))
    node.told()
    return node


def route_rules(node: Managed) -> list[dict[str, Any]]:
    decoded: list[dict[str, Any]] = msgspec.json.decode(decorations(node)[1])
    return decoded


def logical_ids(node: Managed) -> list[str]:
    return [row["instanceId"] for row in msgspec.json.decode(decorations(node)[0])]


def decorations(node: Managed) -> tuple[bytes, bytes]:
    return node.management.decorations("svc.a", node.registry.services.get("svc.a"))


def add_logical(node: Managed, instance_id: str = "logic1", ip: str = "10.9.9.9", description: str = "d") -> None:
    given = LogicalInstanceInput(
        service_id="Svc.A",
        instance_id=instance_id,
        ip=ip,
        machine_name="m",
        metadata={"a": "b"},
        port=1,
        protocol="http",
        region_id="lab",
        zone_id="zone1",
        health_check_url="h",
        url="http://logic",
        group_id="g1",
        description=description,
    )
    node.write(lambda draft: members.upsert_logical_instances(draft, OPERATOR, [given]))


def test_without_records_both_lists_are_empty(node: Managed) -> None:
    assert decorations(node) == (b"[]", b"[]")


def test_a_rule_shows_its_groups_with_members_tags_and_fixed_weights(node: Managed) -> None:
    """The example of the contract, weights beyond the bounds included."""
    default, g1, never = node.group("default"), node.group("g1"), node.group("g3")
    rule = node.rule("r1", (default, 20))
    for group, weight in ((g1, 20_000), (never, 7)):
        put_weight(node, rule.rule_id, group.group_id, weight)
    release(node, rule.rule_id, g1.group_id)
    node.write(lambda draft: members.put_member(draft, OPERATOR, g1.group_id, "i2"))
    node.write(lambda draft: members.put_tag(draft, OPERATOR, g1.group_id, "color", "red"))
    assert route_rules(node) == [
        {
            "groups": [
                {
                    "groupKey": "svc.a/lab/zone1/default",
                    "instanceIds": [],
                    "instances": None,
                    "metadata": None,
                    "weight": 20,
                },
                {
                    "groupKey": "svc.a/lab/zone1/g1",
                    "instanceIds": ["i2"],
                    "instances": None,
                    "metadata": {"color": "red"},
                    "weight": 10_000,
                },
                {
                    "groupKey": "svc.a/lab/zone1/g3",
                    "instanceIds": [],
                    "instances": None,
                    "metadata": None,
                    "weight": 5,
                },
            ],
            "routeId": "r1",
            "strategy": "weighted-round-robin",
        }
    ]


def put_weight(node: Managed, rule_id: int, group_id: int, weight: int) -> None:
    node.write(lambda draft: rule_groups.put_rule_group(draft, OPERATOR, rule_id, group_id, unreleased_weight=weight))


def release(node: Managed, rule_id: int, group_id: int) -> None:
    given = RuleGroupInput(route_rule_id=rule_id, group_id=group_id)
    node.write(lambda draft: rule_groups.release_rule_groups(draft, OPERATOR, [given]))


def test_inactive_rules_and_groups_and_rules_without_groups_are_not_shown(node: Managed) -> None:
    group = node.group("g1")
    rule = node.rule("r1", (group, 1))
    node.rule("empty")
    node.rule("draft", (group, 1), publish=False)
    assert [row["routeId"] for row in route_rules(node)] == ["r1"]
    node.write(lambda draft: groups.change_group(draft, OPERATOR, group.group_id, status="inactive"))
    assert route_rules(node) == []
    node.write(lambda draft: groups.change_group(draft, OPERATOR, group.group_id, status="active"))
    node.write(lambda draft: rules.delete_rules(draft, OPERATOR, [rule.rule_id]))
    assert route_rules(node) == []


def test_changes_that_a_client_can_see_reload_the_service_and_tags_do_not(node: Managed) -> None:
    group = node.group("g1")
    assert node.told() == [], "a group that no rule uses changes no answer"
    rule = node.rule("r1", (group, 1), publish=False)
    assert node.told() == []
    reload: list[tuple[str, str, list[str]]] = [("svc.a", "reload", [])]
    node.write(lambda draft: rules.publish_rule(draft, OPERATOR, rule.rule_id))
    assert node.told() == reload
    put_weight(node, rule.rule_id, group.group_id, 7)
    assert node.told() == [], "an unreleased weight is nobody's business"
    release(node, rule.rule_id, group.group_id)
    assert node.told() == reload
    node.write(lambda draft: members.put_member(draft, OPERATOR, group.group_id, "i1"))
    assert node.told() == reload
    node.write(lambda draft: members.put_tag(draft, OPERATOR, group.group_id, "color", "red"))
    assert node.told() == []
    assert route_rules(node)[0]["groups"][0]["metadata"] == {"color": "red"}
    node.write(lambda draft: rule_groups.unbind_group(draft, OPERATOR, rule.rule_id, group.group_id))
    assert node.told() == reload


def test_logical_instances_are_shown_and_their_description_is_not_news(node: Managed) -> None:
    add_logical(node)
    assert node.told() == [("svc.a", "reload", [])]
    (row,) = msgspec.json.decode(decorations(node)[0])
    assert (row["instanceId"], row["status"], row["url"], row["groupId"]) == ("logic1", "up", "http://logic", "g1")
    add_logical(node, description="other")
    assert node.told() == []
    add_logical(node, ip="10.9.9.8")
    assert node.told() == [("svc.a", "reload", [])]
    assert node.management.services_with_logical_instances() == {"svc.a"}


def test_a_pulled_out_logical_instance_is_not_shown_and_its_service_reloads(node: Managed) -> None:
    add_logical(node)
    node.told()
    node.server("10.9.9.9")
    assert logical_ids(node) == []
    assert node.told() == [("svc.a", "reload", [])]
    node.server("10.9.9.9", complete=True)
    assert logical_ids(node) == ["logic1"]
    node.told()
    for pull in (node.instance, node.zone):
        pull("logic1" if pull == node.instance else "zone1")
        assert logical_ids(node) == []
        assert ("svc.a", "reload", []) in node.told()
        pull("logic1" if pull == node.instance else "zone1", complete=True)
        assert logical_ids(node) == ["logic1"]
        node.told()


def test_a_canary_group_lists_its_instances_without_those_pulled_out(node: Managed) -> None:
    add_logical(node)
    node.write(
        lambda draft: canary.update_canary_ips(
            draft, OPERATOR, region_id="lab", service_id="svc.a", app_id="app1", canary_ips=["I1", "logic1"]
        )
    )
    (rule,) = route_rules(node)
    (group,) = rule["groups"]
    assert (rule["routeId"], group["groupKey"], group["weight"]) == ("canary-route-rule", "svc.a/lab/canary/app1", 5)
    assert group["instanceIds"] == ["I1", "logic1"]
    assert [row["instanceId"] for row in group["instances"]] == ["i1", "logic1"]
    node.instance("i1")
    assert [row["instanceId"] for row in route_rules(node)[0]["groups"][0]["instances"]] == ["logic1"]
    assert len(node.management.tables[ROUTE_RULE_GROUP].values) == 1


def test_the_same_bytes_are_returned_until_something_changes(node: Managed) -> None:
    rule = node.rule("r1", (node.group("g1"), 1))
    add_logical(node)
    first = decorations(node)
    node.register(instance("i3"))
    node.instance("i2")
    assert decorations(node) is first
    node.write(lambda draft: rules.unpublish_rule(draft, OPERATOR, rule.rule_id))
    assert decorations(node) is not first
