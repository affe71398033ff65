"""What operators of a simulation decide about: every kind of record, and every way of writing and removing it.

A subject has a record of its own, because of two writes to one record the later one holds with all its fields.
"""

from collections.abc import Iterator

from artemis.store.management.kinds import (
    GROUP,
    GROUP_OPERATION,
    INSTANCE_OPERATION,
    SERVER_OPERATION,
    ZONE_OPERATION,
    server_key,
)
from artemis.store.management.records import key_of
from artemis.store.management.tables import Tables

from .group_subjects import of_groups, of_logical_instances, what_hangs_on_groups
from .rule_subjects import of_canaries, of_rules, of_weights
from .scenario import REGION, Scenario
from .subjects import GROUP_OPERATED, PULL_OUT, ZONE, Subject, exists, group_id, group_key, manage
from .truth import TrueInstance


def subjects(scenario: Scenario) -> list[Subject]:
    """All of them, for the last service of a scenario, which is that of the operators."""
    service = scenario.service_ids[-1]
    mine = scenario.services - 1
    clients = [name for number, name in enumerate(scenario.client_names) if number % scenario.services == mine]
    zones = sorted({scenario.zone_of(number) for number in range(scenario.nodes)})
    return [
        *(_instance(service, client) for client in clients),
        *(_server(f"10.1.0.{client[1:]}") for client in clients),
        *(subject for zone in zones for subject in _zone(service, zone)),
        *of_groups(service),
        *what_hangs_on_groups(service),
        *of_logical_instances(service),
        *of_rules(service),
        *of_weights(service),
        *of_canaries(),
    ]


def is_out(tables: Tables, instance: TrueInstance) -> bool:
    """Whether a node that holds these records must not show an instance. Found by key, one record after the other."""
    service, name = instance.key
    if key_of(REGION, service, name, PULL_OUT) in tables[INSTANCE_OPERATION].values:
        return True
    if key_of(server_key(REGION, instance.ip), PULL_OUT) in tables[SERVER_OPERATION].values:
        return True
    if key_of(REGION, service, instance.zone, PULL_OUT) in tables[ZONE_OPERATION].values:
        return True
    if (instance.zone, instance.group) != (ZONE, GROUP_OPERATED):
        return False
    group = tables[GROUP].values.get(group_key(service, GROUP_OPERATED))
    operation = key_of(str(group_id(service, GROUP_OPERATED)), PULL_OUT)
    return group is not None and not group.deleted and operation in tables[GROUP_OPERATION].values


def _instance(service: str, client: str) -> Subject:
    place = {"regionId": REGION, "serviceId": service, "instanceId": client}
    return exists(
        f"instance {client} is out:",
        INSTANCE_OPERATION,
        key_of(REGION, service, client, PULL_OUT),
        lambda out: [manage("operate-instance", instanceKey=place, operationComplete=not out)],
    )


def _server(ip: str) -> Subject:
    place = {"regionId": REGION, "serverId": ip}
    return exists(
        f"server {ip} is out:",
        SERVER_OPERATION,
        key_of(server_key(REGION, ip), PULL_OUT),
        lambda out: [manage("operate-server", serverKey=place, operationComplete=not out)],
    )


def _zone(service: str, zone: str) -> Iterator[Subject]:
    """By the words of either API; a pull-in of the second one ends whatever is called anything."""
    place = {"regionId": REGION, "serviceId": service, "zoneId": zone}
    operations = [{"zoneKey": place, "operations": [PULL_OUT]}]
    yield exists(
        f"zone {zone} is out:",
        ZONE_OPERATION,
        key_of(REGION, service, zone, PULL_OUT),
        lambda out: [manage("zone/operate-zone-operations", zoneOperationsList=operations, operationComplete=not out)],
    )
    nowhere = {"regionId": REGION, "serviceId": service, "zoneId": f"{zone} of nobody"}
    yield exists(
        f"zone {zone} of nobody is out:",
        ZONE_OPERATION,
        key_of(REGION, service, f"{zone} of nobody", PULL_OUT),
        lambda out: [(f"/api/management/zone/pull-{'out' if out else 'in'}", nowhere)],
    )
