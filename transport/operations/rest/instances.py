"""Instances and servers taken out of discovery and put back: REST rows 17 to 21.

Failures of these paths are told as in the RPC API: HTTP 200, and a `status` that says fail. Rows 22 to 27 are paths
that both APIs share; they are answered in `management`.
"""

from collections.abc import Callable, Mapping

from artemis.store.management.draft import Draft, Plan
from artemis.store.management.errors import Invalid, Refused
from artemis.store.management.kinds import INSTANCE_OPERATION, LOGICAL_INSTANCE, SERVER_OPERATION, server_key
from artemis.store.management.records import key_of
from artemis.store.management.visibility import Place
from artemis.store.management.writes.checks import identifier
from artemis.store.management.writes.operations import (
    operate_instance,
    operate_server,
    pull_in_instance,
    pull_in_server,
)
from artemis.store.management.writes.operator import Operator

from ...requests import Reply, Request, Route
from ..answers import ErrorCode, encode_json, response_status
from ..decoding import decode
from ..management.desk import Ask, Desk
from ..management.instances import InstanceKey, instance_record
from ..management.reach import Target, check_region, reach_of
from ..standing import not_up
from .calls import WriteAsk, route, submit, who
from .rows import PULL_IN, PULL_OUT

INSTANCE = "/api/management/instance"
SERVER = "/api/management/server"

Done = tuple[Target, bool]
"""What was operated on, and whether anything was or is out: a pull-in may come to what never was."""


class OperateInstanceAsk(WriteAsk, kw_only=True):
    instance_key: InstanceKey | None = None
    operation: str | None = None
    operation_complete: bool | None = None
    """Means nothing here, whatever it says: clients of this API send true with both operations."""


class OperateServerAsk(WriteAsk, kw_only=True):
    server_id: str | None = None
    region_id: str | None = None
    operation: str | None = None
    operation_complete: bool | None = None


class InstanceAsk(Ask, kw_only=True):
    instance_key: InstanceKey | None = None


class ServerAsk(Ask, kw_only=True):
    server_id: str | None = None
    region_id: str | None = None


class InstanceRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def operate_instance(self, request: Request) -> Reply:
        """Take an instance out (`pullout`), or put it back (`pullin`) whatever its operations are called."""
        ask = decode(OperateInstanceAsk, request.body)
        operator = who(self._desk, request, ask, PULL_OUT)

        def plan(draft: Draft) -> Done:
            out, key = _takes_out(operator, ask.operation), ask.instance_key
            if key is None:
                raise Invalid("instanceKey is missing")
            place, ended = _checked_key(key), 0
            if out:
                operate_instance(
                    draft,
                    operator,
                    region_id=place[0],
                    service_id=place[1],
                    instance_id=place[2],
                    operation=PULL_OUT,
                    complete=False,
                    echo_complete=ask.operation_complete is not False,
                )
            else:
                ended = pull_in_instance(draft, operator, region_id=place[0], service_id=place[1], instance_id=place[2])
            check_region(self._desk, place[0], known=ended > 0)
            return Target.of(place[0], place[1], instance_id=place[2]), out or ended > 0

        return await self._write(plan)

    async def operate_server(self, request: Request) -> Reply:
        """Take every instance of a server out, or put the server back."""
        ask = decode(OperateServerAsk, request.body)
        operator = who(self._desk, request, ask, PULL_OUT)

        def plan(draft: Draft) -> Done:
            out, ended = _takes_out(operator, ask.operation), 0
            server, region = identifier("serverId", ask.server_id), identifier("regionId", ask.region_id)
            if out:
                operate_server(
                    draft,
                    operator,
                    region_id=region,
                    server_id=server,
                    operation=PULL_OUT,
                    complete=False,
                    echo_complete=ask.operation_complete is not False,
                )
            else:
                ended = pull_in_server(draft, operator, region_id=region, server_id=server)
            check_region(self._desk, region, known=ended > 0)
            return Target.of(region, server_id=server), out or ended > 0

        return await self._write(plan)

    def instance_operations(self, request: Request) -> Reply:
        """The operations on an instance, and when and by whom each came about."""
        key = decode(InstanceAsk, request.body).instance_key

        def find() -> dict[str, object]:
            found = self._desk.table(INSTANCE_OPERATION).find(key_of(*_checked_key(key)))
            return {
                "operations": sorted(value.operation for value in found),
                "instanceOperationRecords": [instance_record(value) for value in found],
            }

        return self._read(find, "operations")

    def is_instance_down(self, request: Request) -> Reply:
        """Whether anything keeps an instance out: an operation on it, its server, its zone or its group."""
        key = decode(InstanceAsk, request.body).instance_key
        return self._read(
            lambda: {"isDown": self._desk.management.is_down_at(self._place_of(*_checked_key(key)))}, "isDown"
        )

    def is_server_down(self, request: Request) -> Reply:
        """Whether an operation keeps a server out."""
        ask = decode(ServerAsk, request.body)

        def find() -> dict[str, object]:
            term = server_key(identifier("regionId", ask.region_id), identifier("serverId", ask.server_id))
            return {"isDown": term in self._desk.table(SERVER_OPERATION).index}

        return self._read(find, "isDown")

    def _place_of(self, region_id: str, service_id: str, instance_id: str) -> Place:
        """Where an instance is: as registered, or as a static one; only its key counts when nobody knows it."""
        entry = None
        if region_id.lower() == self._desk.management.region_key:
            entry = self._desk.registry.find(service_id.lower(), instance_id.lower())
        logical = self._desk.table(LOGICAL_INSTANCE).values.get(key_of(service_id, instance_id))
        if (entry is None or not entry.live) and logical is not None:
            return Place.of_logical(logical)
        known = entry is not None and entry.live
        return Place.of(
            region_id=region_id,
            service_id=service_id,
            instance_id=instance_id,
            ip=entry.ip if entry is not None and known else None,
            zone_id=entry.zone_key if entry is not None and known else None,
            group_id=entry.group_key if entry is not None and known else None,
        )

    async def _write(self, plan: Plan[Done]) -> Reply:
        if not self._desk.serving():
            return _refused("service-unavailable", not_up("", self._desk.standing.me()))
        try:
            target, was_out = await submit(self._desk, plan)
        except Invalid as refusal:
            return _refused("bad-request", refusal.message)
        except Refused as refusal:
            return _refused("internal-service-error", refusal.message)
        return _answer((await reach_of(self._desk, [target], was_out=was_out)).fields())

    def _read(self, find: Callable[[], dict[str, object]], field: str) -> Reply:
        try:
            return _answer(find())
        except Invalid as refusal:
            return _refused("bad-request", refusal.message, field)

    def routes(self) -> list[Route]:
        rows = (
            (f"{INSTANCE}/operate-instance", self.operate_instance),
            (f"{INSTANCE}/get-instance-operations", self.instance_operations),
            (f"{INSTANCE}/is-instance-down", self.is_instance_down),
            (f"{SERVER}/operate-server", self.operate_server),
            (f"{SERVER}/is-server-down", self.is_server_down),
        )
        return [
            each for path, handler in rows for each in route("POST", f"{path}.json", handler, path.rpartition("/")[2])
        ]


def _takes_out(operator: Operator, operation: str | None) -> bool:
    """Whether something is to be taken out, and not put back. Raises Invalid."""
    identifier("operatorId", operator.operator_id)
    name = identifier("operation", operation)
    plain = name.lower().replace("-", "").replace("_", "")
    if plain not in (PULL_OUT, PULL_IN):
        raise Invalid(f"operation must be {PULL_OUT} or {PULL_IN}, not {name!r}")
    return plain == PULL_OUT


def _checked_key(key: InstanceKey | None) -> tuple[str, str, str]:
    if key is None:
        raise Invalid("instanceKey is missing")
    return (
        identifier("instanceKey.regionId", key.region_id),
        identifier("instanceKey.serviceId", key.service_id),
        identifier("instanceKey.instanceId", key.instance_id),
    )


def _answer(fields: Mapping[str, object], code: ErrorCode = "success", message: str = "") -> Reply:
    """The fields, and a ResponseStatus that is called `status` on these paths."""
    body, status = encode_json(fields)[:-1], response_status(code, message, loose=True)
    return Reply(200, body + (b"," if fields else b"") + b'"status":' + status + b"}", outcome=code)


def _refused(code: ErrorCode, message: str, *null_fields: str) -> Reply:
    return _answer(dict.fromkeys(null_fields), code, message)
