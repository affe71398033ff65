"""A limit for each client address, over everything that clients ask of this node, whatever the operation.

Peers are spared: replication has limits of its own, and so is the status that nodes ask each other for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, cast

from artemis.actors.clock import Clock
from artemis.store.ratelimit import CallerLimits

from ..errors import ClientError
from ..requests import Caller, Handler, Reply, Request, Route, SyncHandler
from .answers import RATE_LIMITED_MESSAGE, failure

RETRY_AFTER: Final = ((b"retry-after", b"1"),)

SPARED: Final = ("/replication/", "/status/node")
RPC_SHAPED: Final = ("/registry/", "/discovery/", "/cluster/", "/status/")
"""Areas in which a refusal is HTTP 200 with `rate-limited`; elsewhere it is 429."""


class CallerGuard:
    """Counts the calls of each address, and refuses those that are too many."""

    def __init__(self, limit: int, clock: Clock, *, address_of: Callable[[Caller], str]) -> None:
        """At most `limit` calls of one address in ten seconds."""
        self._limits = CallerLimits(limit)
        self._clock = clock
        self._address_of = address_of

    def guarded(self, route: Route) -> Route:
        """The route, for callers that are not too fast."""
        area = route.path.removeprefix("/artemis").removeprefix("/api")
        if area.startswith(SPARED):
            return route
        return replace(route, handler=self._behind(route.handler, in_rpc_shape=area.startswith(RPC_SHAPED)))

    def heartbeats(self, handler: SyncHandler) -> SyncHandler:
        """The same for heartbeats that come over a WebSocket."""

        def heartbeat(request: Request) -> Reply:
            return handler(request) if self._allows(request) else failure("rate-limited", RATE_LIMITED_MESSAGE)

        return heartbeat

    def _behind(self, handler: Handler, *, in_rpc_shape: bool) -> Handler:
        def guarded(request: Request) -> Reply | Awaitable[Reply]:
            if self._allows(request):
                return handler(request)
            if in_rpc_shape:
                return failure("rate-limited", RATE_LIMITED_MESSAGE, loose=request.loose)
            raise ClientError(
                429, "this address has sent too many requests (rate_limits.per_client)", headers=RETRY_AFTER
            )

        return cast("Handler", guarded)

    def _allows(self, request: Request) -> bool:
        return self._limits.allow(self._address_of(request.caller), self._clock.now_s())
