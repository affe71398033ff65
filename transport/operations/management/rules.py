"""Route rules and their groups: RPC endpoints 45 to 55 and 69."""

from collections.abc import Sequence

from artemis.store.management.kinds import (
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    RouteRule,
    RouteRuleGroup,
    of_group,
    of_rule,
    of_service,
)
from artemis.store.management.writes import rule_groups, rules
from artemis.store.management.writes.inputs import GroupInput, RuleGroupInput, RuleInput

from ...requests import Reply, Request, Route
from ..answers import answer, encode_json
from ..decoding import decode
from .desk import Ask, ContextAsk, Desk, PlaceAsk, post, same


class RulesAsk(ContextAsk, kw_only=True):
    route_rules: list[RuleInput | None] | None = None


class RuleIdsAsk(ContextAsk, kw_only=True):
    route_rule_ids: list[int | None] | None = None


class RuleGroupsAsk(ContextAsk, kw_only=True):
    route_rule_groups: list[RuleGroupInput | None] | None = None


class RuleGroupIdsAsk(ContextAsk, kw_only=True):
    route_rule_group_ids: list[int | None] | None = None


class CreateRuleAsk(ContextAsk, kw_only=True):
    route_rule: RuleInput | None = None
    groups: list[GroupInput | None] | None = None


class RuleFilter(Ask, kw_only=True):
    route_rule_id: int = 0
    service_id: str | None = None
    name: str | None = None
    status: str | None = None


class RuleGroupFilter(Ask, kw_only=True):
    route_rule_group_id: int = 0
    route_rule_id: int = 0
    group_id: int = 0


class RuleHandlers:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Rules

    async def insert_route_rules(self, request: Request) -> Reply:
        """Create rules, or change existing ones."""
        return await self._upsert_rules(request, "insert route-rules failed.")

    async def update_route_rules(self, request: Request) -> Reply:
        """The same."""
        return await self._upsert_rules(request, "update route-rules failed.")

    async def _upsert_rules(self, request: Request, text: str) -> Reply:
        ask = decode(RulesAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(lambda draft: rules.upsert_rules(draft, who, ask.route_rules), text)

    async def delete_route_rules(self, request: Request) -> Reply:
        """Delete rules by id; their groups come back with them when they are inserted again."""
        ask = decode(RuleIdsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: rules.delete_rules(draft, who, ask.route_rule_ids), "delete route-rules failed."
        )

    async def create_route_rule(self, request: Request) -> Reply:
        """A rule with its groups and waiting weights, in one go."""
        ask = decode(CreateRuleAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: rule_groups.create_rule_with_groups(draft, who, ask.route_rule, ask.groups),
            "create route-rule failed.",
        )

    def get_all_route_rules(self, request: Request) -> Reply:
        """Every rule."""
        decode(PlaceAsk, request.body)
        return self._rules(self._desk.table(ROUTE_RULE).all())

    def get_route_rules(self, request: Request) -> Reply:
        """Rules by filter."""
        refused = self._desk.limited("get.route-rules", "routeRules")
        if refused is not None:
            return refused
        wanted = decode(RuleFilter, request.body)
        table = self._desk.table(ROUTE_RULE)
        service_id = (wanted.service_id or "").strip()
        found = [
            rule
            for rule in (table.find(of_service(service_id)) if service_id else table.all())
            if wanted.route_rule_id in (0, rule.rule_id)
            and same(rule.name, wanted.name)
            and same(rule.status, wanted.status)
        ]
        return self._rules(found)

    def _rules(self, found: Sequence[RouteRule]) -> Reply:
        return answer(b'"routeRules":' + encode_json([rule_row(rule) for rule in found if not rule.deleted]))

    # Their groups

    async def insert_route_rule_groups(self, request: Request) -> Reply:
        """Bind groups to rules, with weights that wait for their release."""
        return await self._upsert_groups(request, "insert route-rule-groups failed.")

    async def update_route_rule_groups(self, request: Request) -> Reply:
        """The same."""
        return await self._upsert_groups(request, "update route-rule-groups failed.")

    async def _upsert_groups(self, request: Request, text: str) -> Reply:
        ask = decode(RuleGroupsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: rule_groups.upsert_rule_groups(draft, who, ask.route_rule_groups), text
        )

    async def release_route_rule_groups(self, request: Request) -> Reply:
        """Make the waiting weights count."""
        ask = decode(RuleGroupsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: rule_groups.release_rule_groups(draft, who, ask.route_rule_groups),
            "get route-rule-groups failed.",  # the contract's text for this endpoint
        )

    async def delete_route_rule_groups(self, request: Request) -> Reply:
        """Unbind by id."""
        ask = decode(RuleGroupIdsAsk, request.body)
        who = self._desk.who(request, ask)
        return await self._desk.write(
            lambda draft: rule_groups.delete_rule_groups(draft, who, ask.route_rule_group_ids),
            "delete route-rule-groups failed.",
        )

    def get_all_route_rule_groups(self, request: Request) -> Reply:
        """Every binding."""
        decode(PlaceAsk, request.body)
        return self._links(self._desk.table(ROUTE_RULE_GROUP).all())

    def get_route_rule_groups(self, request: Request) -> Reply:
        """Bindings by filter."""
        refused = self._desk.limited("get.route-rule-groups", "routeRuleGroups")
        if refused is not None:
            return refused
        wanted = decode(RuleGroupFilter, request.body)
        table = self._desk.table(ROUTE_RULE_GROUP)
        if wanted.route_rule_id:
            candidates = table.find(of_rule(wanted.route_rule_id))
        elif wanted.group_id:
            candidates = table.find(of_group(wanted.group_id))
        else:
            candidates = table.all()
        found = [
            link
            for link in candidates
            if wanted.group_id in (0, link.group_id) and wanted.route_rule_group_id in (0, link_id(link))
        ]
        return self._links(found)

    def _links(self, found: Sequence[RouteRuleGroup]) -> Reply:
        return answer(b'"routeRuleGroups":' + encode_json([link_row(link) for link in found]))

    def routes(self) -> list[Route]:
        return [
            post("group/insert-route-rules", self.insert_route_rules),
            post("group/update-route-rules", self.update_route_rules),
            post("group/delete-route-rules", self.delete_route_rules),
            post("group/get-all-route-rules", self.get_all_route_rules),
            post("group/get-route-rules", self.get_route_rules),
            post("group/insert-route-rule-groups", self.insert_route_rule_groups),
            post("group/update-route-rule-groups", self.update_route_rule_groups),
            post("group/release-route-rule-groups", self.release_route_rule_groups),
            post("group/delete-route-rule-groups", self.delete_route_rule_groups),
            post("group/get-all-route-rule-groups", self.get_all_route_rule_groups),
            post("group/get-route-rule-groups", self.get_route_rule_groups),
            post("group/create-route-rule", self.create_route_rule),
        ]


def rule_row(rule: RouteRule) -> dict[str, object]:
    """The contract's ServiceRouteRule."""
    return {
        "description": rule.description,
        "name": rule.name,
        "routeRuleId": rule.rule_id,
        "serviceId": rule.service_id,
        "status": rule.status,
        "strategy": rule.strategy,
    }


def link_id(link: RouteRuleGroup) -> int:
    return ROUTE_RULE_GROUP.id_of(ROUTE_RULE_GROUP.key(link))


def link_row(link: RouteRuleGroup) -> dict[str, object]:
    """The contract's RouteRuleGroup."""
    return {
        "groupId": link.group_id,
        "routeRuleGroupId": link_id(link),
        "routeRuleId": link.route_rule_id,
        "unreleasedWeight": link.unreleased_weight,
        "weight": link.weight,
    }
