"""The replication endpoints of the original system: what its nodes send to ours (RPC contract 1.5, REST rows 12-15).

Nothing that comes in here goes out again to other nodes: that is how this protocol prevents loops. Node status and
zone are not checked, the region is. A heartbeat of an unknown lease registers the instance. What was taken elsewhere
may be as large as any node's limits allow; what is refused all the same is counted, and the log says so.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Final

from artemis.actors.clock import Clock
from artemis.actors.effects import Effects
from artemis.actors.quoting import quoted
from artemis.actors.seldom import Seldom
from artemis.store.instances import Instance
from artemis.store.ratelimit import RateLimiter
from artemis.store.registry import Registry

from ..errors import ClientError
from ..requests import Handler, Reply, Request, Route
from .answers import RATE_LIMITED_MESSAGE, answer, encode_json, failure
from .cluster import PlaceRequest
from .decoding import decode
from .pacing import Pace
from .registry import EMPTY_MESSAGE, InstancesRequest
from .rules import InstanceRules, Refusal, failed, failures_answer

logger = logging.getLogger(__name__)

SECRET_HEADER: Final = b"x-artemis-secret"
OPERATIONS: Final = ("register", "heartbeat", "unregister", "get-services")


class ReplicationOperations:
    """The four calls of a peer that speaks the RPC dialect."""

    def __init__(
        self,
        registry: Registry,
        effects: Effects,
        clock: Clock,
        *,
        rules: InstanceRules,
        limit_of: Callable[[str], int],
        admits: Callable[[str], bool],
        secrets: Sequence[str] = (),
    ) -> None:
        """`admits` says whether an address may be a peer's; a caller that sends a shared secret always may."""
        self._registry = registry
        self._effects = effects
        self._clock = clock
        self._rules = rules
        self._limiters = {name: RateLimiter(limit_of(name)) for name in OPERATIONS}
        self._admits = admits
        self._warnings = Seldom()
        self.refused: Counter[str] = Counter()
        """Instances that peers replicate and this node does not take, by error code."""
        self._secrets = [secret.encode() for secret in secrets]

    def _begin(self, operation: str, request: Request) -> Reply | None:
        given = (request.header(SECRET_HEADER) or "").encode()
        known = any(compare_digest(given, secret) for secret in self._secrets)
        # Behind a proxy everybody has the proxy's address, which may well be that of a node.
        if not known and (request.caller.forwarded_for is not None or not self._admits(request.caller.ip)):
            raise ClientError(
                403,
                f"{request.caller.ip} is not a node of this cluster: list it under cluster.nodes, "
                "or send the shared secret in the header X-Artemis-Secret",
            )
        if not self._limiters[operation].allow(self._clock.now_s()):
            field = "services" if operation == "get-services" else "failedInstances"
            return failure("rate-limited", RATE_LIMITED_MESSAGE, field, loose=request.loose)
        return None

    def register(self, request: Request) -> Reply:
        """An instance was registered at a peer."""
        return self._put("register", request)

    def heartbeat(self, request: Request) -> Reply:
        """Instances were heard of at a peer; those unknown here are registered with the data that came along."""
        return self._put("heartbeat", request)

    def _put(self, operation: str, request: Request) -> Reply:
        refused = self._begin(operation, request)
        if refused is not None:
            return refused
        instances = decode(InstancesRequest, request.body).instances
        if not instances:
            return failure("bad-request", EMPTY_MESSAGE, "failedInstances", loose=request.loose)
        now_s, now_ms = self._clock.now_s(), self._clock.stamp_ms()
        lease_s = self._registry.lease_time(now_s)
        accepted: list[Instance] = []
        failures: list[bytes] = []
        for instance in instances:
            if instance is None:
                continue
            refusal = self._refuse(instance, request)
            if refusal is not None:
                failures.append(failed(instance, refusal, loose=request.loose))
                continue
            service_key, instance_key = (instance.service_id or "").lower(), (instance.instance_id or "").lower()
            # The heartbeats of the original carry the data of the registration: they never change what is known.
            if operation == "register" or self._registry.renew(service_key, instance_key, lease_s=lease_s) is None:
                accepted.append(instance)
        outcome = self._registry.register(accepted, now_s=now_s, now_ms=now_ms)
        self._effects.merged(outcome.entries, outcome.changes)
        return failures_answer(failures, loose=request.loose)

    def unregister(self, request: Request) -> Reply:
        """An instance was removed at a peer."""
        refused = self._begin("unregister", request)
        if refused is not None:
            return refused
        instances = decode(InstancesRequest, request.body).instances
        if not instances:
            return failure("bad-request", EMPTY_MESSAGE, "failedInstances", loose=request.loose)
        keys: list[tuple[str, str]] = []
        failures: list[bytes] = []
        for instance in instances:
            if instance is None:
                continue
            refusal = self._refuse(instance, request)
            if refusal is not None:
                failures.append(failed(instance, refusal, loose=request.loose))
            else:
                keys.append(((instance.service_id or "").lower(), (instance.instance_id or "").lower()))
        outcome = self._registry.unregister(keys, now_s=self._clock.now_s(), now_ms=self._clock.stamp_ms())
        self._effects.merged(outcome.entries, outcome.changes)
        return failures_answer(failures, loose=request.loose)

    async def services(self, request: Request) -> Reply:
        """Everything in the registry, pulled-out instances included: the cold start of a peer."""
        refused = self._begin("get-services", request)
        if refused is not None:
            return refused
        if request.method == "GET":
            region_id: str | None = request.required_argument("regionId")
        else:
            region_id = decode(PlaceRequest, request.body).region_id
        foreign = self._rules.foreign_region(region_id)
        if foreign is not None:
            return failure("no-permission", foreign, "services", loose=request.loose)
        services: list[bytes] = []
        pace = Pace()
        for service in list(self._registry.services.values()):
            await pace.step()
            instances = [entry.json for entry in service.entries.values() if entry.live]
            if instances:
                services.append(
                    b'{"instances":[%b],"logicInstances":null,"metadata":null,"routeRules":null,"serviceId":%b}'
                    % (b",".join(instances), encode_json(service.service_id))
                )
        return answer(b'"services":[' + b",".join(services) + b"]", loose=request.loose)

    def _refuse(self, instance: Instance, request: Request) -> Refusal | None:
        region = self._rules.foreign_region(instance.region_id)
        refusal: Refusal | None = ("no-permission", region) if region is not None else None
        refusal = refusal or self._rules.refuse_blank(instance) or self._rules.limits.refuse(instance)
        if refusal is not None:
            self.refused[refusal[0]] += 1
            count = self._warnings.due(self._clock.now_s())
            if count:
                logger.warning(
                    "%d instances that %s replicates were refused; the last is %s: %s",
                    count,
                    request.caller.ip,
                    quoted(instance.text()),
                    quoted(refusal[1]),
                )
        return refusal

    def routes(self, prefix: str, *, loose: bool) -> list[Route]:
        """The routes under `/artemis/api` or `/api`."""
        rows: tuple[tuple[str, str, Handler], ...] = (
            ("POST", "register", self.register),
            ("POST", "heartbeat", self.heartbeat),
            ("POST", "unregister", self.unregister),
            ("POST", "services", self.services),
            ("GET", "services", self.services),
        )
        return [
            Route(
                method,
                f"{prefix}/replication/registry/{name}{suffix}",
                handler,
                f"replicate-{name}",
                hot=name != "services",
                loose=loose,
            )
            for method, name, handler in rows
            for suffix in ((".json", "") if loose else (".json",))
        ]
