"""The canary instances of a service: RPC endpoint 91."""

from artemis.store.management.writes.canary import update_canary_ips

from ...requests import Reply, Request, Route
from ..decoding import decode
from .desk import ContextAsk, Desk, post


class CanaryAsk(ContextAsk, kw_only=True):
    service_id: str | None = None
    app_id: str | None = None
    canary_ips: list[str | None] | None = None


class CanaryHandlers:
    """The handler."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def update_canary_ips(self, request: Request) -> Reply:
        """Make exactly these instances the canaries of an app."""
        ask = decode(CanaryAsk, request.body)
        who, region_id = self._desk.who(request, ask), self._desk.management.region_id
        return await self._desk.write(
            lambda draft: update_canary_ips(
                draft,
                who,
                region_id=region_id,
                service_id=ask.service_id,
                app_id=ask.app_id,
                canary_ips=ask.canary_ips,
            ),
            "update canary ips failed.",
        )

    def routes(self) -> list[Route]:
        return [post("canary/update-canary-ips", self.update_canary_ips)]
