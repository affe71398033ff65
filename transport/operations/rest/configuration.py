"""Configuration as one document: `GET` and `POST /api/routing/configuration`, behind `artemis export` and `apply`."""

import msgspec

from artemis.store.management.configuration import (
    CanarySetting,
    Configuration,
    GroupSetting,
    RuleSetting,
    configuration_of,
)
from artemis.store.management.draft import Draft
from artemis.store.management.writes.configure import configure
from artemis.store.management.writes.differences import Difference

from ...requests import Reply, Request, Route
from ..decoding import decode
from ..management.desk import Desk
from .calls import WriteAsk, as_it_is, carry_out, data, refusals, route, who

CONFIGURATION = "/api/routing/configuration"


class ConfigureAsk(WriteAsk, kw_only=True):
    services: list[str] = msgspec.field(default_factory=list[str])
    groups: list[GroupSetting] = msgspec.field(default_factory=list[GroupSetting])
    rules: list[RuleSetting] = msgspec.field(default_factory=list[RuleSetting])
    canaries: list[CanarySetting] = msgspec.field(default_factory=list[CanarySetting])
    prune: bool = False
    dry_run: bool = False


class ConfigurationRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def get(self, request: Request) -> Reply:
        """Groups, rules and canaries, of one service or of all."""
        return data(configuration_of(as_it_is(self._desk), request.argument("serviceId")))

    async def post(self, request: Request) -> Reply:
        """Bring everything to what the document says, at once, or only tell what would change."""
        ask = decode(ConfigureAsk, request.body)
        operator = who(self._desk, request, ask, "apply")
        wanted = Configuration(services=ask.services, groups=ask.groups, rules=ask.rules, canaries=ask.canaries)

        def plan(draft: Draft) -> list[Difference]:
            return configure(draft, operator, wanted, region_id=self._desk.management.region_id, prune=ask.prune)

        if ask.dry_run:
            with refusals():
                differences = as_it_is(self._desk).attempt(plan)
        else:
            differences = await carry_out(self._desk, plan)
        return data({"differences": differences, "dryRun": ask.dry_run})

    def routes(self) -> list[Route]:
        return [
            *route("GET", CONFIGURATION, self.get, "get-configuration"),
            *route("POST", CONFIGURATION, self.post, "apply-configuration"),
        ]
