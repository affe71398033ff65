"""Why an instance is, or is not, in the answer for a caller: `GET /api/discovery/explain`."""

from artemis.store.explain import Explanation, explain
from artemis.store.management.visibility import Cause
from artemis.store.routing import Router, ruling

from ...errors import ClientError
from ...requests import Reply, Request, Route
from ..answers import answer, encode_json, failure
from ..discovery import Asker, is_ip
from ..management.desk import Desk
from ..rules import InstanceRules
from .calls import route

FIELDS = ("caller", "canary", "instances", "routeRule", "serviceId")


class ExplainRows:
    """The handler. It looks through the router that answers discovery, and turns no wheel of it."""

    def __init__(self, desk: Desk, router: Router, *, rules: InstanceRules) -> None:
        """`rules` are those about who may ask."""
        self._desk = desk
        self._router = router
        self._rules = rules

    def explain(self, request: Request) -> Reply:
        """What became of each instance of a service, or of one, in the next answer to this caller."""
        service_id, wanted = request.required_argument("serviceId").strip(), request.argument("instanceId")
        asker = self._asker(request)
        foreign = self._rules.foreign_region(asker.region_id) or self._rules.foreign_zone(asker.zone_id)
        if foreign is not None:
            return failure("no-permission", foreign, *FIELDS, loose=True)
        table = self._desk.registry.services.get(service_id.lower())
        if table is None or not table.live_count:
            return failure("data-not-found", f"the service {service_id} has no instances", *FIELDS, loose=True)
        found = explain(self._desk.management, self._router, table, asker)
        if wanted is not None and wanted.strip():
            found = [each for each in found if each.instance_id.lower() == wanted.strip().lower()]
            if not found:
                return failure(
                    "data-not-found", f"the service {service_id} has no instance {wanted}", *FIELDS, loose=True
                )
        rules = self._desk.management.rules(table.key)
        rule, canary = ruling(rules), rules.canary
        fields = {
            "caller": {"ip": asker.ip, "regionId": asker.region_id, "zoneId": asker.zone_id},
            "canary": canary is not None and self._router.is_canary_caller(canary, asker.ip),
            "instances": [_row(each) for each in found],
            "routeRule": None if rule is None else {"routeId": rule.name, "strategy": rule.strategy},
            "serviceId": table.service_id,
        }
        return answer(encode_json(fields)[1:-1], loose=True)

    def _asker(self, request: Request) -> Asker:
        claimed = (request.argument("ip") or "").strip()
        if claimed and not is_ip(claimed):
            raise ClientError(400, f"the query parameter ip must be an IP address, not {claimed!r}")
        return Asker(
            ip=claimed or self._desk.address_of(request.caller),
            region_id=(request.argument("regionId") or "").strip() or self._rules.region_id,
            zone_id=(request.argument("zoneId") or "").strip() or self._rules.zone_id,
        )

    def routes(self) -> list[Route]:
        paths = ("/api/discovery/explain", "/api/discovery/explain.json")
        return [each for path in paths for each in route("GET", path, self.explain, "explain")]


def _row(explanation: Explanation) -> dict[str, object]:
    return {
        "instanceId": explanation.instance_id,
        "kept": explanation.kept,
        "filter": explanation.filter,
        "reason": explanation.reason,
        "causes": [_cause(cause) for cause in explanation.causes],
    }


def _cause(cause: Cause) -> dict[str, object]:
    return {
        "kind": cause.kind,
        "target": cause.target,
        "operation": cause.operation,
        "operatorId": cause.operator_id,
        "reason": cause.reason,
        "operationTime": cause.time_ms,
    }
