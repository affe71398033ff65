"""Operations on instances and servers: RPC endpoints 32 to 41."""

from collections.abc import Sequence

from artemis.store.instances import Instance, settled
from artemis.store.management.draft import Draft
from artemis.store.management.kinds import (
    INSTANCE_OPERATION,
    SERVER_OPERATION,
    InstanceOperation,
    ServerOperation,
    server_key,
)
from artemis.store.management.records import key_of
from artemis.store.management.visibility import Place
from artemis.store.management.writes.checks import identifier
from artemis.store.management.writes.operations import operate_instance, operate_server
from artemis.store.versions import milliseconds

from ...errors import ClientError
from ...requests import Reply, Request, Route
from ..answers import answer, encode_json, failure, response_status
from ..decoding import decode, decode_optional
from .desk import Ask, ContextAsk, Desk, post, same
from .reach import Target, check_region, reach_of


class InstanceKey(Ask, kw_only=True):
    """Zone and group are not looked at."""

    region_id: str | None = None
    zone_id: str | None = None
    service_id: str | None = None
    group_id: str | None = None
    instance_id: str | None = None


class ServerKey(Ask, kw_only=True):
    region_id: str | None = None
    server_id: str | None = None


class OperateInstance(ContextAsk, kw_only=True):
    instance_key: InstanceKey | None = None
    operation_complete: bool = False


class OperateServer(ContextAsk, kw_only=True):
    server_key: ServerKey | None = None
    operation_complete: bool = False


class InstanceKeyAsk(Ask, kw_only=True):
    instance_key: InstanceKey | None = None


class ServerKeyAsk(Ask, kw_only=True):
    server_key: ServerKey | None = None


class RegionAsk(Ask, kw_only=True):
    region_id: str | None = None


class InstanceAsk(Ask, kw_only=True):
    instance: Instance | None = None


class InstanceOperations:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def operate_instance(self, request: Request) -> Reply:
        """Pull an instance out, or in when the operation is complete."""
        ask = decode(OperateInstance, request.body)
        key, who = ask.instance_key, self._desk.who(request, ask)
        if key is None:
            raise ClientError(500, "instanceKey is missing")  # a 500 by contract (1.9)

        def plan(draft: Draft) -> list[Target]:
            identifier("operatorId", who.operator_id)
            region, service, instance = _texts(key.region_id, key.service_id, key.instance_id)
            held = ask.operation_complete and bool(draft.find(INSTANCE_OPERATION, key_of(region, service, instance)))
            operate_instance(
                draft,
                who,
                region_id=key.region_id,
                service_id=key.service_id,
                instance_id=key.instance_id,
                operation=ask.operation,
                complete=ask.operation_complete,
            )
            check_region(self._desk, region, known=held)
            return [Target.of(region, service, instance_id=instance)]

        return await self._desk.write_or_blame(plan, self._tell)

    async def operate_server(self, request: Request) -> Reply:
        """Pull a server out, or in when the operation is complete."""
        ask = decode(OperateServer, request.body)
        key, who = ask.server_key, self._desk.who(request, ask)
        if key is None:
            raise ClientError(500, "serverKey is missing")  # a 500 by contract (1.9)

        def plan(draft: Draft) -> list[Target]:
            identifier("operatorId", who.operator_id)
            region, server = _texts(key.region_id, key.server_id)
            held = ask.operation_complete and bool(draft.find(SERVER_OPERATION, server_key(region, server)))
            operate_server(
                draft,
                who,
                region_id=key.region_id,
                server_id=key.server_id,
                operation=ask.operation,
                complete=ask.operation_complete,
            )
            check_region(self._desk, region, known=held)
            return [Target.of(region, server_id=server)]

        return await self._desk.write_or_blame(plan, self._tell)

    async def _tell(self, targets: Sequence[Target]) -> Reply:
        return (await reach_of(self._desk, targets)).reply()

    def instance_operations(self, request: Request) -> Reply:
        """The operations that keep one instance out; null when there are none."""
        key = decode(InstanceKeyAsk, request.body).instance_key
        if key is None:
            return failure("bad-request", "request.instanceKey is null", "operations")
        term = key_of(*_texts(key.region_id, key.service_id, key.instance_id))
        found = instance_rows(self._desk.table(INSTANCE_OPERATION).find(term))
        return answer(b'"operations":' + encode_json(found[0] if found else None))

    def server_operations(self, request: Request) -> Reply:
        """The operations that keep one server out; null when there are none."""
        key = decode(ServerKeyAsk, request.body).server_key
        if key is None:
            return failure("bad-request", "request.serverKey is null", "operations")
        term = server_key(*_texts(key.region_id, key.server_id))
        found = server_rows(self._desk.table(SERVER_OPERATION).find(term))
        return answer(b'"operations":' + encode_json(found[0] if found else None))

    def all_instance_operations(self, request: Request) -> Reply:
        """All instances that are out, of one region or of all."""
        return self._all_instances(decode_optional(RegionAsk, request.body).region_id)

    def get_all_instance_operations(self, request: Request) -> Reply:
        return self._all_instances(request.argument("regionId"))

    def all_server_operations(self, request: Request) -> Reply:
        """All servers that are out, of one region or of all."""
        return self._all_servers(decode_optional(RegionAsk, request.body).region_id)

    def get_all_server_operations(self, request: Request) -> Reply:
        return self._all_servers(request.argument("regionId"))

    def instance_down(self, request: Request) -> Reply:
        """Whether anything keeps an instance out: operations on it, its server, its zone or its group."""
        instance = decode(InstanceAsk, request.body).instance
        if instance is None:
            return failure("bad-request", "request.instance is null")
        instance = settled(instance, self._desk.registry.settings.zone_id)
        place = Place.of(
            region_id=instance.region_id,
            service_id=instance.service_id,
            instance_id=instance.instance_id,
            ip=instance.ip,
            zone_id=instance.zone_id,
            group_id=instance.group_id,
        )
        return answer(b'"down":' + encode_json(self._desk.management.is_down_at(place)))

    def server_down(self, request: Request) -> Reply:
        """Whether a server is out."""
        key = decode(ServerKeyAsk, request.body).server_key
        if key is None:
            return failure("bad-request", "request.serverKey null")
        term = server_key(*_texts(key.region_id, key.server_id))
        return answer(b'"down":' + encode_json(term in self._desk.table(SERVER_OPERATION).index))

    def _all_instances(self, region_id: str | None) -> Reply:
        values = [value for value in self._desk.table(INSTANCE_OPERATION).all() if same(value.region_id, region_id)]
        records = [instance_record(value) for value in values]
        return _in_both_apis("allInstanceOperations", instance_rows(values), "instanceOperationRecords", records)

    def _all_servers(self, region_id: str | None) -> Reply:
        values = [value for value in self._desk.table(SERVER_OPERATION).all() if same(value.region_id, region_id)]
        records = [server_record(value) for value in values]
        return _in_both_apis("allServerOperations", server_rows(values), "serverOperationRecords", records)

    def routes(self) -> list[Route]:
        return [
            post("operate-instance", self.operate_instance),
            post("operate-server", self.operate_server),
            post("instance-operations", self.instance_operations),
            post("server-operations", self.server_operations),
            post("all-instance-operations", self.all_instance_operations, body_optional=True),
            Route(
                "GET",
                "/api/management/all-instance-operations.json",
                self.get_all_instance_operations,
                "all-instance-operations",
                loose=True,
            ),
            post("all-server-operations", self.all_server_operations, body_optional=True),
            Route(
                "GET",
                "/api/management/all-server-operations.json",
                self.get_all_server_operations,
                "all-server-operations",
                loose=True,
            ),
            post("instance-down", self.instance_down),
            post("server-down", self.server_down),
        ]


def instance_rows(values: Sequence[InstanceOperation]) -> list[dict[str, object]]:
    """The contract's InstanceOperations: one row per instance, its operations in the order of the alphabet."""
    by_key: dict[str, list[InstanceOperation]] = {}
    for value in values:
        by_key.setdefault(key_of(value.region_id, value.service_id, value.instance_id), []).append(value)
    return [
        {
            "instanceKey": {
                "instanceId": found[-1].instance_id,
                "regionId": found[-1].region_id,
                "serviceId": found[-1].service_id,
            },
            "operations": sorted(value.operation for value in found),
        }
        for found in by_key.values()
    ]


def server_rows(values: Sequence[ServerOperation]) -> list[dict[str, object]]:
    """The contract's ServerOperations."""
    by_key: dict[str, list[ServerOperation]] = {}
    for value in values:
        by_key.setdefault(server_key(value.region_id, value.server_id), []).append(value)
    return [
        {
            "operations": sorted(value.operation for value in found),
            "serverKey": {"regionId": found[-1].region_id, "serverId": found[-1].server_id},
        }
        for found in by_key.values()
    ]


def instance_record(value: InstanceOperation) -> dict[str, object]:
    """One operation on an instance, as the REST API lists it."""
    key = {"instanceId": value.instance_id, "regionId": value.region_id, "serviceId": value.service_id}
    return {"instanceKey": key, **_record(value)}


def server_record(value: ServerOperation) -> dict[str, object]:
    """One operation on a server, as the REST API lists it."""
    return {"regionId": value.region_id, "serverId": value.server_id, **_record(value)}


def _record(value: InstanceOperation | ServerOperation) -> dict[str, object]:
    return {
        "operation": value.operation,
        "operationComplete": value.operation_complete,
        "operationTime": milliseconds(value.created),
        "operatorId": value.operator_id,
        "reason": value.reason,
        "token": value.token,
    }


def _in_both_apis(rows_name: str, rows: list[dict[str, object]], records_name: str, records: Sequence[object]) -> Reply:
    """These paths are in both APIs: the answer has what the callers of each look for, under names of their own."""
    fields = {rows_name: rows, records_name: records}
    status = response_status("success", loose=True)
    return answer(encode_json(fields)[1:-1] + b',"status":' + status)


def _texts(*values: str | None) -> tuple[str, ...]:
    return tuple((value or "").strip() for value in values)
