"""Route rules and their groups: REST rows 44 to 54. A rule's routeId is its name in the RPC API."""

from artemis.store.management.draft import Draft
from artemis.store.management.errors import Invalid, NotFound
from artemis.store.management.kinds import (
    GROUP,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    RouteRule,
    RouteRuleGroup,
    of_rule,
    of_service,
    rule_key,
)
from artemis.store.management.writes import rule_groups, rules
from artemis.store.management.writes.checks import identifier
from artemis.store.management.writes.inputs import RuleInput
from artemis.store.management.writes.references import expect_version, group_of_service, key_text, rule_at

from ...requests import Reply, Request, Route
from ..decoding import decode
from ..management.desk import Desk, same
from .calls import (
    WriteAsk,
    as_it_is,
    bodiless,
    carry_out,
    data,
    expected_version,
    optional_body,
    refusals,
    route,
    who,
)
from .rows import Row, link_row, link_rows, rule_row

RULES = "/api/routing/rules"
AT_ID = f"{RULES}/{{routeId}}"


class CreateRuleAsk(WriteAsk, kw_only=True):
    route_id: str | None = None
    service_id: str | None = None
    name: str | None = None
    description: str | None = None
    strategy: str | None = None


class ChangeRuleAsk(WriteAsk, kw_only=True):
    name: str | None = None
    description: str | None = None
    strategy: str | None = None


class AddGroupAsk(WriteAsk, kw_only=True):
    group_id: str | None = None
    """Id, key or name of a group of the rule's service."""
    weight: int | None = None
    region_id: str | None = None
    zone_id: str | None = None


class ChangeLinkAsk(WriteAsk, kw_only=True):
    weight: int | None = None
    region_id: str | None = None
    zone_id: str | None = None


class RuleRows:
    """The handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Rules

    async def create(self, request: Request) -> Reply:
        """Create a rule, inactive. 409 when the service has one of this routeId."""
        ask = decode(CreateRuleAsk, request.body)
        operator = who(self._desk, request, ask, "create")
        given = RuleInput(
            service_id=ask.service_id, name=ask.route_id, description=ask.description, strategy=ask.strategy
        )

        def plan(draft: Draft) -> tuple[Row, int]:
            identifier("routeId", ask.route_id)
            return _shown(draft, rules.create_rule(draft, operator, given, title=ask.name))

        row, version = await carry_out(self._desk, plan)
        return data(row, 201, version=version)

    def find(self, request: Request) -> Reply:
        """The rules that match everything given, with their groups."""
        draft = as_it_is(self._desk)
        service_id = (request.argument("serviceId") or "").strip()
        found = [
            rule_row(draft, rule)
            for rule in (draft.find(ROUTE_RULE, of_service(service_id)) if service_id else draft.all(ROUTE_RULE))
            if not rule.deleted and same(rule.status, request.argument("status"))
        ]
        return data(found)

    def get(self, request: Request) -> Reply:
        """One rule, with its groups."""
        draft = as_it_is(self._desk)
        with refusals():
            row, version = _shown(draft, _rule(draft, request))
        return data(row, version=version)

    async def change(self, request: Request) -> Reply:
        """Change what is given of a rule, and leave the rest."""
        ask = decode(ChangeRuleAsk, request.body)
        operator, version = who(self._desk, request, ask, "update"), expected_version(request)

        def plan(draft: Draft) -> tuple[Row, int]:
            rule = _rule(draft, request)
            expect_version(draft, ROUTE_RULE, rule, version)
            changed = rules.change_rule(
                draft,
                operator,
                rule.rule_id,
                title=ask.name,
                description=ask.description,
                strategy=ask.strategy,
            )
            return _shown(draft, changed)

        row, version = await carry_out(self._desk, plan)
        return data(row, version=version)

    async def delete(self, request: Request) -> Reply:
        """Remove a rule and its groups' parts in it."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "delete")
        version = expected_version(request)

        def plan(draft: Draft) -> None:
            rule = _rule(draft, request)
            expect_version(draft, ROUTE_RULE, rule, version)
            rules.remove_rule(draft, operator, rule.rule_id)

        await carry_out(self._desk, plan)
        return data(None)

    async def publish(self, request: Request) -> Reply:
        """Make a rule active; of several active rules of a service the one published last decides."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "publish")

        def plan(draft: Draft) -> Row:
            return rule_row(draft, rules.publish_rule(draft, operator, _rule(draft, request).rule_id))

        return data(await carry_out(self._desk, plan))

    async def unpublish(self, request: Request) -> Reply:
        """Make a rule inactive."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "unpublish")

        def plan(draft: Draft) -> Row:
            return rule_row(draft, rules.unpublish_rule(draft, operator, _rule(draft, request).rule_id))

        return data(await carry_out(self._desk, plan))

    # Their groups

    async def add_group(self, request: Request) -> Reply:
        """Give a group a part in a rule, with a weight that counts at once. 409 when it has one."""
        ask = decode(AddGroupAsk, request.body)
        operator = who(self._desk, request, ask, "add-group")

        def plan(draft: Draft) -> Row:
            rule = _rule(draft, request)
            text = identifier("groupId", ask.group_id)
            if ask.weight is None:
                raise Invalid("weight is missing")
            group = group_of_service(draft, rule.service_id, text, region_id=ask.region_id, zone_id=ask.zone_id)
            link = rule_groups.bind_group(
                draft,
                operator,
                rule.rule_id,
                group.group_id,
                weight=ask.weight,
                region_id=ask.region_id,
                zone_id=ask.zone_id,
            )
            return link_row(draft, link)

        return data(await carry_out(self._desk, plan), 201)

    def groups(self, request: Request) -> Reply:
        """The groups of a rule, in the order in which they were added."""
        draft = as_it_is(self._desk)
        with refusals():
            rule = _rule(draft, request)
        return data(link_rows(draft, rule))

    async def change_group(self, request: Request) -> Reply:
        """Change what is given of a group's part in a rule; a weight counts at once."""
        ask = decode(ChangeLinkAsk, request.body)
        operator = who(self._desk, request, ask, "change-group")

        def plan(draft: Draft) -> Row:
            link = _link(draft, request)
            changed = rule_groups.change_binding(
                draft,
                operator,
                link.route_rule_id,
                link.group_id,
                weight=ask.weight,
                region_id=ask.region_id,
                zone_id=ask.zone_id,
            )
            return link_row(draft, changed)

        return data(await carry_out(self._desk, plan))

    async def remove_group(self, request: Request) -> Reply:
        """Take a group out of a rule. 404 when it is not in it."""
        operator = who(self._desk, request, optional_body(WriteAsk, request), "remove-group")

        def plan(draft: Draft) -> None:
            link = _link(draft, request)
            rule_groups.unbind_group(draft, operator, link.route_rule_id, link.group_id)

        await carry_out(self._desk, plan)
        return data(None)

    def routes(self) -> list[Route]:
        return [
            *route("POST", RULES, self.create, "create-rule"),
            *route("GET", RULES, self.find, "find-rules"),
            *route("GET", AT_ID, self.get, "get-rule"),
            *route("PATCH", AT_ID, self.change, "change-rule"),
            *route("DELETE", AT_ID, self.delete, "delete-rule"),
            *bodiless(f"{AT_ID}/publish", self.publish, "publish-rule"),
            *bodiless(f"{AT_ID}/unpublish", self.unpublish, "unpublish-rule"),
            *route("POST", f"{AT_ID}/groups", self.add_group, "add-rule-group"),
            *route("GET", f"{AT_ID}/groups", self.groups, "rule-groups"),
            *route("PATCH", f"{AT_ID}/groups/{{path:groupId}}", self.change_group, "change-rule-group"),
            *route("DELETE", f"{AT_ID}/groups/{{path:groupId}}", self.remove_group, "remove-rule-group"),
        ]


def _rule(draft: Draft, request: Request) -> RouteRule:
    """The rule that the path names; `?serviceId=` tells namesakes of different services apart."""
    return rule_at(draft, request.params["routeId"], service_id=request.argument("serviceId"))


def _link(draft: Draft, request: Request) -> RouteRuleGroup:
    """The part in the rule that the path names by id, key or name of its group, or by its own id."""
    rule, text = _rule(draft, request), request.params["groupId"].strip()
    links = draft.find(ROUTE_RULE_GROUP, of_rule(rule.rule_id))
    found = [link for link in links if _is_meant(draft, link, text)]
    if len(found) > 1:
        raise Invalid(f"several groups of the rule are named {text}: say which by its key or id")
    if not found:
        raise NotFound(f"the route rule {rule.name} has no group {text}")
    return found[0]


def _is_meant(draft: Draft, link: RouteRuleGroup, text: str) -> bool:
    if text in (str(link.group_id), str(ROUTE_RULE_GROUP.id_of(ROUTE_RULE_GROUP.key(link)))):
        return True
    group = draft.by_id(GROUP, link.group_id)
    return group is not None and text.lower() in (group.name.lower(), group.path, key_text(group).lower())


def _shown(draft: Draft, rule: RouteRule) -> tuple[Row, int]:
    return rule_row(draft, rule), draft.version(ROUTE_RULE, rule_key(rule))
