"""The desk: what all management handlers share. It hands writes to the writer and words what comes back."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import msgspec

from artemis.actors.clock import Clock
from artemis.actors.management import Overloaded, Stopped
from artemis.store.management.draft import Plan
from artemis.store.management.errors import Invalid, Refused
from artemis.store.management.kinds import Kind, Value
from artemis.store.management.management import Management
from artemis.store.management.tables import Table
from artemis.store.management.writes.operator import Operator
from artemis.store.ratelimit import RateLimiter
from artemis.store.registry import Registry

from ...errors import ClientError
from ...requests import Caller, Handler, Reply, Request, Route
from ..answers import RATE_LIMITED_MESSAGE, answer, failure
from ..standing import Standing, not_up

LIMITED: Final = ("get.route-rules", "get.route-rule-groups", "get.groups")
"""Reads that the contract limits."""

T = TypeVar("T")
V = TypeVar("V", bound=Value)

Tell = Callable[[T], Awaitable[Reply]]

SUCCESS: Final = answer(b"")


def peer_address(caller: Caller) -> str:
    """The other end of the connection."""
    return caller.ip


class Writer(Protocol):
    """Who carries out writes: the management writer."""

    async def submit(self, plan: Plan[T]) -> T: ...


class Ask(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A request; this one has nothing in it that anybody reads."""


class PlaceAsk(Ask, kw_only=True):
    """Where the caller is. Clients say so with every question, and nobody looks at it."""

    region_id: str | None = None
    zone_id: str | None = None


class ContextAsk(Ask, kw_only=True):
    """The contract's OperationContext, which is merged flat into write requests."""

    operator_id: str | None = None
    token: str | None = None
    operation: str | None = None
    reason: str | None = None
    extensions: str | None = "{}"


class Desk:
    """Made once; every group of handlers holds it."""

    def __init__(
        self,
        management: Management,
        registry: Registry,
        writer: Writer,
        clock: Clock,
        *,
        standing: Standing,
        limit_of: Callable[[str], int],
        address_of: Callable[[Caller], str] = peer_address,
    ) -> None:
        """`limit_of` gives the calls per ten seconds that one of the LIMITED reads may take; 0 for no limit.

        `address_of` says where a request really comes from, for the audit log.
        """
        self.management = management
        self.registry = registry
        self.writer = writer
        self.clock = clock
        self.standing = standing
        self.address_of = address_of
        self._limiters = {name: RateLimiter(limit_of(name)) for name in LIMITED}

    def table(self, kind: Kind[V]) -> Table[V]:
        """The records of a kind, as they are now."""
        return self.management.tables[kind]

    def who(self, request: Request, ask: ContextAsk) -> Operator:
        """The operator as the request names it."""
        return Operator(
            operator_id=(ask.operator_id or "").strip(),
            token=(ask.token or "").strip(),
            operation=(ask.operation or "").strip(),
            reason=ask.reason,
            extensions=ask.extensions or "",
            address=self.address_of(request.caller),
        )

    async def write(self, plan: Plan[T], text: str, tell: Tell[T] | None = None) -> Reply:
        """Carry out a write. A refusal is the internal error that the contract wants, `text` and the reason in it.

        `tell` makes an answer of what the plan returned; without it there is nothing to tell.
        """
        refused = self.not_serving()
        if refused is not None:
            return refused
        try:
            done = await self.submit(plan)
        except Refused as refusal:
            return failure("internal-service-error", f"{text} {refusal.message}")
        return SUCCESS if tell is None else await tell(done)

    async def write_or_blame(self, plan: Plan[T], tell: Tell[T] | None = None) -> Reply:
        """The same for the endpoints that tell a bad request from trouble of ours."""
        refused = self.not_serving()
        if refused is not None:
            return refused
        try:
            done = await self.submit(plan)
        except Invalid as refusal:
            return failure("bad-request", refusal.message)
        except Refused as refusal:
            return failure("internal-service-error", refusal.message)
        return SUCCESS if tell is None else await tell(done)

    async def submit(self, plan: Plan[T]) -> T:
        """Carry out a write; returns what the plan returned. Raises Refused, or ClientError 503."""
        self.rehearse(plan)
        try:
            return await self.writer.submit(plan)
        except (Overloaded, Stopped) as error:
            raise ClientError(503, str(error), headers=((b"retry-after", b"1"),)) from None

    def rehearse(self, plan: Plan[object]) -> None:
        """Let a plan work on a draft that is thrown away. Raises what it raises.

        The writer serves everybody and ends the node when a plan breaks. So a plan that breaks shall break here, where
        that is the failure of one request; and what is refused costs the writer nothing.
        """
        self.management.draft(now_ms=self.clock.now_ms()).attempt(plan)

    def serving(self) -> bool:
        """Whether this node takes writes now."""
        return self.standing.me().status == "up"

    def not_serving(self) -> Reply | None:
        """The answer to writes while this node does not take any; None when it does."""
        return None if self.serving() else failure("service-unavailable", not_up("", self.standing.me()))

    def limited(self, name: str, field: str) -> Reply | None:
        """The answer to a read beyond its limit; None when it may go on."""
        if self._limiters[name].allow(self.clock.now_s()):
            return None
        return failure("rate-limited", RATE_LIMITED_MESSAGE, field)


def post(path: str, handler: Handler, *, body_optional: bool = False) -> Route:
    """A POST of the RPC management API; `path` is what follows /api/management/ without the suffix.

    `body_optional` on paths that the REST API has, too, where every field of the request is optional: its clients send
    no body then.
    """
    name = path.rpartition("/")[2]
    return Route("POST", f"/api/management/{path}.json", handler, name, body_optional=body_optional)


def same(text: str | None, wanted: str | None) -> bool:
    """Whether a filter lets a text through: a blank one lets everything through, case does not matter."""
    return not wanted or not wanted.strip() or (text or "").lower() == wanted.strip().lower()
