"""Writes on a draft: all or nothing, idempotent, in order, and each audited with before and after."""

import msgspec
import pytest

from artemis.store.management.audit import AuditEntry, AuditQuery
from artemis.store.management.draft import Draft
from artemis.store.management.errors import Conflict, Invalid, NotFound
from artemis.store.management.kinds import (
    CANARY,
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    INSTANCE_OPERATION,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    of_group,
)
from artemis.store.management.management import BadRecord
from artemis.store.management.records import ID_BITS, Record, id_of, key_of
from artemis.store.management.writes import canary, groups, members, operations, rule_groups, rules
from artemis.store.management.writes.inputs import (
    GroupInput,
    GroupMemberInput,
    GroupTagsInput,
    LogicalInstanceInput,
    RuleInput,
)
from artemis.store.management.writes.operator import Operator

from .building import NOW_MS, instance
from .managed import OPERATOR, Managed


@pytest.fixture
def node() -> Managed:
    return Managed()


def a_group(name: str | None = "g1", **fields: str) -> GroupInput:
    return GroupInput(
        name=name,
        service_id=fields.get("service_id", "svc.a"),
        region_id="lab",
        zone_id=fields.get("zone_id", "zone1"),
        app_id=fields.get("app_id", "app"),
        status="active",
    )


def audits(node: Managed, *kinds: str) -> list[AuditEntry]:
    """Newest first."""
    return [entry for _, entry in node.management.audit.query(AuditQuery(kinds=frozenset(kinds)))]


def test_ids_depend_on_the_key_alone_and_are_safe_in_javascript() -> None:
    assert id_of("group", key_of("Svc.A", "lab", "zone1", "G1")) == id_of("group", "svc.a\nlab\nzone1\ng1")
    assert all(0 < id_of("group", str(number)) < 2**ID_BITS for number in range(1000))


def test_a_request_of_which_one_item_is_bad_changes_nothing(node: Managed) -> None:
    with pytest.raises(Invalid, match=r"groups\[1\]\.name is null or empty"):
        node.write(lambda draft: groups.upsert_groups(draft, OPERATOR, [a_group(), a_group(name=" ")]))
    assert node.management.digests() == Managed().management.digests()
    assert len(node.management.audit) == 0


def test_a_refused_plan_leaves_the_others_of_the_same_draft_alone(node: Managed) -> None:
    draft = node.management.draft(now_ms=NOW_MS)
    draft.attempt(lambda d: groups.upsert_groups(d, OPERATOR, [a_group("g1")]))
    with pytest.raises(Invalid):
        draft.attempt(lambda d: groups.upsert_groups(d, OPERATOR, [a_group("g1", app_id="other"), a_group("")]))
    draft.attempt(lambda d: groups.upsert_groups(d, OPERATOR, [a_group("g2")]))
    assert [record.key for record in draft.records()] == ["svc.a\nlab\nzone1\ng1", "svc.a\nlab\nzone1\ng2"]
    assert len(draft.audits) == 2
    applied = node.management.apply(draft.records())
    assert len(applied.records) == 2
    assert node.management.tables[GROUP].values["svc.a\nlab\nzone1\ng1"].app_id == "app"


def test_a_draft_sees_what_was_planned_before_and_the_tables_do_not(node: Managed) -> None:
    def plan(draft: Draft) -> None:
        (group,) = groups.upsert_groups(draft, OPERATOR, [a_group()])
        members.insert_members(draft, OPERATOR, [GroupMemberInput(group_id=group.group_id, instance_id="i1")])
        assert [m.instance_id for m in draft.find(GROUP_MEMBER, of_group(group.group_id))] == ["i1"]
        members.set_members(draft, OPERATOR, group.group_id, ["i2"])
        assert [m.instance_id for m in draft.find(GROUP_MEMBER, of_group(group.group_id))] == ["i2"]
        assert draft.by_id(GROUP, group.group_id) is not None
        assert not node.management.tables[GROUP].values

    node.write(plan)
    assert [m.instance_id for m in node.management.tables[GROUP_MEMBER].all()] == ["i2"]


def test_writing_what_is_there_already_makes_a_version_and_an_audit_and_tells_nobody(node: Managed) -> None:
    """That it reaches other nodes is in test_last_decisions.py."""
    group = node.group("g1")
    node.rule("r1", (group, 5))
    before = node.management.digests()
    node.told()
    count = len(audits(node))
    node.group("g1")
    assert node.management.digests() != before
    assert (len(audits(node)), node.told()) == (count + 1, [])


def test_an_operation_is_decided_anew_though_it_changes_nothing_here() -> None:
    """On the other side of a partition it may: of two operators the later one is right, wherever he decided."""
    one, other = Managed("node-a"), Managed("node-b")
    for node in (one, other):
        node.register(instance("i1", service_id="svc.a"))
    one.instance("i1")
    other.now_ms = one.now_ms + 1000
    other.instance("i1", complete=True)  # nothing to pull in, as far as this node knows
    assert other.told() == [("svc.a", "changes", ["new i1"])]
    one.merge_from(other)
    other.merge_from(one)
    assert one.shown() == other.shown() == {"i1"}

    one.now_ms = other.now_ms + 1000
    one.instance("i1")
    other.merge_from(one)
    one.now_ms += 1000
    one.instance("i1", complete=True)
    other.now_ms = one.now_ms + 1000
    other.instance("i1")  # out already
    one.merge_from(other)
    other.merge_from(one)
    assert one.shown() == other.shown() == set()


def test_ids_match_regardless_of_case_and_the_newest_spelling_is_shown(node: Managed) -> None:
    node.write(lambda draft: groups.upsert_groups(draft, OPERATOR, [a_group("g1")]))
    node.write(lambda draft: groups.upsert_groups(draft, OPERATOR, [a_group("G1", service_id="SVC.A")]))
    (group,) = node.management.tables[GROUP].all()
    assert (group.name, group.path) == ("G1", "svc.a/lab/zone1/g1")


def test_a_group_deleted_by_id_comes_back_with_its_id_and_everything_that_hung_on_it(node: Managed) -> None:
    group = node.group("g1")
    node.write(lambda draft: members.put_member(draft, OPERATOR, group.group_id, "i1"))
    node.write(lambda draft: groups.delete_groups(draft, OPERATOR, [group.group_id, 4711]))
    again = node.group("g1")
    assert (again.group_id, again.created) == (group.group_id, group.created)
    assert len(node.management.tables[GROUP_MEMBER].values) == 1


def test_a_removed_group_takes_everything_along(node: Managed) -> None:
    group = node.group("g1")
    rule = node.rule("r1", (group, 5))
    node.write(lambda draft: members.put_member(draft, OPERATOR, group.group_id, "i1"))
    node.write(lambda draft: members.put_tag(draft, OPERATOR, group.group_id, "a", "b"))
    node.write(lambda draft: groups.remove_group(draft, OPERATOR, group.group_id))
    tables = node.management.tables
    assert not tables[GROUP].values
    assert not tables[GROUP_MEMBER].values
    assert not tables[GROUP_TAG].values
    assert not tables[ROUTE_RULE_GROUP].values
    with pytest.raises(NotFound):
        node.write(lambda draft: groups.remove_group(draft, OPERATOR, group.group_id))
    node.write(lambda draft: rules.remove_rule(draft, OPERATOR, rule.rule_id))
    assert not tables[ROUTE_RULE].values


def test_creating_what_exists_is_a_conflict(node: Managed) -> None:
    group = node.write(lambda draft: groups.create_group(draft, OPERATOR, a_group()))
    rule = node.rule("r1", (group, 5))
    node.write(lambda draft: members.put_member(draft, OPERATOR, group.group_id, "i1", new=True))
    for plan in (
        lambda draft: groups.create_group(draft, OPERATOR, a_group("G1")),
        lambda draft: rules.create_rule(draft, OPERATOR, RuleInput(service_id="SVC.A", name="R1")),
        lambda draft: rule_groups.bind_group(draft, OPERATOR, rule.rule_id, group.group_id, weight=1),
        lambda draft: members.put_member(draft, OPERATOR, group.group_id, "I1", new=True),
    ):
        with pytest.raises(Conflict):
            node.write(plan)


def test_what_hangs_on_a_group_or_rule_needs_it(node: Managed) -> None:
    group, rule = node.group("g1"), node.rule("r1")
    for plan in (
        lambda draft: members.put_member(draft, OPERATOR, 4711, "i1"),
        lambda draft: members.put_tag(draft, OPERATOR, 4711, "a", "b"),
        lambda draft: groups.operate_group(draft, OPERATOR, 4711, "out", complete=False),
        lambda draft: rule_groups.put_rule_group(draft, OPERATOR, 4711, group.group_id, unreleased_weight=1),
        lambda draft: rule_groups.put_rule_group(draft, OPERATOR, rule.rule_id, 4711, unreleased_weight=1),
        lambda draft: rules.publish_rule(draft, OPERATOR, 4711),
        lambda draft: canary.enable_canary(draft, OPERATOR, service_id="none", enabled=True),
    ):
        with pytest.raises(NotFound):
            node.write(plan)


def test_creating_a_rule_with_groups_leaves_existing_ones_as_they_are(node: Managed) -> None:
    node.write(lambda draft: groups.upsert_groups(draft, OPERATOR, [a_group(app_id="first")]))
    given = RuleInput(service_id="svc.a", name="r9", status="inactive", strategy="close-by-visit")
    group = a_group(app_id="second")
    group.weight = 9
    node.write(lambda draft: rule_groups.create_rule_with_groups(draft, OPERATOR, given, [group]))
    (link,) = node.management.tables[ROUTE_RULE_GROUP].all()
    assert (link.weight, link.unreleased_weight) == (None, 9)
    assert [g.app_id for g in node.management.tables[GROUP].all()] == ["first"]
    stranger = a_group(service_id="svc.b")
    with pytest.raises(Invalid, match="serviceId is not that of the rule"):
        node.write(lambda draft: rule_groups.create_rule_with_groups(draft, OPERATOR, given, [stranger]))


def test_updating_canaries_is_all_or_nothing_and_replaces_the_set(node: Managed) -> None:
    def update(ips: list[str | None] | None, who: Operator = OPERATOR) -> None:
        node.write(
            lambda draft: canary.update_canary_ips(
                draft, who, region_id="lab", service_id="svc.a", app_id="app1", canary_ips=ips
            )
        )

    with pytest.raises(Invalid, match="canaryIps is null"):
        update(None)
    with pytest.raises(Invalid, match="operatorId"):
        update(["i1"], Operator(token="t", operation="canary"))
    assert not node.management.tables[GROUP].values
    update(["i1", "i2"])
    update(["I2", "i3"])
    members_now = [member.instance_id for member in node.management.tables[GROUP_MEMBER].all()]
    assert members_now == ["i2", "i3"]
    update([])
    assert not node.management.tables[GROUP_MEMBER].values
    assert not node.management.tables[CANARY].values["svc.a"].enabled


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x00", "x" * 257])
def test_texts_that_are_blank_endless_or_unprintable_are_refused_by_name(node: Managed, text: str) -> None:
    with pytest.raises(Invalid, match=r"groups\[0\]\.zoneId"):
        node.write(lambda draft: groups.upsert_groups(draft, OPERATOR, [a_group(zone_id=text)]))


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "nonsense", ""])
def test_a_white_list_takes_only_addresses_and_networks(node: Managed, entry: str) -> None:
    with pytest.raises(Invalid, match=r"ipWhitelist\[1\]"):
        node.write(
            lambda draft: canary.put_canary(draft, OPERATOR, service_id="svc.a", ip_whitelist=["10.0.0.1", entry])
        )


def test_a_logical_instance_needs_every_field_but_the_description(node: Managed) -> None:
    with pytest.raises(Invalid, match=r"serviceInstances\[0\]\.ip is null or empty"):
        node.write(
            lambda draft: members.upsert_logical_instances(
                draft, OPERATOR, [LogicalInstanceInput(service_id="svc.a", instance_id="i")]
            )
        )


def test_tags_without_name_or_value_are_dropped_and_nothing_left_is_refused(node: Managed) -> None:
    group_id = node.group("g1").group_id
    mixed = GroupTagsInput(group_id=group_id, tags={"color": "red", "": "x", "empty": None})
    node.write(lambda draft: members.upsert_tags(draft, OPERATOR, [mixed]))
    assert [tag.tag for tag in node.management.tables[GROUP_TAG].all()] == ["color"]
    nothing = GroupTagsInput(group_id=group_id, tags={"": "x"})
    with pytest.raises(Invalid):
        node.write(lambda draft: members.upsert_tags(draft, OPERATOR, [nothing]))
    with pytest.raises(Invalid):
        node.write(lambda draft: members.delete_tags(draft, OPERATOR, group_id=0, tag="", value=None))
    node.write(lambda draft: members.delete_tags(draft, OPERATOR, group_id=0, tag="COLOR", value=None))
    assert not node.management.tables[GROUP_TAG].values


def test_every_write_leaves_an_audit_with_who_why_where_before_and_after(node: Managed) -> None:
    """Pitfall 24."""
    group = node.group("g1")
    node.write(lambda draft: groups.change_group(draft, OPERATOR, group.group_id, status="inactive"))
    node.write(lambda draft: groups.remove_group(draft, OPERATOR, group.group_id))
    removed, changed, created = audits(node, "group")
    assert (created.operator_id, created.reason, created.address, created.node_id) == (
        "op",
        "because",
        "10.9.9.9",
        "node-a",
    )
    assert bytes(created.before) == b"null"
    assert msgspec.json.decode(changed.before).get("status", "active") == "active"
    assert msgspec.json.decode(changed.after)["status"] == "inactive"
    assert msgspec.json.decode(removed.before)["status"] == "inactive"
    assert bytes(removed.after) == b"null"
    assert {entry.target for entry in (removed, changed, created)} == {"svc.a/lab/zone1/g1"}


def test_a_bad_record_from_a_peer_is_refused_before_anything_changes(node: Managed) -> None:
    good = Record("group", "svc.a\nlab\nzone1\ng1", 1 << 50, b'{"serviceId":"svc.a","regionId":"lab"}')
    wrong_key = GROUP.encode(node.group("g1"))
    before = node.management.digests()
    for states in (
        [(good.full_key, good.version, good.value)],
        [("group\nother", 1 << 80, wrong_key)],
        [("group\nother", 1 << 80, b"{")],
    ):
        with pytest.raises(BadRecord):
            node.management.merge(states, now_ms=NOW_MS)
    assert node.management.digests() == before


def test_records_of_a_kind_that_only_newer_nodes_know_are_kept_and_passed_on(node: Managed) -> None:
    state = ("novelty\nkey", NOW_MS << 48, b'{"x":1}')
    assert node.management.merge([state], now_ms=NOW_MS).records
    assert node.management.states(["novelty\nkey"]) == [state]
    assert node.management.digests() != Managed().management.digests()


def test_an_older_record_changes_nothing_in_whatever_order_it_arrives(node: Managed) -> None:
    other = Managed("node-b")
    other.instance("i1")
    old = other.management.states(["instance-operation\nlab\nsvc.a\ni1\nout"])
    other.instance("i1", complete=True)
    node.register(instance("i1"))
    node.merge_from(other)
    node.told()
    applied = node.management.merge(old, now_ms=node.now_ms)
    assert applied.records == []
    assert node.shown() == {"i1"}


def test_tombstones_are_forgotten_in_time_and_not_taken_back(node: Managed) -> None:
    node.instance("i1")
    node.instance("i1", complete=True)
    states = node.management.states(["instance-operation\nlab\nsvc.a\ni1\nout"])
    later = node.now_ms + node.management.tombstone_ttl_ms + 1
    assert node.management.forget(now_ms=node.now_ms) == ([], [])
    (tombstone,), _ = node.management.forget(now_ms=later)
    assert tombstone.value is None
    assert node.management.digests() == Managed().management.digests()
    assert node.management.merge(states, now_ms=later).records == []
    assert not node.management.tables[INSTANCE_OPERATION].records


def test_an_operation_on_something_unknown_is_accepted(node: Managed) -> None:
    node.write(
        lambda draft: operations.operate_instance(
            draft,
            OPERATOR,
            region_id="nowhere",
            service_id="none",
            instance_id="i",
            operation="out",
            complete=False,
        )
    )
    assert len(node.management.tables[INSTANCE_OPERATION].values) == 1


def test_what_is_written_after_a_peers_news_is_newer_although_this_clock_is_behind(
    node: Managed,
) -> None:
    """Whoever has seen a decision, and decides something else about another thing, decided later."""
    other = Managed("node-b")
    other.now_ms = NOW_MS + 5_000
    other.group("g1")
    (theirs,) = [state for state in all_states(other) if state[0].startswith("group\n")]
    node.management.merge([theirs], now_ms=node.now_ms)
    node.group("g2")
    versions = {key: version for key, version, _ in all_states(node)}
    assert max(versions.values()) == versions[next(key for key in versions if key.endswith("g2"))]


def all_states(node: Managed) -> list[tuple[str, int, bytes | None]]:
    keys = [key for _, key, _ in node.management.all_versions(range(256))]
    return node.management.states(keys)
