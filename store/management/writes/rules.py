"""Route rules: creating, changing, publishing and removing them."""

from collections.abc import Sequence

import msgspec

from ..draft import Draft
from ..errors import Conflict, Invalid, NotFound
from ..kinds import (
    ACTIVE,
    CLOSE_BY,
    INACTIVE,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    WEIGHTED,
    RouteRule,
    of_rule,
    rule_key,
)
from .checks import TEXT_CHARACTERS_MAX, identifier, items, one_of, optional, prose, service_identifier
from .inputs import RuleInput
from .operator import Operator, note

STRATEGIES = (WEIGHTED, CLOSE_BY)


def rule_of(draft: Draft, rule_id: int) -> RouteRule:
    """The rule of an id that exists and is not deleted. Raises NotFound."""
    rule = draft.by_id(ROUTE_RULE, rule_id)
    if rule is None or rule.deleted:
        raise NotFound(f"there is no route rule {rule_id}")
    return rule


# As the RPC API writes


def upsert_rules(draft: Draft, who: Operator, given: Sequence[RuleInput | None] | None) -> list[RouteRule]:
    """Create rules, or set description, status and strategy of existing ones; deleted ones come back."""
    who.require_all()
    stored: list[RouteRule] = []
    for position, rule in enumerate(items("routeRules", given)):
        wanted = checked_rule(rule, f"routeRules[{position}].")
        before = draft.get(ROUTE_RULE, rule_key(wanted))
        if before is not None:
            wanted = msgspec.structs.replace(wanted, title=before.title)
        stored.append(store_rule(draft, who, wanted))
    return stored


def delete_rules(draft: Draft, who: Operator, rule_ids: Sequence[int | None] | None) -> None:
    """Delete rules by id; their groups stay, and count again when they come back. Unknown ids are no error."""
    who.require_all()
    for rule_id in items("routeRuleIds", rule_ids):
        rule = draft.by_id(ROUTE_RULE, rule_id)
        if rule is not None:
            store_rule(draft, who, msgspec.structs.replace(rule, deleted=True))
        else:
            draft.remove_id(ROUTE_RULE, rule_id)
            note(draft, who, ROUTE_RULE.name, str(rule_id), before=None, after=None, fields={})


# As the REST API writes


def create_rule(draft: Draft, who: Operator, given: RuleInput, *, title: str | None = None) -> RouteRule:
    """Create one rule, inactive. Raises Conflict when the service has a rule of this name."""
    who.check()
    given.status = INACTIVE
    given.strategy = checked_strategy(given.strategy) if given.strategy is not None else WEIGHTED
    wanted = checked_rule(given, "")
    before = draft.get(ROUTE_RULE, rule_key(wanted))
    if before is not None and not before.deleted:
        raise Conflict(f"the service {wanted.service_id} has a route rule {wanted.name} already")
    return store_rule(draft, who, msgspec.structs.replace(wanted, title=checked_title(title)))


def change_rule(
    draft: Draft,
    who: Operator,
    rule_id: int,
    *,
    title: str | None = None,
    description: str | None = None,
    strategy: str | None = None,
    status: str | None = None,
) -> RouteRule:
    """Change what is given, and leave the rest. Publishing is changing the status."""
    who.check()
    rule = rule_of(draft, rule_id)
    if status is not None and status not in (ACTIVE, INACTIVE):
        raise Invalid(f"status must be {ACTIVE} or {INACTIVE}, not {status!r}")
    changed = msgspec.structs.replace(
        rule,
        title=rule.title if title is None else checked_title(title),
        description=rule.description if description is None else prose("description", description),
        strategy=rule.strategy if strategy is None else checked_strategy(strategy),
        status=status or rule.status,
    )
    return store_rule(draft, who, changed)


def publish_rule(draft: Draft, who: Operator, rule_id: int) -> RouteRule:
    """Make a rule active, and the one published last: of several active rules, that one routes."""
    who.check()
    rule = rule_of(draft, rule_id)
    return store_rule(draft, who, msgspec.structs.replace(rule, status=ACTIVE), publish=True)


def unpublish_rule(draft: Draft, who: Operator, rule_id: int) -> RouteRule:
    """Make a rule inactive."""
    return change_rule(draft, who, rule_id, status=INACTIVE)


def remove_rule(draft: Draft, who: Operator, rule_id: int) -> RouteRule:
    """Remove a rule and its groups' parts in it."""
    who.check()
    rule = rule_of(draft, rule_id)
    draft.remove_all(ROUTE_RULE_GROUP, of_rule(rule_id))
    draft.remove(ROUTE_RULE, rule_key(rule))
    _note(draft, who, rule, None)
    return rule


def checked_rule(given: RuleInput, prefix: str) -> RouteRule:
    """The rule in an input, every field of which must be there but the description."""
    return RouteRule(
        service_id=service_identifier(prefix + "serviceId", given.service_id),
        name=identifier(prefix + "name", given.name),
        description=prose(prefix + "description", given.description),
        status=identifier(prefix + "status", given.status),
        strategy=identifier(prefix + "strategy", given.strategy),
    )


def store_rule(draft: Draft, who: Operator, rule: RouteRule, *, publish: bool = False) -> RouteRule:
    """Store a rule. One that becomes active by this is published by it, and so is an active one that must be."""
    before = draft.get(ROUTE_RULE, rule_key(rule))
    published = 0 if before is None else before.published
    if publish or (rule.is_active and not (before is not None and before.is_active)):
        published = draft.next_version()
    after = draft.put(ROUTE_RULE, msgspec.structs.replace(rule, published=published))
    _note(draft, who, before, after)
    return after


def _note(draft: Draft, who: Operator, before: RouteRule | None, after: RouteRule | None) -> None:
    rule = after or before
    assert rule is not None
    note(
        draft,
        who,
        ROUTE_RULE.name,
        f"{rule.service_id}/{rule.name}",
        before=None if before is None or before.deleted else before,
        after=None if after is None or after.deleted else after,
        fields={"serviceId": rule.service_id, "name": rule.name, "status": rule.status},
    )


def checked_title(title: str | None, name: str = "name") -> str | None:
    """The name that people know, without the blanks around it; None when it is blank."""
    return optional(name, title, TEXT_CHARACTERS_MAX) or None


def checked_strategy(strategy: str, name: str = "strategy") -> str:
    """The strategy in lower case."""
    return one_of(name, strategy, STRATEGIES)
