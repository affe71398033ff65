"""Who did what: RPC endpoints 82 to 90, each a view of the audit log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from artemis.store.addresses import canonical_ip
from artemis.store.management.audit import AuditEntry, AuditQuery, AuditRow, Field
from artemis.store.management.kinds import (
    GROUP,
    GROUP_MEMBER,
    GROUP_OPERATION,
    INSTANCE_OPERATION,
    LOGICAL_INSTANCE,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    SERVER_OPERATION,
    ZONE_OPERATION,
)

from ...requests import Reply, Request, Route
from ..answers import answer, encode_json
from ..decoding import decode_optional
from .desk import Ask, Desk, post

ROWS_MAX: Final = 5000
"""Rows of one answer: the newest that match. The REST API pages."""


class LogFilter(Ask, kw_only=True):
    """All filters of all log endpoints; each looks at its own."""

    region_id: str | None = None
    service_id: str | None = None
    zone_id: str | None = None
    instance_id: str | None = None
    server_id: str | None = None
    name: str | None = None
    app_id: str | None = None
    group_id: int = 0
    route_rule_id: int = 0
    operation: str | None = None
    operator_id: str | None = None
    complete: bool | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """One endpoint: what it lists, how it can be filtered, and what its rows show."""

    path: str
    kind: str
    filters: tuple[str, ...]
    shown: tuple[str, ...]
    """Fields of the audit entry in a row."""
    complete: bool = False
    """Rows say whether the operation was complete."""
    extensions: bool = False
    reason: bool = False
    swapped: bool = False
    """By contract the filters operation and operatorId of this endpoint change places."""


LOGS: Final = (
    Log(
        "instance-operation-logs",
        INSTANCE_OPERATION.name,
        ("regionId", "serviceId", "instanceId", "complete"),
        ("regionId", "serviceId", "instanceId"),
        complete=True,
        extensions=True,
    ),
    Log(
        "server-operation-logs",
        SERVER_OPERATION.name,
        ("regionId", "serverId", "complete"),
        ("regionId", "serverId"),
        complete=True,
        extensions=True,
    ),
    Log(
        "group-operation-logs",
        GROUP_OPERATION.name,
        ("groupId", "complete"),
        ("groupId",),
        complete=True,
        extensions=True,
        reason=True,
    ),
    Log(
        "group-logs",
        GROUP.name,
        ("serviceId", "regionId", "zoneId", "name", "appId"),
        ("serviceId", "regionId", "zoneId", "name", "appId", "status"),
        extensions=True,
        reason=True,
    ),
    Log(
        "route-rule-logs",
        ROUTE_RULE.name,
        ("serviceId", "name"),
        ("serviceId", "name", "status"),
        complete=True,
        extensions=True,
        reason=True,
    ),
    Log(
        "route-rule-group-logs",
        ROUTE_RULE_GROUP.name,
        ("routeRuleId", "groupId"),
        ("routeRuleId", "groupId", "weight"),
        extensions=True,
        reason=True,
    ),
    Log(
        "zone-operation-logs",
        ZONE_OPERATION.name,
        ("regionId", "serviceId", "zoneId", "complete"),
        ("regionId", "serviceId", "zoneId"),
        complete=True,
    ),
    Log(
        "group-instance-logs",
        GROUP_MEMBER.name,
        ("groupId", "instanceId"),
        ("groupId", "instanceId"),
        reason=True,
    ),
    Log(
        "service-instance-logs",
        LOGICAL_INSTANCE.name,
        ("serviceId", "instanceId"),
        (
            *("groupId", "healthCheckUrl", "instanceId", "ip", "machineName", "metadata"),
            *("port", "protocol", "regionId", "serviceId", "url", "zoneId"),
        ),
        swapped=True,
    ),
)


class LogHandlers:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [post(f"log/{log.path}", self._reader(log), body_optional=True) for log in LOGS]

    def _reader(self, log: Log) -> Callable[[Request], Reply]:
        def read(request: Request) -> Reply:
            query = query_of(log, decode_optional(LogFilter, request.body))
            found = self._desk.management.audit.query(query)
            rows = [row_of(log, row, entry) for row, entry in reversed(found)]
            return answer(b'"logs":' + encode_json(rows))

        return read


def query_of(log: Log, wanted: LogFilter) -> AuditQuery:
    """The question that a filter means at this endpoint; blank filters ask nothing."""
    given: dict[str, str | int] = {
        "regionId": wanted.region_id or "",
        "serviceId": wanted.service_id or "",
        "zoneId": wanted.zone_id or "",
        "instanceId": wanted.instance_id or "",
        "serverId": canonical_ip(wanted.server_id or ""),
        "name": wanted.name or "",
        "appId": wanted.app_id or "",
        "groupId": wanted.group_id,
        "routeRuleId": wanted.route_rule_id,
    }
    fields = {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}
    fields = {name: value for name, value in fields.items() if name in log.filters and value}
    operation, operator_id = (wanted.operation or "").strip(), (wanted.operator_id or "").strip()
    if log.swapped:
        operation, operator_id = operator_id, operation
    if operation:
        fields["operation"] = operation
    return AuditQuery(
        kinds=frozenset({log.kind}),
        operator_id=operator_id or None,
        complete=wanted.complete if "complete" in log.filters else None,
        fields=fields,
        limit=ROWS_MAX,
    )


def row_of(log: Log, row: AuditRow, entry: AuditEntry) -> dict[str, Field]:
    """A row of a log endpoint, its fields in the order of the alphabet."""
    time_ms = row.audit.time_ms
    shown: dict[str, Field] = {
        "createTime": time_ms,
        "id": row.id,
        "operation": entry.operation,
        "operatorId": entry.operator_id,
        "token": entry.token,
        "updateTime": time_ms,
    }
    shown.update({name: entry.fields.get(name) for name in log.shown})
    if log.complete:
        shown["complete"] = entry.complete
    if log.extensions:
        shown["extensions"] = entry.extensions
    if log.reason:
        shown["reason"] = entry.reason
    return dict(sorted(shown.items()))
