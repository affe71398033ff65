"""Who did what: REST rows 65 to 67, each a view of the audit log, newest first, page by page."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from artemis.store.addresses import canonical_ip
from artemis.store.management.audit import AuditEntry, AuditQuery, AuditRow
from artemis.store.management.kinds import INSTANCE_OPERATION, KINDS, SERVER_OPERATION

from ...errors import ClientError
from ...requests import Reply, Request, Route, fold
from ..management.desk import Desk
from .calls import data, route, whole_argument
from .rows import PULL_IN, PULL_OUT, Row, snapshot_of

AUDIT = "/api/management/audit"

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
"""Entries of one page. More are to be asked for with `before`."""

TYPES: Final = (*(kind.name for kind in KINDS), "canary-ips")
"""What `operationType` may be."""

_END_OF: Final = {PULL_OUT: False, PULL_IN: True}
"""Both are one operation in the log: its beginning and its end."""

OPERATION_SUFFIX: Final = "-operation"


class AuditRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def logs(self, request: Request) -> Reply:
        """Everything that matches what is given."""
        return self._read(request, _kinds(request.argument("operationType")), ())

    def _read(self, request: Request, kinds: frozenset[str], names: Sequence[str]) -> Reply:
        fields = {name: (request.argument(name) or "").strip() for name in ("operation", *names)}
        if "serverId" in fields:
            fields["serverId"] = canonical_ip(fields["serverId"])
        complete = _END_OF.get(fields["operation"].lower())
        if complete is not None:
            fields["operation"] = PULL_OUT
        query = AuditQuery(
            kinds=kinds,
            operator_id=(request.argument("operatorId") or "").strip() or None,
            target=(request.argument("targetId") or "").strip() or None,
            complete=complete,
            fields={name: value for name, value in fields.items() if value},
            since_ms=whole_argument(request, "since"),
            until_ms=whole_argument(request, "until"),
            before_id=whole_argument(request, "before"),
            limit=whole_argument(request, "limit", low=1, high=LIMIT_MAX) or LIMIT_DEFAULT,
        )
        found = self._desk.management.audit.query(query)
        if complete:  # pull-ins of what was not out have a name of their own
            others = replace(query, fields={**query.fields, "operation": PULL_IN})
            found += self._desk.management.audit.query(others)
            found = sorted(found, key=lambda each: each[0].order, reverse=True)[: query.limit]
        return data([audit_row(row, entry) for row, entry in found])

    def _view(self, kind: str, *names: str) -> Callable[[Request], Reply]:
        return lambda request: self._read(request, frozenset({kind}), ("regionId", *names))

    def routes(self) -> list[Route]:
        instances = self._view(INSTANCE_OPERATION.name, "serviceId", "instanceId")
        servers = self._view(SERVER_OPERATION.name, "serverId")
        return [
            *route("GET", f"{AUDIT}/logs", self.logs, "audit-logs"),
            *route("GET", f"{AUDIT}/instance-logs", instances, "audit-instance-logs"),
            *route("GET", f"{AUDIT}/server-logs", servers, "audit-server-logs"),
        ]


def audit_row(row: AuditRow, entry: AuditEntry) -> Row:
    """AuditLog."""
    ended = entry.complete and entry.operation.lower() == PULL_OUT
    return {
        "logId": row.id,
        "nodeId": entry.node_id,
        "operationType": entry.kind,
        "targetId": entry.target,
        "operation": PULL_IN if ended else entry.operation,
        "complete": entry.complete,
        "operatorId": entry.operator_id,
        "address": entry.address,
        "reason": entry.reason,
        "operationTime": row.audit.time_ms,
        "before": snapshot_of(entry.kind, entry.before),
        "after": snapshot_of(entry.kind, entry.after),
    }


def _kinds(text: str | None) -> frozenset[str]:
    """The kinds that an operationType means, in any spelling; `zone` is short for `zone-operation`."""
    wanted = _plain(text or "")
    if not wanted:
        return frozenset()
    for name in TYPES:
        if _plain(name) == wanted:
            return frozenset({name})
    for name in TYPES:
        if name.endswith(OPERATION_SUFFIX) and _plain(name.removesuffix(OPERATION_SUFFIX)) == wanted:
            return frozenset({name})
    raise ClientError(400, f"operationType must be one of {', '.join(TYPES)}, not {text!r}")


def _plain(text: str) -> str:
    return fold(text.strip()).replace("-", "")
