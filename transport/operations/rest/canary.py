"""Who is sent to the canary instances of a service: REST rows 60 to 64b."""

from collections.abc import Sequence
from typing import Protocol

from artemis.store.management.draft import Draft
from artemis.store.management.errors import Invalid
from artemis.store.management.kinds import CANARY, Canary
from artemis.store.management.records import key_of
from artemis.store.management.writes.canary import (
    enable_canary,
    extend_white_list,
    put_canary,
    reduce_white_list,
    remove_canary,
)
from artemis.store.management.writes.operator import Operator

from ...errors import ClientError
from ...requests import Reply, Request, Route
from ..decoding import decode
from ..management.desk import Desk
from .calls import WriteAsk, as_it_is, carry_out, data, optional_body, route, who
from .rows import Row, canary_row

CANARIES = "/api/management/canary"


class CanaryAsk(WriteAsk, kw_only=True):
    service_id: str | None = None
    ip_whitelist: list[str | None] | None = None
    group_id: str | None = None
    enabled: bool | None = None


class EnableAsk(WriteAsk, kw_only=True):
    service_id: str | None = None
    enabled: bool | None = None


class ServiceAsk(WriteAsk, kw_only=True):
    service_id: str | None = None


class WhiteListAsk(WriteAsk, kw_only=True):
    ips: list[str | None] | None = None


class ChangeWhiteList(Protocol):
    """A write that takes some addresses."""

    def __call__(
        self, draft: Draft, who: Operator, *, service_id: str | None, ips: Sequence[str | None] | None
    ) -> Canary: ...


class CanaryRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def put(self, request: Request) -> Reply:
        """Set the canary of a service, replacing the one it has."""
        ask = decode(CanaryAsk, request.body)
        operator = who(self._desk, request, ask, "configure")

        def plan(draft: Draft) -> Row:
            canary = put_canary(
                draft,
                operator,
                service_id=ask.service_id,
                ip_whitelist=ask.ip_whitelist,
                group_id=ask.group_id,
                enabled=ask.enabled,
            )
            return canary_row(draft, canary)

        return data(await carry_out(self._desk, plan))

    def get(self, request: Request) -> Reply:
        """The canary of a service."""
        draft, service_id = as_it_is(self._desk), request.params["serviceId"].strip()
        canary = draft.get(CANARY, key_of(service_id))
        if canary is None:
            raise ClientError(404, f"the service {service_id} has no canary configuration")
        return data(canary_row(draft, canary))

    async def enable(self, request: Request) -> Reply:
        """Switch the canary of a service on or off."""
        ask = decode(EnableAsk, request.body)
        operator = who(self._desk, request, ask, "disable" if ask.enabled is False else "enable")

        def plan(draft: Draft) -> Row:
            if ask.enabled is None:
                raise Invalid("enabled is missing")
            return canary_row(draft, enable_canary(draft, operator, service_id=ask.service_id, enabled=ask.enabled))

        return data(await carry_out(self._desk, plan))

    async def disable(self, request: Request) -> Reply:
        """Switch the canary of a service off."""
        ask = decode(ServiceAsk, request.body)
        operator = who(self._desk, request, ask, "disable")

        def plan(draft: Draft) -> Row:
            return canary_row(draft, enable_canary(draft, operator, service_id=ask.service_id, enabled=False))

        return data(await carry_out(self._desk, plan))

    async def add(self, request: Request) -> Reply:
        """Send more callers to the canaries of a service."""
        return await self._change(request, "whitelist-add", extend_white_list)

    async def remove(self, request: Request) -> Reply:
        """Send fewer callers to the canaries of a service."""
        return await self._change(request, "whitelist-remove", reduce_white_list)

    async def _change(self, request: Request, operation: str, write: ChangeWhiteList) -> Reply:
        ask = decode(WhiteListAsk, request.body)
        operator, service_id = who(self._desk, request, ask, operation), request.params["serviceId"]

        def plan(draft: Draft) -> Row:
            return canary_row(draft, write(draft, operator, service_id=service_id, ips=ask.ips))

        return data(await carry_out(self._desk, plan))

    async def delete(self, request: Request) -> Reply:
        """Remove the canary of a service, if it has one."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "delete")
        service_id = request.params["serviceId"]
        await carry_out(self._desk, lambda draft: remove_canary(draft, operator, service_id=service_id))
        return data(None)

    def all(self, request: Request) -> Reply:
        """Every canary."""
        draft = as_it_is(self._desk)
        return data([canary_row(draft, canary) for canary in draft.all(CANARY)])

    def routes(self) -> list[Route]:
        return [
            *route("POST", f"{CANARIES}/config", self.put, "put-canary"),
            *route("GET", f"{CANARIES}/config/{{path:serviceId}}", self.get, "get-canary"),
            *route("POST", f"{CANARIES}/enable", self.enable, "enable-canary"),
            *route("POST", f"{CANARIES}/disable", self.disable, "disable-canary"),
            *route("POST", f"{CANARIES}/{{path:serviceId}}/whitelist/add", self.add, "extend-canary"),
            *route("POST", f"{CANARIES}/{{path:serviceId}}/whitelist/remove", self.remove, "reduce-canary"),
            *route("DELETE", f"{CANARIES}/config/{{path:serviceId}}", self.delete, "delete-canary"),
            *route("GET", f"{CANARIES}/configs", self.all, "all-canaries"),
        ]
