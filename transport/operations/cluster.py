"""Which nodes can be talked to: what clients ask to find a node (RPC contract 1.7, REST rows 10, 11)."""

from collections.abc import Callable

import msgspec

from artemis.actors.clock import Clock
from artemis.store.ratelimit import RateLimiter

from ..requests import Reply, Request, Route
from .answers import RATE_LIMITED_MESSAGE, answer, encode_json, failure
from .decoding import decode
from .standing import NodeView, Standing


class PlaceRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    region_id: str | None = None
    zone_id: str | None = None


class ClusterOperations:
    """The nodes that serve, as far as this node knows."""

    def __init__(self, clock: Clock, *, standing: Standing, limit_of: Callable[[str], int]) -> None:
        self._clock = clock
        self._standing = standing
        self._limiters = {name: RateLimiter(limit_of(name)) for name in ("up-registry-nodes", "up-discovery-nodes")}

    def registry_nodes(self, request: Request) -> Reply:
        """Nodes that take registrations from the caller's zone."""
        return self._nodes(
            request, "up-registry-nodes", lambda n: (n.can_service_registry, n.allow_registry_from_other_zone)
        )

    def discovery_nodes(self, request: Request) -> Reply:
        """Nodes that answer questions from the caller's zone."""
        return self._nodes(
            request, "up-discovery-nodes", lambda n: (n.can_service_discovery, n.allow_discovery_from_other_zone)
        )

    def _nodes(
        self, request: Request, name: str, flags: Callable[[NodeView], tuple[bool | None, bool | None]]
    ) -> Reply:
        if not self._limiters[name].allow(self._clock.now_s()):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "nodes", loose=request.loose)
        if request.method == "GET":
            place = PlaceRequest(request.argument("regionId"), request.argument("zoneId"))
        else:
            place = decode(PlaceRequest, request.body or b"{}")
        nodes: list[dict[str, object]] = []
        for node in self._standing.everybody():
            can_serve, other_zones = flags(node)
            near = node.zone_id == place.zone_id and node.region_id == place.region_id
            if can_serve and (other_zones or near):
                nodes.append(node.service_node())
        if not nodes:
            return failure("data-not-found", "No available service nodes.", "nodes", loose=request.loose)
        return answer(b'"nodes":' + encode_json(nodes), loose=request.loose)

    def routes(self, prefix: str, *, loose: bool) -> list[Route]:
        """The routes under `/artemis/api` or `/api`."""
        rows = (("up-registry-nodes", self.registry_nodes), ("up-discovery-nodes", self.discovery_nodes))
        return [
            Route(method, f"{prefix}/cluster/{name}{suffix}", handler, name, loose=loose, hot=True, body_optional=loose)
            for name, handler in rows
            for method in ("POST", "GET")
            for suffix in ((".json", "") if loose else (".json",))
        ]
