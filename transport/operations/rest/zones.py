"""Zones taken out of discovery and put back: REST rows 55 to 59."""

from artemis.store.management.draft import Draft
from artemis.store.management.kinds import ZONE_OPERATION, ZoneOperation
from artemis.store.management.records import key_of
from artemis.store.management.writes.checks import identifier
from artemis.store.management.writes.operations import operate_zone, pull_in_zone
from artemis.store.management.writes.operator import Operator

from ...requests import Reply, Request, Route
from ..decoding import decode
from ..management.desk import Desk, same
from ..management.reach import Target, check_region, reach_of
from .calls import WriteAsk, as_it_is, carry_out, data, optional_body, route, who
from .rows import PULL_OUT, Row, zone_row

ZONE = "/api/management/zone"


class ZoneAsk(WriteAsk, kw_only=True):
    zone_id: str | None = None
    region_id: str | None = None
    service_id: str | None = None


class ZoneRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def pull_out(self, request: Request) -> Reply:
        """Take a zone out of discovery: for one service, or for all."""
        ask = decode(ZoneAsk, request.body)
        operator = who(self._desk, request, ask, PULL_OUT)

        def plan(draft: Draft) -> Row:
            region, zone, service = _place(operator, ask)
            operate_zone(
                draft,
                operator,
                region_id=region,
                service_id=service,
                zone_id=zone,
                operation=PULL_OUT,
                complete=False,
            )
            check_region(self._desk, region)
            found = draft.get(ZONE_OPERATION, key_of(region, service, zone, PULL_OUT))
            assert found is not None
            return zone_row(found)

        row = await carry_out(self._desk, plan)
        return await self._told(ask, row)

    async def pull_in(self, request: Request) -> Reply:
        """Put a zone back. One that is not out stays in."""
        return await self._pull_in(request, decode(ZoneAsk, request.body))

    async def delete(self, request: Request) -> Reply:
        """The same, the zone being named in the path."""
        ask = optional_body(ZoneAsk, request)
        ask.zone_id, ask.region_id = request.params["zoneId"], request.params["regionId"]
        ask.service_id = ask.service_id or request.argument("serviceId")
        return await self._pull_in(request, ask, anonymous=True)

    async def _pull_in(self, request: Request, ask: ZoneAsk, *, anonymous: bool = False) -> Reply:
        operator = who(self._desk, request, ask, PULL_OUT)  # which is what ends

        def plan(draft: Draft) -> tuple[Row, bool]:
            region, zone, service = _place(operator, ask, anonymous=anonymous)
            was_out = pull_in_zone(draft, operator, region_id=region, service_id=service, zone_id=zone) > 0
            check_region(self._desk, region, known=was_out)
            return _status(draft, region, zone, service), was_out

        row, was_out = await carry_out(self._desk, plan)
        return await self._told(ask, row, was_out=was_out)

    async def _told(self, ask: ZoneAsk, row: Row, *, was_out: bool = True) -> Reply:
        target = Target.of(ask.region_id or "", ask.service_id or "", zone_id=ask.zone_id or "")
        return data(row | (await reach_of(self._desk, [target], was_out=was_out)).fields())

    def status(self, request: Request) -> Reply:
        """Whether a zone is out: for all services, or for the one that is asked about."""
        service_id = (request.argument("serviceId") or "").strip()
        params = request.params
        return data(_status(as_it_is(self._desk), params["regionId"].strip(), params["zoneId"].strip(), service_id))

    def operations(self, request: Request) -> Reply:
        """Everything that keeps a zone out."""
        found = [
            zone_row(operation)
            for operation in self._desk.table(ZONE_OPERATION).all()
            if same(operation.region_id, request.argument("regionId"))
        ]
        return data(found)

    def routes(self) -> list[Route]:
        return [
            *route("POST", f"{ZONE}/pull-out", self.pull_out, "pull-out-zone"),
            *route("POST", f"{ZONE}/pull-in", self.pull_in, "pull-in-zone"),
            *route("GET", f"{ZONE}/status/{{zoneId}}/{{regionId}}", self.status, "zone-status"),
            *route("GET", f"{ZONE}/operations", self.operations, "zone-operations"),
            *route("DELETE", f"{ZONE}/{{zoneId}}/{{regionId}}", self.delete, "delete-zone-operation"),
        ]


def _place(operator: Operator, ask: ZoneAsk, *, anonymous: bool = False) -> tuple[str, str, str]:
    """Region, zone and service of a request. Raises Invalid, operator included unless it may be missing."""
    zone, region = identifier("zoneId", ask.zone_id), identifier("regionId", ask.region_id)
    if not anonymous:
        identifier("operatorId", operator.operator_id)
    return region, zone, (ask.service_id or "").strip()


def _status(draft: Draft, region: str, zone: str, service: str) -> Row:
    newest = max(_keeping_out(draft, region, zone, service), key=lambda value: value.created, default=None)
    row: Row = {"zoneId": zone, "regionId": region, "isDown": newest is not None}
    if newest is None:
        return row | {"serviceId": service or None, "operation": None, "operatorId": None, "operationTime": None}
    return row | {name: value for name, value in zone_row(newest).items() if name not in row}


def _keeping_out(draft: Draft, region: str, zone: str, service: str) -> list[ZoneOperation]:
    services = {service, ""}
    return [found for each in services for found in draft.find(ZONE_OPERATION, key_of(region, each, zone))]
