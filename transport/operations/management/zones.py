"""Operations on zones: RPC endpoints 77 to 81."""

from collections.abc import Sequence

from artemis.store.management.draft import Draft
from artemis.store.management.errors import Invalid
from artemis.store.management.kinds import ZONE_OPERATION, ZoneOperation
from artemis.store.management.records import key_of
from artemis.store.management.writes.checks import identifier, items
from artemis.store.management.writes.operations import operate_zone

from ...requests import Reply, Request, Route
from ..answers import answer, encode_json, failure
from ..decoding import decode
from .desk import Ask, ContextAsk, Desk, PlaceAsk, post, same
from .reach import Target, check_region, reach_of


class ZoneKey(Ask, kw_only=True):
    region_id: str | None = None
    service_id: str | None = None
    zone_id: str | None = None


class ZoneOperations(Ask, kw_only=True):
    zone_key: ZoneKey | None = None
    operations: list[str | None] | None = None


class OperateZones(ContextAsk, kw_only=True):
    zone_operations_list: list[ZoneOperations | None] | None = None
    operation_complete: bool = False


class ZoneKeyAsk(Ask, kw_only=True):
    zone_key: ZoneKey | None = None


class ZoneHandlers:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def operate(self, request: Request) -> Reply:
        """Pull zones of services out, or in when the operation is complete."""
        ask = decode(OperateZones, request.body)
        who = self._desk.who(request, ask)

        def plan(draft: Draft) -> list[Target]:
            targets: list[Target] = []
            if not ask.zone_operations_list:
                raise Invalid("group operations is empty")
            if ask.operator_id is None:
                raise Invalid("operatorId is null")
            for position, zone in enumerate(items("zoneOperationsList", ask.zone_operations_list)):
                name = f"zoneOperationsList[{position}]"
                key = zone.zone_key
                if key is None:
                    raise Invalid(f"{name}.zoneKey is null")
                # Without a service the operation would hit all of them: in this API nobody means that.
                service_id = identifier(f"{name}.zoneKey.serviceId", key.service_id)
                held = ask.operation_complete and _term(key) in self._desk.table(ZONE_OPERATION).index
                for operation in items(f"{name}.operations", zone.operations):
                    operate_zone(
                        draft,
                        who,
                        region_id=key.region_id,
                        service_id=service_id,
                        zone_id=key.zone_id,
                        operation=operation,
                        complete=ask.operation_complete,
                    )
                check_region(self._desk, key.region_id, known=held)
                targets.append(Target.of(key.region_id or "", service_id, zone_id=key.zone_id or ""))
            return targets

        return await self._desk.write(plan, "operate zone-operations failed.", self._tell)

    async def _tell(self, targets: Sequence[Target]) -> Reply:
        return (await reach_of(self._desk, targets)).reply()

    def get_all(self, request: Request) -> Reply:
        """Every zone that is out."""
        decode(PlaceAsk, request.body)
        return answer(b'"allZoneOperations":' + encode_json(zone_rows(self._desk.table(ZONE_OPERATION).all())))

    def get(self, request: Request) -> Reply:
        """The operations on one zone of one service; null when there are none."""
        key = decode(ZoneKeyAsk, request.body).zone_key
        found = [] if key is None else zone_rows(self._desk.table(ZONE_OPERATION).find(_term(key)))
        return answer(b'"operations":' + encode_json(found[0] if found else None))

    def get_list(self, request: Request) -> Reply:
        """The zones that are out, by filter."""
        wanted = decode(ZoneKey, request.body)
        values = [
            value
            for value in self._desk.table(ZONE_OPERATION).all()
            if same(value.region_id, wanted.region_id)
            and same(value.service_id, wanted.service_id)
            and same(value.zone_id, wanted.zone_id)
        ]
        return answer(b'"zoneOperationsList":' + encode_json(zone_rows(values)))

    def is_down(self, request: Request) -> Reply:
        """Whether a zone is out, for this service or for all."""
        key = decode(ZoneKeyAsk, request.body).zone_key
        if key is None:
            return failure("bad-request", "request.zoneKey is null")
        index = self._desk.table(ZONE_OPERATION).index
        for_all = ZoneKey(region_id=key.region_id, zone_id=key.zone_id)
        return answer(b'"down":' + encode_json(_term(key) in index or _term(for_all) in index))

    def routes(self) -> list[Route]:
        return [
            post("zone/operate-zone-operations", self.operate),
            post("zone/get-all-zone-operations", self.get_all),
            post("zone/get-zone-operations", self.get),
            post("zone/get-zone-operations-list", self.get_list),
            post("zone/is-zone-down", self.is_down),
        ]


def zone_rows(values: Sequence[ZoneOperation]) -> list[dict[str, object]]:
    """The contract's ZoneOperations: one row per zone of a service."""
    by_key: dict[str, list[ZoneOperation]] = {}
    for value in values:
        by_key.setdefault(key_of(value.region_id, value.service_id, value.zone_id), []).append(value)
    return [
        {
            "operations": sorted(value.operation for value in found),
            "zoneKey": {
                "regionId": found[-1].region_id,
                "serviceId": found[-1].service_id,
                "zoneId": found[-1].zone_id,
            },
        }
        for found in by_key.values()
    ]


def _term(key: ZoneKey) -> str:
    return key_of(*((part or "").strip() for part in (key.region_id, key.service_id, key.zone_id)))
