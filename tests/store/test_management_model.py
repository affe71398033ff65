"""Two nodes, written to at random and merged at random: they agree, and each equals one rebuilt from its records."""

from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artemis.store.management.errors import Refused
from artemis.store.management.kinds import GROUP
from artemis.store.management.management import Management
from artemis.store.management.records import id_of, key_of
from artemis.store.management.writes import canary, groups, members, operations, rule_groups, rules
from artemis.store.management.writes.inputs import GroupInput, RuleInput

from .building import REGION, instance
from .managed import OPERATOR, Managed

SERVICES = ("svc.a", "svc.b")
INSTANCES = ("i1", "i2", "i3")
ZONES = ("zone1", "zone2")
GROUPS = ("g1", "default")

nodes = st.sampled_from((0, 1))
services = st.sampled_from((*SERVICES, "SVC.A"))


def group_id_of(service: str, zone: str, name: str) -> int:
    return id_of(GROUP.name, key_of(service, REGION, zone, name))


class TwoNodes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = (Managed("node-a"), Managed("node-b"))
        for node in self.nodes:
            node.register(
                *(
                    instance(name, service, zone_id=zone, ip=ip, group_id=group)
                    for service in SERVICES
                    for name, zone, ip, group in (
                        ("i1", "zone1", "10.0.0.1", ""),
                        ("i2", "zone1", "10.0.0.2", "G1"),
                        ("i3", "zone2", "10.0.0.2", "g1"),
                    )
                )
            )

    @rule(node=nodes, service=services, name=st.sampled_from(INSTANCES), complete=st.booleans())
    def operate_an_instance(self, node: int, service: str, name: str, complete: bool) -> None:
        self.nodes[node].write(
            partial(
                operations.operate_instance,
                who=OPERATOR,
                region_id=REGION,
                service_id=service,
                instance_id=name,
                operation="out",
                complete=complete,
            )
        )

    @rule(node=nodes, ip=st.sampled_from(("10.0.0.1", "10.0.0.2")), complete=st.booleans())
    def operate_a_server(self, node: int, ip: str, complete: bool) -> None:
        self.nodes[node].server(ip, complete=complete)

    @rule(node=nodes, service=st.sampled_from((*SERVICES, "")), zone=st.sampled_from(ZONES), complete=st.booleans())
    def operate_a_zone(self, node: int, service: str, zone: str, complete: bool) -> None:
        self.nodes[node].zone(zone, service, complete=complete)

    @rule(
        node=nodes,
        service=services,
        zone=st.sampled_from(ZONES),
        name=st.sampled_from(GROUPS),
        status=st.sampled_from(("active", "inactive")),
    )
    def put_a_group(self, node: int, service: str, zone: str, name: str, status: str) -> None:
        given = GroupInput(service_id=service, region_id=REGION, zone_id=zone, name=name, app_id="app", status=status)
        self.nodes[node].write(lambda draft: groups.put_group(draft, OPERATOR, given, ""))

    @rule(
        node=nodes,
        service=services,
        zone=st.sampled_from(ZONES),
        name=st.sampled_from(GROUPS),
        what=st.sampled_from(("out", "in", "delete", "remove", "member")),
    )
    def work_on_a_group(self, node: int, service: str, zone: str, name: str, what: str) -> None:
        group_id = group_id_of(service, zone, name)
        plans = {
            "out": lambda draft: groups.operate_group(draft, OPERATOR, group_id, "out", complete=False),
            "in": lambda draft: groups.operate_group(draft, OPERATOR, group_id, "out", complete=True),
            "delete": lambda draft: groups.delete_groups(draft, OPERATOR, [group_id]),
            "remove": lambda draft: groups.remove_group(draft, OPERATOR, group_id),
            "member": lambda draft: members.put_member(draft, OPERATOR, group_id, "i1"),
        }
        try:
            self.nodes[node].write(plans[what])
        except Refused:
            assert what not in ("in", "delete")

    @rule(node=nodes, service=services, zone=st.sampled_from(ZONES), weight=st.integers(0, 9), active=st.booleans())
    def put_a_rule(self, node: int, service: str, zone: str, weight: int, active: bool) -> None:
        given = RuleInput(
            service_id=service,
            name="r1",
            status="active" if active else "inactive",
            strategy="weighted-round-robin",
        )
        group = GroupInput(
            service_id=service,
            region_id=REGION,
            zone_id=zone,
            name="g1",
            app_id="app",
            status="active",
            weight=weight,
        )
        node_ = self.nodes[node]
        node_.write(lambda draft: rules.upsert_rules(draft, OPERATOR, [given]))
        node_.write(lambda draft: rule_groups.create_rule_with_groups(draft, OPERATOR, given, [group]))

    @rule(node=nodes, service=services, enabled=st.booleans())
    def put_a_canary(self, node: int, service: str, enabled: bool) -> None:
        self.nodes[node].write(
            lambda draft: canary.put_canary(
                draft, OPERATOR, service_id=service, ip_whitelist=["10.0.0.0/8"], group_id="g1", enabled=enabled
            )
        )

    @rule(node=nodes, ms=st.integers(1, 10))
    def clocks_drift(self, node: int, ms: int) -> None:
        self.nodes[node].now_ms += ms

    @rule(to=nodes)
    def merge(self, to: int) -> None:
        self.nodes[to].merge_from(self.nodes[1 - to])

    @rule()
    def heal(self) -> None:
        first, second = self.nodes
        first.merge_from(second)
        second.merge_from(first)
        assert first.management.digests() == second.management.digests()
        assert picture(first) == picture(second)
        assert first.management.audit.vector() == second.management.audit.vector()
        assert [row.id for row in first.management.audit.rows()] == [row.id for row in second.management.audit.rows()]

    @invariant()
    def every_answer_equals_that_of_a_node_rebuilt_from_the_records(self) -> None:
        for node in self.nodes:
            rebuilt = Management(
                region_id=REGION, clock=node.management.clock, origin=node.management.origin, node_id="again"
            )
            rebuilt.restore(list(node.management.tables.records()), [row.audit for row in node.management.audit.rows()])
            assert rebuilt.digests() == node.management.digests()
            assert picture(node) == picture(node, rebuilt)

    @invariant()
    def what_is_shown_is_exactly_what_nothing_keeps_out(self) -> None:
        for node in self.nodes:
            for service, table in node.registry.services.items():
                for entry in table.entries.values():
                    place = node.place(
                        entry.key, service, ip=entry.ip, zone_id=entry.zone_key, group_id=entry.group_key
                    )
                    assert entry.down == bool(node.management.causes(place))


def picture(node: Managed, management: Management | None = None) -> object:
    """Everything that discovery would answer."""
    management = management or node.management
    return [
        (
            service,
            sorted(
                entry.key
                for entry in table.entries.values()
                if not management.is_down(service, entry.key, entry.ip, entry.zone_key, entry.group_key)
            ),
            management.decorations(service, table),
            management.rules(service).tuples(),
        )
        for service, table in sorted(node.registry.services.items())
    ]


TestTwoNodes = TwoNodes.TestCase
TestTwoNodes.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
