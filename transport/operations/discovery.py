"""Lookup, service, services, services-delta: what clients ask (RPC contract 1.6, REST rows 4-9).

Both APIs share everything but the choice among instances: under `/artemis/api` an answer holds all visible instances
and the rules by which the client chooses; under `/api` this node chooses, and the answer holds the chosen ones only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

import msgspec

from artemis.actors.clock import Clock
from artemis.store.addresses import address_of
from artemis.store.changes import InstanceChange
from artemis.store.leases import Entry, ServiceTable
from artemis.store.registry import Registry

from ..errors import ClientError
from ..requests import Caller, Handler, Reply, Request, Route
from .answers import answer, encode_json, failure
from .decoding import decode
from .pacing import Pace
from .rules import InstanceRules
from .shared import Shared
from .standing import Standing, not_up

CONFIGS_MAX: Final = 1000
"""Services asked for in one lookup. More is a 400."""

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Answer to a lookup of several services. More is a 400: a few kilobytes must not ask for a gigabyte."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: what server-side routing goes by."""

    ip: str
    region_id: str
    zone_id: str


class Decorator(Protocol):
    """What management adds to the answers of the RPC API."""

    def decorations(self, service_key: str, service: ServiceTable | None) -> tuple[bytes, bytes]:
        """`logicInstances` and `routeRules` of a service, as JSON."""
        ...

    def services_with_logical_instances(self) -> set[str]:
        """Keys of the services that have instances nobody registers."""
        ...

    @property
    def generation(self) -> int:
        """The same while none of these answers changes."""
        ...


class Router(Protocol):
    """How the node chooses for the callers of the REST API."""

    def fragment(self, service: ServiceTable, asker: Asker) -> bytes:
        """The instances that this caller should use, as a JSON array."""
        ...

    def entries(self, service: ServiceTable, asker: Asker) -> list[Entry]:
        """The same, not encoded."""
        ...


class DiscoveryConfig(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    service_id: str | None = None
    region_id: str | None = None
    zone_id: str | None = None
    discovery_data: dict[str, str | None] | None = None


class LookupRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    discovery_configs: list[DiscoveryConfig | None] | None = None
    region_id: str | None = None
    zone_id: str | None = None
    discovery_config: DiscoveryConfig | None = None
    strategy: str | None = None


class ServiceRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    discovery_config: DiscoveryConfig | None = None
    region_id: str | None = None
    zone_id: str | None = None


class ServicesRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    region_id: str | None = None
    zone_id: str | None = None
    version: int = 0


class DiscoveryOperations:
    """Answers about services. What an answer is made of is encoded once per revision and joined per call."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        *,
        standing: Standing,
        rules: InstanceRules,
        decorator: Decorator | None,
        router: Router | None,
        random: Random,
        address_of: Callable[[Caller], str],
    ) -> None:
        """`rules.allow_other_zones` here is about who may ask. No `decorator`: management is switched off."""
        self._registry = registry
        self._clock = clock
        self._standing = standing
        self._rules = rules
        self._decorator = decorator
        self._router = router
        self._random = random
        self._address_of = address_of
        self._turns: dict[str, int] = {}
        self._everything = Shared(lambda: self._make_all(None), self._stamp)

    # One service, many services

    def lookup(self, request: Request) -> Reply:
        """Services by id, in the order asked for. Unknown ones are empty, not missing."""
        ask = decode(LookupRequest, request.body)
        if request.loose and ask.discovery_config is not None and not ask.discovery_configs:
            return self._pick(request, ask, ask.discovery_config)
        if not ask.discovery_configs:
            message = "Request is null or request.discoveryConfigs is empty."
            return failure("bad-request", message, "services", loose=request.loose)
        if len(ask.discovery_configs) > CONFIGS_MAX:
            raise ClientError(
                400, f"{len(ask.discovery_configs)} services in one lookup, at most {CONFIGS_MAX} allowed"
            )
        region_id, zone_id = ask.region_id, ask.zone_id
        if request.loose:
            region_id, zone_id = self._place(ask, next((c for c in ask.discovery_configs if c), None))
        refused = self._refused(request, region_id, zone_id, "services")
        if refused is not None:
            return refused
        services: list[bytes] = []
        size = 0
        for config in ask.discovery_configs:
            if config is None or not config.service_id or config.service_id.isspace():
                continue
            services.append(self._service(request, config, region_id, zone_id, empty=self._decorator is not None))
            size += len(services[-1])
            if size > ANSWER_BYTES_MAX and len(services) > 1:
                raise ClientError(
                    400, f"the answer would have more than {ANSWER_BYTES_MAX} bytes: ask in several calls"
                )
        return answer(b'"services":[%b]' % b",".join(services), loose=request.loose)

    def service(self, request: Request) -> Reply:
        """One service."""
        return self._one(request, decode(ServiceRequest, request.body))

    def get_service(self, request: Request) -> Reply:
        """One service, asked for by query parameters."""
        config = DiscoveryConfig(service_id=request.required_argument("serviceId"))
        config.discovery_data = {"ip": ip} if (ip := request.argument("ip")) else None
        ask = ServiceRequest(config, request.argument("regionId"), request.argument("zoneId"))
        return self._one(request, ask)

    def _one(self, request: Request, ask: ServiceRequest) -> Reply:
        config = ask.discovery_config
        if config is None or not config.service_id or config.service_id.isspace():
            message = "Request is null or request.discoveryConfig is null."
            return failure("bad-request", message, "service", loose=request.loose)
        region_id, zone_id = ask.region_id, ask.zone_id
        if request.loose:
            region_id, zone_id = self._place(ask, config)
        refused = self._refused(request, region_id, zone_id, "service")
        if refused is not None:
            return refused
        if request.loose and not self._is_known(config.service_id):
            return failure("bad-request", f"the service {config.service_id} has no instances", loose=True)
        service = self._service(request, config, region_id, zone_id, empty=False)
        return answer(b'"service":' + service, loose=request.loose)

    def _is_known(self, service_id: str) -> bool:
        service = self._registry.services.get(service_id.lower())
        return service is not None and service.live_count > 0

    async def services(self, request: Request) -> Reply:
        """All services that have an instance to show, and the version of this picture."""
        return await self._all(request, decode(ServicesRequest, request.body or b"{}"))

    async def get_services(self, request: Request) -> Reply:
        """All services, asked for by query parameters."""
        return await self._all(request, ServicesRequest(request.argument("regionId"), request.argument("zoneId")))

    async def _all(self, request: Request, ask: ServicesRequest) -> Reply:
        if not self._standing.serves_discovery():
            return self._not_up('"services":null,"version":0', loose=request.loose)
        if not request.loose:
            return await self._everything.reply()
        asker = self._asker(request, None, *self._place(ask, None))
        return await self._make_all(asker)

    def _stamp(self) -> tuple[int, int]:
        return self._registry.version, 0 if self._decorator is None else self._decorator.generation

    async def _make_all(self, asker: Asker | None) -> Reply:
        registry, pace = self._registry, Pace()
        # Taken first: what changes meanwhile may be in the answer already, and is in the next delta in any case.
        version = registry.version
        services: list[bytes] = []
        for service in list(registry.services.values()):
            if service.visible():
                services.append(self._body(service.service_id, service, asker, empty=True))
            await pace.step()
        if self._decorator is not None and asker is None:
            for key in self._decorator.services_with_logical_instances():
                known = registry.services.get(key)
                if known is None or not known.visible():
                    services.append(self._body(known.service_id if known else key, known, None, empty=True))
        return answer(b'"services":[%b],"version":%d' % (b",".join(services), version), loose=asker is not None)

    def delta(self, request: Request) -> Reply:
        """What came and went since a version that an earlier answer carried."""
        ask = decode(ServicesRequest, request.body)
        if not self._standing.serves_discovery():
            return self._not_up('"delta":null,"version":0', loose=request.loose)
        registry = self._registry
        found = None if ask.version >= registry.version or ask.version <= 0 else registry.log.delta(ask.version)
        if found is None:
            return answer(b'"delta":null,"version":0', "data-not-found", "Delta is not found.", loose=request.loose)
        parts: list[bytes] = []
        for key, changes in found.items():
            service = registry.services.get(key)
            name = encode_json(service.service_id if service else key)
            parts.append(name + b":[" + b",".join([change_json(change) for change in changes.values()]) + b"]")
        return answer(b'"delta":{%b},"version":%d' % (b",".join(parts), registry.version), loose=request.loose)

    def snapshot(self, service_id: str) -> bytes:
        """All visible instances of a service, as a subscription begins with: the same for every caller."""
        return self._body(service_id, self._registry.services.get(service_id.lower()), None, empty=True)

    # The single lookup of the REST API

    def _pick(self, request: Request, ask: LookupRequest, config: DiscoveryConfig) -> Reply:
        strategy = (ask.strategy or "random").strip().lower()
        if strategy not in ("random", "round-robin", "weighted"):
            raise ClientError(400, f"strategy must be random, round-robin or weighted, not {strategy!r}")
        if not config.service_id:
            raise ClientError(400, "discoveryConfig.serviceId is required")
        region_id, zone_id = self._place(ask, config)
        if not self._standing.serves_discovery():
            raise ClientError(503, not_up("discovery ", self._standing.me()), headers=((b"retry-after", b"1"),))
        foreign = self._rules.foreign_region(region_id) or self._rules.foreign_zone(zone_id)
        if foreign is not None:
            raise ClientError(400, foreign)
        service = self._registry.services.get(config.service_id.lower())
        entries = self._chosen(service, self._asker(request, config, region_id, zone_id)) if service else []
        if not entries:
            message = encode_json({"success": False, "message": f"no instance of {config.service_id} is available"})
            return Reply(404, message, outcome="data-not-found")
        entry = self._pick_one(config.service_id.lower(), entries, strategy)
        return Reply(200, b'{"success":true,"instance":' + entry.json + b"}")

    def _chosen(self, service: ServiceTable, asker: Asker) -> list[Entry]:
        return self._router.entries(service, asker) if self._router is not None else service.visible()

    def _pick_one(self, key: str, entries: list[Entry], strategy: str) -> Entry:
        """One instance: by lot, in turn, or by lot with the `weight` of its metadata (100 when it has none)."""
        if strategy == "round-robin":
            turn = self._turns.get(key, -1) + 1
            self._turns[key] = turn
            if len(self._turns) > 10_000:
                del self._turns[next(iter(self._turns))]
            return entries[turn % len(entries)]
        if strategy == "weighted":
            weights = [weight_of(entry) for entry in entries]
            if any(weights):
                return self._random.choices(entries, weights)[0]
        return self._random.choice(entries)

    # Parts of answers

    def _service(
        self, request: Request, config: DiscoveryConfig, region_id: str | None, zone_id: str | None, *, empty: bool
    ) -> bytes:
        service_id = config.service_id or ""
        service = self._registry.services.get(service_id.lower())
        asker = self._asker(request, config, region_id, zone_id) if request.loose else None
        return self._body(service_id, service, asker, empty=empty)

    def _body(self, service_id: str, service: ServiceTable | None, asker: Asker | None, *, empty: bool) -> bytes:
        """The contract's Service. An unknown service has empty lists in a lookup and none in a single query."""
        key = service.key if service is not None else service_id.lower()
        known = service is not None and service.live_count > 0
        if service is not None and known:
            service_id = service.service_id
        if asker is not None:
            instances = self._routed(service, asker) if service is not None else b"[]"
            logical, rules = b"[]", b"[]"
        elif self._decorator is None:
            instances, logical, rules = (service.fragment() if service and known else b"null"), b"null", b"null"
        else:
            logical, rules = self._decorator.decorations(key, service)
            instances = service.fragment() if service is not None else b"[]"
            if not known and not empty and logical == b"[]" and rules == b"[]":
                instances = logical = rules = b"null"
        return b'{"instances":%b,"logicInstances":%b,"metadata":null,"routeRules":%b,"serviceId":%b}' % (
            instances, logical, rules, encode_json(service_id)
        )  # fmt: skip

    def _routed(self, service: ServiceTable, asker: Asker) -> bytes:
        return self._router.fragment(service, asker) if self._router is not None else service.fragment()

    def _place(
        self, ask: LookupRequest | ServiceRequest | ServicesRequest, config: DiscoveryConfig | None
    ) -> tuple[str, str]:
        """Region and zone of a REST request: its own, else the config's, else the node's."""
        region_id = ask.region_id or (config.region_id if config else None) or self._rules.region_id
        zone_id = ask.zone_id or (config.zone_id if config else None) or self._rules.zone_id
        return region_id, zone_id

    def _asker(
        self, request: Request, config: DiscoveryConfig | None, region_id: str | None, zone_id: str | None
    ) -> Asker:
        data = config.discovery_data if config is not None else None
        claimed = (data.get("ip") if data else None) or ""
        return Asker(
            ip=claimed if is_ip(claimed) else self._address_of(request.caller),
            region_id=region_id or self._rules.region_id,
            zone_id=zone_id or self._rules.zone_id,
        )

    def _refused(self, request: Request, region_id: str | None, zone_id: str | None, field: str) -> Reply | None:
        if not self._standing.serves_discovery():
            return self._not_up(f'"{field}":null', loose=request.loose)
        foreign = self._rules.foreign_region(region_id) or self._rules.foreign_zone(zone_id)
        return None if foreign is None else failure("no-permission", foreign, field, loose=request.loose)

    def _not_up(self, fields: str, *, loose: bool) -> Reply:
        message = not_up("discovery ", self._standing.me())
        return answer(fields.encode(), "service-unavailable", message, loose=loose)

    def routes(self, prefix: str, *, loose: bool) -> list[Route]:
        """The routes under `/artemis/api` or `/api`."""
        rows: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "lookup", self.lookup),
            ("POST", "service", self.service),
            ("GET", "service", self.get_service),
            ("POST", "services", self.services),
            ("GET", "services", self.get_services),
            ("POST", "services-delta", self.delta),
        )
        return [
            Route(
                method,
                f"{prefix}/discovery/{name}{suffix}",
                handler,
                name,
                hot=name != "services",
                loose=loose,
                body_optional=loose and name == "services",
            )
            for method, name, handler in rows
            for suffix in ((".json", "") if loose else (".json",))
        ]


def change_json(change: InstanceChange) -> bytes:
    """The contract's InstanceChange."""
    return b'{"changeTime":%d,"changeType":"%b","instance":%b}' % (
        change.time_ms,
        change.change_type.encode(),
        change.json,
    )


class _Weighted(msgspec.Struct):
    metadata: dict[str, str | None] | None = None


_weighted = msgspec.json.Decoder(_Weighted)


def weight_of(entry: Entry) -> int:
    """The weight an instance gives itself by its metadata: 0 to 10,000, 100 when it says nothing sensible."""
    text = (_weighted.decode(entry.json).metadata or {}).get("weight")
    if not text or not text.isdecimal() or len(text) > 5:
        return 100
    return min(int(text), 10_000)


def is_ip(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address."""
    return address_of(text) is not None
