"""Pulling instances, servers and zones out of discovery, and in again. Several operations on one thing stack."""

from collections.abc import Sequence
from typing import Final

from ...addresses import canonical_ip
from ..draft import Draft
from ..kinds import (
    INSTANCE_OPERATION,
    SERVER_OPERATION,
    ZONE_OPERATION,
    GroupOperation,
    InstanceOperation,
    ServerOperation,
    ZoneOperation,
    server_key,
)
from ..records import key_of
from .checks import identifier, optional
from .operator import Operator, note

Operation = InstanceOperation | ServerOperation | ZoneOperation | GroupOperation

PULL_IN: Final = "pullin"
"""What the audit log calls the end of nothing."""


def operate_instance(
    draft: Draft,
    who: Operator,
    *,
    region_id: str | None,
    service_id: str | None,
    instance_id: str | None,
    operation: str | None,
    complete: bool,
    echo_complete: bool = False,
    noted: str | None = None,
) -> None:
    """Add an operation to an instance (it is out), or end it when `complete`. Unknown instances are accepted.

    `echo_complete` is what the record shows as `operationComplete`: a word that the two APIs read in different ways.
    The audit log has the name of the operation, unless another one is to be `noted`.
    """
    who.check()
    region = identifier("instanceKey.regionId", region_id)
    service = identifier("instanceKey.serviceId", service_id)
    instance = identifier("instanceKey.instanceId", instance_id)
    name = identifier("operation", operation)
    key = key_of(region, service, instance, name)
    before = draft.get(INSTANCE_OPERATION, key)
    after: InstanceOperation | None = None
    if complete:
        draft.remove(INSTANCE_OPERATION, key)
    else:
        after = draft.put(
            INSTANCE_OPERATION,
            InstanceOperation(
                region_id=region,
                service_id=service,
                instance_id=instance,
                operation=name,
                operator_id=who.operator_id,
                token=who.token,
                reason=who.reason,
                operation_complete=echo_complete,
            ),
        )
    note(
        draft,
        who,
        INSTANCE_OPERATION.name,
        f"{region}/{service}/{instance}",
        before=before,
        after=after,
        fields={"regionId": region, "serviceId": service, "instanceId": instance},
        operation=noted or name,
        complete=complete,
    )


def operate_server(
    draft: Draft,
    who: Operator,
    *,
    region_id: str | None,
    server_id: str | None,
    operation: str | None,
    complete: bool,
    echo_complete: bool = False,
    noted: str | None = None,
) -> None:
    """Add an operation to a server, which is an ip, or end it when `complete`."""
    who.check()
    region = identifier("serverKey.regionId", region_id)
    server = canonical_ip(identifier("serverKey.serverId", server_id))
    name = identifier("operation", operation)
    key = key_of(region, server, name)
    before = draft.get(SERVER_OPERATION, key)
    after: ServerOperation | None = None
    if complete:
        draft.remove(SERVER_OPERATION, key)
        for value in draft.find(SERVER_OPERATION, server_key(region, server)):
            if value.operation.lower() == name.lower():  # in another spelling of the address
                draft.remove(SERVER_OPERATION, SERVER_OPERATION.key(value))
    else:
        after = draft.put(
            SERVER_OPERATION,
            ServerOperation(
                region_id=region,
                server_id=server,
                operation=name,
                operator_id=who.operator_id,
                token=who.token,
                reason=who.reason,
                operation_complete=echo_complete,
            ),
        )
    note(
        draft,
        who,
        SERVER_OPERATION.name,
        f"{region}/{server}",
        before=before,
        after=after,
        fields={"regionId": region, "serverId": server},
        operation=noted or name,
        complete=complete,
    )


def operate_zone(
    draft: Draft,
    who: Operator,
    *,
    region_id: str | None,
    service_id: str | None,
    zone_id: str | None,
    operation: str | None,
    complete: bool,
    noted: str | None = None,
) -> None:
    """Add an operation to a zone, or end it when `complete`: for one service, or for all when `service_id` is blank."""
    who.check()
    region = identifier("zoneKey.regionId", region_id)
    service = optional("zoneKey.serviceId", service_id)
    zone = identifier("zoneKey.zoneId", zone_id)
    name = identifier("operation", operation)
    key = key_of(region, service, zone, name)
    before = draft.get(ZONE_OPERATION, key)
    after: ZoneOperation | None = None
    if complete:
        draft.remove(ZONE_OPERATION, key)
    else:
        after = draft.put(
            ZONE_OPERATION,
            before
            or ZoneOperation(
                region_id=region,
                service_id=service,
                zone_id=zone,
                operation=name,
                operator_id=who.operator_id,
                token=who.token,
                reason=who.reason,
            ),
        )
    note(
        draft,
        who,
        ZONE_OPERATION.name,
        "/".join(filter(None, (region, service, zone))),
        before=before,
        after=after,
        fields={"regionId": region, "serviceId": service, "zoneId": zone},
        operation=noted or name,
        complete=complete,
    )


def pull_in_instance(
    draft: Draft, who: Operator, *, region_id: str | None, service_id: str | None, instance_id: str | None
) -> int:
    """End every operation on an instance, whatever it is called. Returns how many there were."""
    region, service, instance = _texts(region_id, service_id, instance_id)
    found = draft.find(INSTANCE_OPERATION, key_of(region, service, instance))
    draft.remove_unknown(INSTANCE_OPERATION, key_of(region, service, instance))
    for operation, noted in ends(found, who):
        operate_instance(
            draft,
            who,
            region_id=region,
            service_id=service,
            instance_id=instance,
            operation=operation,
            complete=True,
            noted=noted,
        )
    return len(found)


def pull_in_server(draft: Draft, who: Operator, *, region_id: str | None, server_id: str | None) -> int:
    """End every operation on a server. Returns how many there were."""
    region, server = _texts(region_id, server_id)
    found = draft.find(SERVER_OPERATION, server_key(region, server))
    draft.remove_unknown(SERVER_OPERATION, server_key(region, server))
    for operation, noted in ends(found, who):
        operate_server(draft, who, region_id=region, server_id=server, operation=operation, complete=True, noted=noted)
    return len(found)


def pull_in_zone(
    draft: Draft, who: Operator, *, region_id: str | None, service_id: str | None, zone_id: str | None
) -> int:
    """End every operation on a zone, of this service or of those for all services. Returns how many there were."""
    region, service, zone = _texts(region_id, service_id, zone_id)
    found = draft.find(ZONE_OPERATION, key_of(region, service, zone))
    draft.remove_unknown(ZONE_OPERATION, key_of(region, service, zone))
    for operation, noted in ends(found, who):
        operate_zone(
            draft,
            who,
            region_id=region,
            service_id=service,
            zone_id=zone,
            operation=operation,
            complete=True,
            noted=noted,
        )
    return len(found)


def ends(found: Sequence[Operation], who: Operator) -> list[tuple[str, str]]:
    """The operations to end, and what the audit log calls each end. Where none is known the operator's own is ended, in
    case another node knows it; here nothing was out, and so the log must not say that a pull-out ended."""
    return [(value.operation, value.operation) for value in found] or [(who.operation or PULL_IN, PULL_IN)]


def _texts(*values: str | None) -> tuple[str, ...]:
    return tuple((value or "").strip() for value in values)
