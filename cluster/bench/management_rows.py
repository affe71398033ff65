"""Rows about management: durable writes, a zone that leaves, and discovery under many rules."""

import time
from collections.abc import Iterator

from .http import Address, BenchFailed, Connection, prepare
from .load import SUCCESS
from .measurements import Budget, Measurement, median_of
from .nodes import open_node
from .population import LOOKUP, REGION, REGISTER, ZONES, body_of, lookup_body, make_instance, make_instances
from .rates import RateRow, highest_rate
from .settings import BenchSettings
from .subscribers import arrivals_s, open_subscribers

WRITERS = 50
OPERATOR = {"operatorId": "bench", "token": "bench"}
CONTEXT = {"operation": "bench", "reason": "bench", "extensions": "{}", **OPERATOR}
OPERATE_INSTANCE = "/api/management/operate-instance.json"
ROUTED_LOOKUP = "/api/discovery/lookup.json"

ZONE_SERVICE = "bench.evacuated"
ZONE_INSTANCES = 1000
ZONE_ROUNDS = 5

GROUPS, RULES, CANARIES, OPERATIONS = 1000, 500, 200, 5000
RULE_GROUPS = ("blue", "green")


def writes(settings: BenchSettings) -> Iterator[Measurement]:
    """Fifty writers, each pulling an instance of its own out and in; every answer follows a COMMIT."""
    with open_node(core=settings.cores[0]) as node:
        scripts = [
            [operate_instance(node.address, number, "bench.written", done) for done in (False, True)]
            for number in range(WRITERS)
        ]
        row = RateRow(row="writes", what=f"management writes, {WRITERS} writers", budget=500, unit="writes/s")
        yield highest_rate(settings, node, row, scripts)


def evacuation(settings: BenchSettings) -> Iterator[Measurement]:
    """A zone of 1,000 instances is pulled out; its subscriber hears of every one of them."""
    zone = "evacuated"
    with open_node(core=settings.cores[0]) as node, node.connect() as connection:
        instances = [make_instance(number, ZONE_SERVICE, zone=zone) for number in range(ZONE_INSTANCES)]
        for first in range(0, ZONE_INSTANCES, 100):
            connection.expect("POST", REGISTER, body_of(instances[first : first + 100]))
        last = f'"{instances[-1]["instanceId"]}"'.encode()
        rounds: list[Measurement] = []
        for number in range(ZONE_ROUNDS):
            settings.progress(f"pulling a zone out: round {number + 1} of {ZONE_ROUNDS}")
            with open_subscribers(node.address, ZONE_SERVICE, 1) as subscribers:
                started_s = time.perf_counter()
                operate_zone(connection, ZONE_SERVICE, zone, done=False)
                arrived_s = arrivals_s(subscribers, last)[-1]
                rounds.append(
                    Measurement(
                        row="evacuation",
                        what=f"zone pull-out of {ZONE_INSTANCES:,} instances, to the last push",
                        unit="ms",
                        value=(arrived_s - started_s) * 1000,
                        budget=Budget(50.0),
                    )
                )
            operate_zone(connection, ZONE_SERVICE, zone, done=True)
        yield median_of(rounds)


def loaded(settings: BenchSettings) -> Iterator[Measurement]:
    """Discovery keeps its budgets with 1,000 groups, 500 rules, 200 canaries and 5,000 operations in force."""
    with open_node(core=settings.cores[0]) as node, node.connect() as connection:
        settings.progress("loading groups, rules, canaries and operations")
        load_management(connection, settings.management_share)
        for size, budget in ((20, 15_000), (200, 12_000)):
            service = f"bench.ruled-{size}"
            connection.expect("POST", REGISTER, body_of(make_instances(0, size, service)))
            create_rule(connection, service)
            request = prepare("POST", LOOKUP, lookup_body(service), address=node.address)
            row = RateRow(row="loaded", what=f"look-up of {size} instances, management loaded", budget=budget)
            yield highest_rate(settings, node, row, [[request]] * settings.connections)
        request = prepare("POST", ROUTED_LOOKUP, lookup_body("bench.ruled-20"), address=node.address)
        row = RateRow(row="loaded", what="the same for 20 instances, routed by the server", budget=15_000)
        yield highest_rate(settings, node, row, [[request]] * settings.connections)


def load_management(connection: Connection, share: float) -> None:
    """Fill a node with what a large fleet has accumulated."""
    assert RULES * len(RULE_GROUPS) == GROUPS
    for number in range(round(share * RULES)):
        create_rule(connection, f"bench.managed-{number}")
    for number in range(round(share * CANARIES)):
        canary = {"serviceId": f"bench.managed-{number}", "ipWhitelist": ["10.9.0.0/16"], **OPERATOR}
        connection.expect("POST", "/api/management/canary/config", canary)
    for number in range(round(share * OPERATIONS)):
        answer = connection.exchange(operate_instance(connection.address, number, "bench.operated", False))
        if SUCCESS not in answer.body:
            raise BenchFailed(f"operation {number}: {answer.status} {answer.body[:300]!r}")


def create_rule(connection: Connection, service: str) -> None:
    """An active rule of a service, with its groups."""
    group = {"serviceId": service, "regionId": REGION, "zoneId": ZONES[0], "appId": "bench", "status": "active"}
    rule = {"serviceId": service, "name": "by-colour", "strategy": "weighted-round-robin", "status": "active"}
    groups = [group | {"name": name, "weight": 50} for name in RULE_GROUPS]
    body = {"routeRule": rule, "groups": groups} | CONTEXT
    connection.expect("POST", "/api/management/group/create-route-rule.json", body)


def operate_zone(connection: Connection, service: str, zone: str, *, done: bool) -> None:
    """Pull a zone of a service out, or back in."""
    key = {"regionId": REGION, "serviceId": service, "zoneId": zone}
    operations = [{"zoneKey": key, "operations": ["pullout"]}]
    body = {"zoneOperationsList": operations, "operationComplete": done} | CONTEXT
    connection.expect("POST", "/api/management/zone/operate-zone-operations.json", body)


def operate_instance(address: Address, number: int, service: str, done: bool) -> bytes:
    """A request that pulls an instance out, or back in."""
    instance_id = make_instance(number)["instanceId"]
    key = {"regionId": REGION, "serviceId": service, "instanceId": instance_id}
    body = {"instanceKey": key, "operation": "pullout", "operationComplete": done, **OPERATOR}
    return prepare("POST", OPERATE_INSTANCE, body, address=address)
