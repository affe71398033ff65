"""Services as operators see them, pulled-out instances and leases included: RPC endpoints 42 to 44."""

import msgspec

from artemis.store.instances import decode_instance
from artemis.store.leases import Entry, ServiceTable
from artemis.store.management.kinds import GROUP, GROUP_MEMBER, GROUP_TAG, of_group, of_service

from ...requests import Reply, Request, Route
from ..answers import answer, encode_json, failure
from ..decoding import decode, decode_optional
from ..pacing import Pace
from .desk import Desk, PlaceAsk, post


class ServiceAsk(PlaceAsk, kw_only=True):
    service_id: str | None = None


class ServiceOperations:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def services(self, request: Request) -> Reply:
        """All services."""
        decode_optional(PlaceAsk, request.body)
        return await self.get_services(request)

    async def get_services(self, request: Request) -> Reply:
        registry, management = self._desk.registry, self._desk.management
        keys = [key for key, table in registry.services.items() if table.live_count]
        keys += [key for key in sorted(management.services_with_logical_instances()) if key not in registry.services]
        services: list[bytes] = []
        pace = Pace()
        for key in keys:
            services.append(self._service(registry.services.get(key), key))
            await pace.step()
        version = self._desk.clock.now_ms()
        return answer(b'"services":[%b],"version":%d' % (b",".join(services), version))

    def service(self, request: Request) -> Reply:
        """One service, and its groups."""
        service_id = (decode(ServiceAsk, request.body).service_id or "").strip()
        if not service_id:
            message = "Request is null or request.servcieId is null."
            return failure("bad-request", message, "service", "groups")
        table = self._desk.registry.services.get(service_id.lower())
        groups = encode_json(self._groups(service_id))
        return answer(b'"groups":' + groups + b',"service":' + self._service(table, service_id))

    def _service(self, table: ServiceTable | None, service_id: str) -> bytes:
        live = [entry for entry in table.entries.values() if entry.live] if table is not None else []
        logical, rules = self._desk.management.undisguised(service_id.lower(), table)
        instances = b"[" + b",".join([self._instance(entry) for entry in live]) + b"]" if live else b"null"
        name = table.service_id if table is not None and live else service_id
        return b'{"instances":%b,"logicInstances":%b,"metadata":null,"routeRules":%b,"serviceId":%b}' % (
            instances,
            logical,
            rules,
            encode_json(name),
        )

    def _instance(self, entry: Entry) -> bytes:
        """An instance with its management status, and its lease among the metadata."""
        clock, registry = self._desk.clock, self._desk.registry
        instance = decode_instance(entry.json)
        age_s = registry.lease_time(clock.now_s()) - entry.deadline_s + entry.ttl_s
        lease = {
            "creationTime": str(entry.registered_ms),
            "renewalTime": str(clock.now_ms() - max(0, int(age_s * 1000))),
            "ttl": str(int(entry.ttl_s * 1000)),
        }
        metadata: dict[str, str | None] = {**(instance.metadata or {}), **lease}
        status = "down" if entry.down else "up"
        return encode_json(msgspec.structs.replace(instance, status=status, metadata=metadata))

    def _groups(self, service_id: str) -> list[dict[str, object]]:
        members, tags = self._desk.table(GROUP_MEMBER), self._desk.table(GROUP_TAG)
        return [
            {
                "groupKey": group.path,
                "instanceIds": [member.instance_id for member in members.find(of_group(group.group_id))],
                "instances": None,
                "metadata": {tag.tag: tag.value for tag in tags.find(of_group(group.group_id))} or None,
                "weight": None,
            }
            for group in self._desk.table(GROUP).find(of_service(service_id))
            if not group.deleted
        ]

    def routes(self) -> list[Route]:
        return [
            post("services", self.services, body_optional=True),
            Route("GET", "/api/management/services.json", self.get_services, "management-services"),
            post("service", self.service),
        ]
