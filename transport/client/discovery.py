"""The discovery client: ask who is there, and be told what changes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal

import httpx
import trio

from artemis.store.instances import Instance

from .errors import Refused
from .groups import only_cause
from .http import Http, open_http
from .messages import AllServices, ChosenInstance, Service, read
from .nodes import Nodes
from .picture import ServiceUpdate
from .sockets import Dial, dial
from .watching import Watch

Strategy = Literal["random", "round-robin", "weighted"]

UPDATES_MAX: Final = 16
"""Updates that may wait for the reader of a watch. One more, and the socket is not read until it catches up."""


class DiscoveryClient:
    """Answers are routed by the node: they hold the instances that this caller should use."""

    def __init__(self, http: Http, *, region_id: str | None, zone_id: str | None, dial: Dial) -> None:
        self._http = http
        self._region_id = region_id
        self._zone_id = zone_id
        self._dial = dial

    async def service(self, service_id: str, *, data: Mapping[str, str] | None = None) -> Service:
        """The instances of a service now; none for a service that nobody registered. `data` is for routing."""
        body = await self._http.post(
            "/api/discovery/lookup.json",
            {"discoveryConfigs": [{"serviceId": service_id, "discoveryData": data}], **self._place()},
        )
        (service,) = read(AllServices, body).services or (None,)
        return service.known() if service else Service(service_id)

    async def services(self) -> list[Service]:
        """All services that have instances, by name."""
        found = read(AllServices, await self._http.post("/api/discovery/services.json", self._place())).services
        return sorted((service.known() for service in found or ()), key=lambda service: service.service_id.lower())

    async def choose(self, service_id: str, *, strategy: Strategy = "random") -> Instance | None:
        """One instance, chosen by the node; None when there is none."""
        request = {"discoveryConfig": {"serviceId": service_id}, "strategy": strategy, **self._place()}
        try:
            body = await self._http.post("/api/discovery/lookup.json", request)
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        chosen = read(ChosenInstance, body).instance
        return chosen.known() if chosen else None

    @asynccontextmanager
    async def watch(self, service_id: str) -> AsyncGenerator[trio.MemoryReceiveChannel[ServiceUpdate], None]:
        """Updates of a service, the first a snapshot; `*` for the changes of all. Survives every loss of connection."""
        send, receive = trio.open_memory_channel[ServiceUpdate](UPDATES_MAX)
        try:
            async with trio.open_nursery() as nursery:
                watch = Watch(self._http.nodes, service_id, self._dial, send)
                nursery.start_soon(watch.run, name=f"watch {service_id}")
                yield receive
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise only_cause(group) from None

    def _place(self) -> dict[str, str | None]:
        return {"regionId": self._region_id, "zoneId": self._zone_id}


@asynccontextmanager
async def open_discovery_client(
    *urls: str,
    region_id: str | None = None,
    zone_id: str | None = None,
    timeout_s: float = 5.0,
    transport: httpx.AsyncBaseTransport | None = None,
    dial: Dial = dial,
) -> AsyncGenerator[DiscoveryClient, None]:
    """A client of these nodes. Region and zone of the caller are those of the node unless given."""
    async with open_http(Nodes(urls), timeout_s=timeout_s, transport=transport) as http:
        yield DiscoveryClient(http, region_id=region_id, zone_id=zone_id, dial=dial)
