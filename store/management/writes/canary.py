"""Canaries: which instances of a service are canaries (RPC API), and who is sent to them (REST API)."""

from collections.abc import Sequence

import msgspec

from ...addresses import network_of
from ..draft import Draft
from ..errors import Invalid, NotFound
from ..kinds import (
    ACTIVE,
    CANARY,
    CANARY_RULE,
    CANARY_ZONE,
    GROUP,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    WEIGHTED,
    Canary,
    Group,
    RouteRule,
    RouteRuleGroup,
    Value,
    group_key,
    of_group,
    rule_key,
)
from ..records import key_of
from .checks import identifier, service_identifier
from .members import set_members
from .operator import Operator, note

CANARY_WEIGHT = 5
"""The waiting weight of a canary group that is new."""

WHITELIST_MAX = 1000


def update_canary_ips(
    draft: Draft,
    who: Operator,
    *,
    region_id: str,
    service_id: str | None,
    app_id: str | None,
    canary_ips: Sequence[str | None] | None,
) -> None:
    """Make exactly these instances the canaries of an app. Rule, group and their link are created as needed.

    A service that has no canary configuration gets one, switched off, so that the other API shows what is there.
    """
    who.require_all()
    service, app = service_identifier("serviceId", service_id), identifier("appId", app_id)
    if canary_ips is None:
        raise Invalid("canaryIps is null")
    instance_ids = [identifier(f"canaryIps[{position}]", ip) for position, ip in enumerate(canary_ips)]
    rule = _ensure_rule(draft, RouteRule(service_id=service, name=CANARY_RULE, status=ACTIVE, strategy=WEIGHTED))
    group = _ensure_group(
        draft, Group(service_id=service, region_id=region_id, zone_id=CANARY_ZONE, name=app, app_id=app)
    )
    links = draft.find(ROUTE_RULE_GROUP, of_group(group.group_id)) or [
        RouteRuleGroup(route_rule_id=rule.rule_id, group_id=group.group_id, unreleased_weight=CANARY_WEIGHT)
    ]
    for link in links:
        draft.put(ROUTE_RULE_GROUP, link)
    if draft.get(CANARY, key_of(service)) is None:
        draft.put(CANARY, Canary(service_id=service, group_id=app, enabled=False))
    _note(draft, who, "canary-ips", service, before=None, after=group, app=app)
    set_members(draft, who, group.group_id, instance_ids)


def put_canary(
    draft: Draft,
    who: Operator,
    *,
    service_id: str | None,
    ip_whitelist: Sequence[str | None] | None,
    group_id: str | None = None,
    enabled: bool | None = None,
) -> Canary:
    """Set who is sent to the canaries of a service. Addresses and networks (CIDR) are both taken."""
    who.check()
    service = service_identifier("serviceId", service_id)
    wanted = Canary(
        service_id=service,
        ip_whitelist=white_list("ipWhitelist", ip_whitelist),
        group_id=identifier("groupId", group_id) if group_id is not None else "canary",
        enabled=enabled is not False,
    )
    return store_canary(draft, who, wanted)


def enable_canary(draft: Draft, who: Operator, *, service_id: str | None, enabled: bool) -> Canary:
    """Switch the canary of a service on or off. Raises NotFound."""
    canary = _configured(draft, who, service_id)
    return store_canary(draft, who, msgspec.structs.replace(canary, enabled=enabled))


def extend_white_list(
    draft: Draft, who: Operator, *, service_id: str | None, ips: Sequence[str | None] | None
) -> Canary:
    """Send these callers to the canaries of a service, too. Raises NotFound."""
    canary, given = _configured(draft, who, service_id), white_list("ips", ips)
    known = {network_of(ip) for ip in canary.ip_whitelist}
    added = [ip for ip in given if network_of(ip) not in known]
    wanted = white_list("ipWhitelist", (*canary.ip_whitelist, *added))
    return store_canary(draft, who, msgspec.structs.replace(canary, ip_whitelist=wanted))


def reduce_white_list(
    draft: Draft, who: Operator, *, service_id: str | None, ips: Sequence[str | None] | None
) -> Canary:
    """Send these callers to the canaries of a service no longer; those who never were are no error. Raises NotFound."""
    canary = _configured(draft, who, service_id)
    gone = {network_of(ip) for ip in white_list("ips", ips)}
    wanted = tuple(ip for ip in canary.ip_whitelist if network_of(ip) not in gone)
    return store_canary(draft, who, msgspec.structs.replace(canary, ip_whitelist=wanted))


def remove_canary(draft: Draft, who: Operator, *, service_id: str | None) -> bool:
    """Remove the canary configuration of a service. Returns whether there was one."""
    who.check()
    service = identifier("serviceId", service_id)
    before = draft.remove(CANARY, key_of(service))
    _note(draft, who, CANARY.name, service, before=before, after=None)
    return before is not None


def white_list(name: str, given: Sequence[str | None] | None) -> tuple[str, ...]:
    """Addresses and networks, each once."""
    if given is None:
        raise Invalid(f"{name} is null")
    if len(given) > WHITELIST_MAX:
        raise Invalid(f"{name} has {len(given)} entries, at most {WHITELIST_MAX} are allowed")
    texts = [identifier(f"{name}[{position}]", text) for position, text in enumerate(given)]
    for position, text in enumerate(texts):
        if network_of(text) is None:
            raise Invalid(f"{name}[{position}] {text!r} is neither an ip address nor a network")
    return tuple(dict.fromkeys(texts))


def store_canary(draft: Draft, who: Operator, wanted: Canary) -> Canary:
    """Store a canary as it is, checked before."""
    before = draft.get(CANARY, CANARY.key(wanted))
    after = draft.put(CANARY, wanted)
    _note(draft, who, CANARY.name, after.service_id, before=before, after=after)
    return after


def _configured(draft: Draft, who: Operator, service_id: str | None) -> Canary:
    who.check()
    service = identifier("serviceId", service_id)
    canary = draft.get(CANARY, key_of(service))
    if canary is None:
        raise NotFound(f"the service {service} has no canary configuration")
    return canary


def _ensure_rule(draft: Draft, wanted: RouteRule) -> RouteRule:
    before = draft.get(ROUTE_RULE, rule_key(wanted))
    if before is not None and before.is_active and before.strategy.lower() == WEIGHTED:
        return draft.put(ROUTE_RULE, before)
    return draft.put(ROUTE_RULE, msgspec.structs.replace(wanted, published=draft.next_version()))


def _ensure_group(draft: Draft, wanted: Group) -> Group:
    before = draft.get(GROUP, group_key(wanted))
    return draft.put(GROUP, before if before is not None and before.is_active else wanted)


def _note(
    draft: Draft,
    who: Operator,
    kind: str,
    service: str,
    *,
    before: Value | None,
    after: Value | None,
    app: str | None = None,
) -> None:
    note(draft, who, kind, service, before=before, after=after, fields={"serviceId": service, "appId": app})
