"""Pulling out and in: every cause takes instances from discovery, causes stack, and subscribers hear of it."""

from functools import partial

import pytest

from artemis.store.management.writes import groups, operations

from .building import instance
from .managed import OPERATOR, Managed


@pytest.fixture
def node() -> Managed:
    """Two zones, two servers, a group, and an instance without any."""
    node = Managed()
    node.register(
        instance("i1", ip="10.0.0.1"),
        instance("i2", ip="10.0.0.2", group_id="G1"),
        instance("i3", ip="10.0.0.2", zone_id="zone2"),
    )
    node.told()
    return node


def test_a_pulled_out_instance_leaves_discovery_and_subscribers_hear_delete_and_new(node: Managed) -> None:
    node.instance("I1")
    assert node.shown() == {"i2", "i3"}
    assert node.told() == [("svc.a", "changes", ["delete i1"])]
    node.instance("i1", "OUT", complete=True)
    assert node.shown() == {"i1", "i2", "i3"}
    assert node.told() == [("svc.a", "changes", ["new i1"])]


def test_a_pulled_out_server_takes_all_instances_with_its_ip(node: Managed) -> None:
    node.server("10.0.0.2")
    assert node.shown() == {"i1"}
    assert node.told() == [("svc.a", "changes", ["delete i2", "delete i3"])]
    node.server("10.0.0.2", complete=True)
    assert node.told() == [("svc.a", "changes", ["new i2", "new i3"])]


def test_a_server_is_found_whatever_the_case_of_its_address() -> None:
    node = Managed()
    node.register(instance("i1", ip="FE80::A"))
    node.server("fe80::a")
    assert node.shown() == set()


@pytest.mark.parametrize("service_id", ["svc.a", "SVC.A", ""])
def test_a_pulled_out_zone_reloads_rpc_clients(node: Managed, service_id: str) -> None:
    node.zone("ZONE1", service_id)
    assert node.shown() == {"i3"}
    assert node.told() == [("svc.a", "reload", ["delete i1", "delete i2"])]
    node.zone("zone1", service_id, complete=True)
    assert node.shown() == {"i1", "i2", "i3"}
    assert node.told() == [("svc.a", "reload", ["new i1", "new i2"])]


def test_a_zone_and_a_group_are_found_whatever_the_case_in_which_an_instance_names_them() -> None:
    node = Managed()
    node.register(instance("i1", zone_id="Zone1", group_id="Blue"), instance("i2", zone_id="zone2"))
    node.zone("zone1")
    assert node.shown() == {"i2"}
    entry = node.registry.services["svc.a"].entries["i1"]
    assert (entry.zone_key, entry.group_key) == ("zone1", "blue")


def test_a_second_zone_of_a_service_is_announced_as_well(node: Managed) -> None:
    node.zone("zone1")
    node.told()
    node.zone("zone2")
    assert node.shown() == set()
    assert node.told() == [("svc.a", "reload", ["delete i3"])]


def test_a_zone_without_service_leaves_other_zones_of_all_services_alone(node: Managed) -> None:
    node.register(instance("b1", "svc.b"), instance("b2", "svc.b", zone_id="zone2"))
    node.zone("zone2", "")
    assert node.shown() == {"i1", "i2"}
    assert node.shown("svc.b") == {"b1"}


def test_a_pulled_out_group_takes_what_registered_with_it(node: Managed) -> None:
    group = node.group("g1")
    node.told()
    node.group_operation(group)
    assert node.shown() == {"i1", "i3"}
    assert node.told() == [("svc.a", "reload", ["delete i2"])]
    node.group_operation(group, complete=True)
    assert node.told() == [("svc.a", "reload", ["new i2"])]


def test_the_group_default_holds_all_instances_without_group(node: Managed) -> None:
    node.group_operation(node.group("default"))
    assert node.shown() == {"i2", "i3"}


def test_a_deleted_group_pulls_nothing_out_until_it_comes_back(node: Managed) -> None:
    group = node.group("g1")
    node.group_operation(group)
    node.write(lambda draft: groups.delete_groups(draft, OPERATOR, [group.group_id]))
    assert node.shown() == {"i1", "i2", "i3"}
    node.group("g1")
    assert node.shown() == {"i1", "i3"}


def test_a_removed_group_leaves_no_operation_behind(node: Managed) -> None:
    group = node.group("g1")
    node.group_operation(group)
    node.told()
    node.write(lambda draft: groups.remove_group(draft, OPERATOR, group.group_id))
    assert node.told() == [("svc.a", "reload", ["new i2"])]
    node.group("g1")
    assert node.shown() == {"i1", "i2", "i3"}


def test_groups_within_a_pulled_out_group_are_out_too() -> None:
    node = Managed()
    node.register(instance("i1", group_id="g1/blue"), instance("i2", group_id="g1x"))
    node.group_operation(node.group("g1"))
    assert node.shown() == {"i2"}


def test_causes_stack_and_each_is_named(node: Managed) -> None:
    group = node.group("g1")
    steps = (
        partial(node.instance, "i2"),
        partial(node.server, "10.0.0.2"),
        partial(node.zone, "zone1"),
        partial(node.zone, "zone1", ""),
        partial(node.group_operation, group),
    )
    for step in steps:
        step()
    causes = node.management.causes(node.place("I2", ip="10.0.0.2", group_id="g1"))
    assert [(cause.kind, cause.target) for cause in causes] == [
        ("instance", "lab/svc.a/i2"),
        ("server", "lab/10.0.0.2"),
        ("zone", "lab/svc.a/zone1"),
        ("zone", "lab/zone1"),
        ("group", "svc.a/lab/zone1/g1"),
    ]
    assert all((cause.operator_id, cause.reason) == ("op", "because") for cause in causes)
    for step in steps:
        assert "i2" not in node.shown()
        step(complete=True)
    assert "i2" in node.shown()
    assert node.management.causes(node.place("i2")) == []


def test_two_operations_on_one_instance_must_both_end(node: Managed) -> None:
    node.instance("i1", "first")
    node.told()
    node.instance("i1", "second")
    assert node.told() == []
    node.instance("i1", "first", complete=True)
    assert node.told() == []
    assert "i1" not in node.shown()
    node.instance("i1", "second", complete=True)
    assert node.told() == [("svc.a", "changes", ["new i1"])]


def test_pulling_in_ends_every_operation_whatever_it_is_called(node: Managed) -> None:
    node.instance("i1", "first")
    node.instance("i1", "second")
    ended = node.write(
        lambda draft: operations.pull_in_instance(
            draft, OPERATOR, region_id="LAB", service_id="Svc.A", instance_id="i1"
        )
    )
    assert ended == 2
    assert "i1" in node.shown()


def test_a_pull_out_survives_re_registration_and_comes_before_the_instance(node: Managed) -> None:
    """Pitfall 15."""
    node.instance("i1")
    node.instance("i9")
    node.told()
    node.register(instance("i1", url="http://moved/"), instance("i9"))
    assert node.shown() == {"i2", "i3"}
    assert node.told() == []


def test_operations_of_another_region_concern_nobody_here(node: Managed) -> None:
    node.write(
        lambda draft: operations.operate_server(
            draft, OPERATOR, region_id="elsewhere", server_id="10.0.0.2", operation="out", complete=False
        )
    )
    assert node.shown() == {"i1", "i2", "i3"}
    assert node.told() == []
    assert node.management.is_down_at(node.place("i2", ip="10.0.0.2", region_id="elsewhere"))


def test_a_peer_that_hears_of_it_tells_its_subscribers_the_same(node: Managed) -> None:
    peer = Managed("node-b")
    peer.register(
        instance("i1", ip="10.0.0.1"),
        instance("i2", ip="10.0.0.2", group_id="G1"),
        instance("i3", ip="10.0.0.2", zone_id="zone2"),
    )
    peer.told()
    group = node.group("g1")
    for step in (
        partial(node.instance, "i1"),
        partial(node.server, "10.0.0.2"),
        partial(node.server, "10.0.0.2", complete=True),
        partial(node.zone, "zone1", ""),
        partial(node.zone, "zone1", "", complete=True),
        partial(node.group_operation, group),
        partial(node.rule, "r1", (group, 7)),
    ):
        node.told()
        step()
        peer.merge_from(node)
        told = peer.told()
        assert told
        assert told[-1:] == node.told()[-1:]
        assert peer.shown() == node.shown()
        peer.merge_from(node)
        assert peer.told() == [], "the same news twice is no news"
