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
        draft, path = as_it_is(self._desk), _Path(request)
        with refusals():
            row, version = _shown(draft, path.rule(draft))
        return data(row, version=version)

    async def change(self, request: Request) -> Reply:
        """Change what is given of a rule, and leave the rest."""
        ask = decode(ChangeRuleAsk, request.body)
        operator, version = who(self._desk, request, ask, "update"), expected_version(request)
        path = _Path(request)

        def plan(draft: Draft) -> tuple[Row, int]:
            rule = path.rule(draft)
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
        version, path = expected_version(request), _Path(request)

        def plan(draft: Draft) -> None:
            rule = path.rule(draft)
            expect_version(draft, ROUTE_RULE, rule, version)
            rules.remove_rule(draft, operator, rule.rule_id)

        await carry_out(self._desk, plan)
        return data(None)

    async def publish(self, request: Request) -> Reply:
        """Make a rule active; of several active rules of a service the one published last decides."""
        operator, path = who(self._desk, request, optional_body(WriteAsk, request), "publish"), _Path(request)

        def plan(draft: Draft) -> Row:
            return rule_row(draft, rules.publish_rule(draft, operator, path.rule(draft).rule_id))

        return data(await carry_out(self._desk, plan))

    async def unpublish(self, request: Request) -> Reply:
        """Make a rule inactive."""
        operator, path = who(self._desk, request, optional_body(WriteAsk, request), "unpublish"), _Path(request)

        def plan(draft: Draft) -> Row:
            return rule_row(draft, rules.unpublish_rule(draft, operator, path.rule(draft).rule_id))

        return data(await carry_out(self._desk, plan))

    # Their groups

    async def add_group(self, request: Request) -> Reply:
        """Give a group a part in a rule, with a weight that counts at once. 409 when it has one."""
        ask = decode(AddGroupAsk, request.body)
        operator, path = who(self._desk, request, ask, "add-group"), _Path(request)

        def plan(draft: Draft) -> Row:
            rule = path.rule(draft)
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
        draft, path = as_it_is(self._desk), _Path(request)
        with refusals():
            rule = path.rule(draft)
        return data(link_rows(draft, rule))

    async def change_group(self, request: Request) -> Reply:
        """Change what is given of a group's part in a rule; a weight counts at once."""
        ask = decode(ChangeLinkAsk, request.body)
        operator, path = who(self._desk, request, ask, "change-group"), _Path(request)

        def plan(draft: Draft) -> Row:
            link = path.link(draft)
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
        operator, path = who(self._desk, request, optional_body(WriteAsk, request), "remove-group"), _Path(request)

        def plan(draft: Draft) -> None:
            link = path.link(draft)
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


class _Path:
    """The rule, and perhaps its group, that a path names. Read before a write is planned: plans refuse, and cannot fail
    in any other way."""

    def __init__(self, request: Request) -> None:
        self._route_id = request.params["routeId"]
        self._group = request.params.get("groupId", "").strip()
        self._service_id = request.argument("serviceId")

    def rule(self, draft: Draft) -> RouteRule:
        """The rule; `?serviceId=` tells namesakes of different services apart."""
        return rule_at(draft, self._route_id, service_id=self._service_id)

    def link(self, draft: Draft) -> RouteRuleGroup:
        """The part in the rule of a group, named by its id, key or name, or by the id of the part."""
        rule = self.rule(draft)
        links = draft.find(ROUTE_RULE_GROUP, of_rule(rule.rule_id))
        found = [link for link in links if _is_meant(draft, link, self._group)]
        if len(found) > 1:
            raise Invalid(f"several groups of the rule are named {self._group}: say which by its key or id")
        if not found:
            raise NotFound(f"the route rule {rule.name} has no group {self._group}")
        return found[0]


def _is_meant(draft: Draft, link: RouteRuleGroup, text: str) -> bool:
    if text in (str(link.group_id), str(ROUTE_RULE_GROUP.id_of(ROUTE_RULE_GROUP.key(link)))):
        return True
    group = draft.by_id(GROUP, link.group_id)
    return group is not None and text.lower() in (group.name.lower(), group.path, key_text(group).lower())


def _shown(draft: Draft, rule: RouteRule) -> tuple[Row, int]:
    return rule_row(draft, rule), draft.version(ROUTE_RULE, rule_key(rule))
