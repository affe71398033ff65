"""How this node is doing: the status endpoints (RPC contract 1.8, REST row 16), with real values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from artemis.actors.clock import Clock
from artemis.store.instances import decode_instance
from artemis.store.leases import Entry
from artemis.store.ratelimit import RateLimiter
from artemis.store.registry import Registry

from ..requests import Handler, Reply, Request, Route
from .answers import RATE_LIMITED_MESSAGE, answer, encode_json, failure
from .decoding import decode
from .pacing import Pace
from .standing import Standing

LIMITED: Final = ("get-cluster", "get-leases", "get-legacy-leases", "get-config", "get-deployment")


class Connections(Protocol):
    """Who counts the WebSockets of clients."""

    def registry_connections(self) -> int: ...

    def discovery_connections(self) -> int: ...


class LeasesRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    service_ids: list[str | None] | None = None


class StatusOperations:
    """Answers about the node itself."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        *,
        standing: Standing,
        connections: Connections,
        limit_of: Callable[[str], int],
        properties: Mapping[str, str],
        deployment: Mapping[str, object],
        problems: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`properties`: the effective configuration, secrets left out; `deployment`: where and as what we run;
        `problems`: what is wrong with this node now, though it serves."""
        self._problems = problems
        self._registry = registry
        self._clock = clock
        self._standing = standing
        self._connections = connections
        self._limiters = {name: RateLimiter(limit_of(name)) for name in LIMITED}
        self._properties = properties
        self._deployment = deployment

    def node(self, request: Request) -> Reply:
        """This node, as peers poll it."""
        return answer(
            b'"nodeStatus":'
            + encode_json(self._standing.me().describe_to(loose=request.loose))
            + self._told_problems(),
            loose=request.loose,
        )

    def cluster(self, request: Request) -> Reply:
        """All configured nodes as seen from here, and whether they hold the same state."""
        if not self._limiters["get-cluster"].allow(self._clock.now_s()):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "nodesStatus", loose=request.loose)
        nodes = [node.describe_to(loose=request.loose) for node in self._standing.everybody()]
        convergence = encode_json(self._standing.convergence())
        fields = b'"convergence":%b,"nodeCount":%d,"nodesStatus":%b' % (convergence, len(nodes), encode_json(nodes))
        return answer(fields + self._told_problems(), loose=request.loose)

    def _told_problems(self) -> bytes:
        """A field more for the operator, when there is something to tell."""
        problems = self._problems()
        return b',"problems":' + encode_json(list(problems)) if problems else b""

    async def leases(self, request: Request) -> Reply:
        """Ordinary leases, of all services or of the given ones."""
        return await self._leases(request, legacy=False)

    async def legacy_leases(self, request: Request) -> Reply:
        """Leases of instances that call themselves legacy."""
        return await self._leases(request, legacy=True)

    async def _leases(self, request: Request, *, legacy: bool) -> Reply:
        now_s = self._clock.now_s()
        if not self._limiters["get-legacy-leases" if legacy else "get-leases"].allow(now_s):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "leases", loose=request.loose)
        if request.method == "GET":
            wanted = [name for text in request.argument_values("appIds") for name in text.split(",")]
        else:
            wanted = [name for name in decode(LeasesRequest, request.body or b"{}").service_ids or () if name]
        registry = self._registry
        keys = [name.strip().lower() for name in wanted if name.strip()] or list(registry.services)
        leases = await self._rows(keys, legacy=legacy)
        now_ms = self._clock.now_ms()
        count = registry.legacy_count if legacy else registry.live_count - registry.legacy_count
        fields = encode_json(
            {
                "isSafe": not registry.is_protected(),
                "isSafeCheckEnabled": registry.settings.preservation.enabled,
                "leaseCount": count,
                "leaseUpdateCountLastTimeWindow": registry.renewals.last,
                "leaseUpdateMaxCount": registry.renewals.largest,
                "leaseUpdateMaxCountLastUpdateTime": now_ms,
                "leases": msgspec.Raw(leases),
                "overdueCount": registry.overdue_count,
                "protectedServices": registry.protected_services(),
            }
        )
        return answer(fields[1:-1], loose=request.loose)

    async def _rows(self, keys: Iterable[str], *, legacy: bool) -> bytes:
        """The leases by service, as a JSON object."""
        registry, pace = self._registry, Pace()
        services: list[bytes] = []
        for service in [registry.services[key] for key in dict.fromkeys(keys) if key in registry.services]:
            rows: list[bytes] = []
            for entry in list(service.entries.values()):
                if entry.live and entry.legacy == legacy:
                    lease_s = registry.lease_time(self._clock.now_s())
                    rows.append(encode_json(self._lease(entry, lease_s, self._clock.now_ms())))
                await pace.step()
            if rows:
                services.append(b"%b:[%b]" % (encode_json(service.service_id), b",".join(rows)))
        return b"{%b}" % b",".join(services)

    def _lease(self, entry: Entry, lease_s: float, now_ms: int) -> dict[str, object]:
        renewed_ms = now_ms - int((lease_s - entry.deadline_s + entry.ttl_s) * 1000)
        return {
            "instance": decode_instance(entry.json).text(),
            "creationTime": local_time(entry.registered_ms),
            "renewalTime": local_time(renewed_ms),
            "evitionTime": local_time(0),
            "ttl": int(entry.ttl_s * 1000),
            "suspect": entry.overdue,
        }

    def config(self, request: Request) -> Reply:
        """The effective configuration."""
        if not self._limiters["get-config"].allow(self._clock.now_s()):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "properties", loose=request.loose)
        fields = b'"properties":%b,"sources":{"artemis":1}' % encode_json(self._properties)
        return answer(fields, loose=request.loose)

    def deployment(self, request: Request) -> Reply:
        """Where this node runs."""
        if not self._limiters["get-deployment"].allow(self._clock.now_s()):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "properties", loose=request.loose)
        return answer(encode_json(self._deployment)[1:-1], loose=request.loose)

    def websockets(self, request: Request) -> Reply:
        """How many WebSockets are open, as texts, as the contract has it."""
        counts = self._connections
        body = {"registry": str(counts.registry_connections()), "discovery": str(counts.discovery_connections())}
        return Reply(200, encode_json(body))

    def routes(self, prefix: str, *, loose: bool) -> list[Route]:
        """The routes under `/artemis/api` or `/api`."""
        rows: Iterable[tuple[str, Handler]] = (
            ("node", self.node),
            ("cluster", self.cluster),
            ("leases", self.leases),
            ("legacy-leases", self.legacy_leases),
            ("config", self.config),
            ("deployment", self.deployment),
        )
        suffixes = (".json", "") if loose else (".json",)
        routes = [
            Route(
                method,
                f"{prefix}/status/{name}{suffix}",
                handler,
                f"status-{name}",
                loose=loose,
                body_optional=loose,
            )
            for name, handler in rows
            for method in ("POST", "GET")
            for suffix in suffixes
        ]
        return routes + [
            Route(
                "GET", f"{prefix}/status/websocket/connection{suffix}", self.websockets, "status-websocket", loose=loose
            )
            for suffix in suffixes
        ]


def local_time(epoch_ms: int) -> str:
    """Local time as the contract writes it: `yyyy-MM-dd HH:mm:ss.SSS`; an event that was not yet is the epoch."""
    if epoch_ms == 0:
        return "1970-01-01 00:00:00.000"
    return datetime.fromtimestamp(epoch_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
