"""References: the names by which the REST API and the command line mean groups and rules, and what they name."""

from collections.abc import Sequence

from ..draft import Draft
from ..errors import Conflict, Invalid, NotFound
from ..kinds import GROUP, ROUTE_RULE, Group, Kind, RouteRule, V, of_name, of_service
from ..records import key_of
from .checks import ID_CHARACTERS_MAX

KEY_SEPARATOR = ":"
KEY_PARTS = 4
KEY_CHARACTERS_MAX = KEY_PARTS * (ID_CHARACTERS_MAX + 1)


def key_text(group: Group) -> str:
    """The key of a group as the REST API shows it: serviceId:regionId:zoneId:name."""
    return KEY_SEPARATOR.join((group.service_id, group.region_id, group.zone_id, group.name))


def group_at(draft: Draft, text: str) -> Group:
    """The group of a key in any case, or of an id. Raises NotFound; Invalid when a key can be read in two ways."""
    parts = text.strip().split(KEY_SEPARATOR)
    if len(parts) == KEY_PARTS:
        found = [draft.get(GROUP, key_of(*parts))]
    elif len(parts) > KEY_PARTS:  # there are colons in the names themselves
        wanted = text.strip().lower()
        found = [group for group in draft.all(GROUP) if key_text(group).lower() == wanted]
    else:
        found = [draft.by_id(GROUP, _number(text))]
    groups = [group for group in found if group is not None and not group.deleted]
    if len(groups) > 1:
        ids = " and ".join(str(group.group_id) for group in groups)
        raise Invalid(f"the key {text} can be read in two ways: say one of the ids {ids} instead")
    if not groups:
        raise NotFound(f"there is no group {text}")
    return groups[0]


def reference_to(draft: Draft, group: Group) -> str:
    """The key of a group, or its id when the key can be read as that of another one, too."""
    key = key_text(group)
    try:
        group_at(draft, key)
    except Invalid:
        return str(group.group_id)
    return key


def group_of_service(
    draft: Draft, service_id: str, text: str, *, region_id: str | None = None, zone_id: str | None = None
) -> Group:
    """The group of a service that a name, key, path or id means; region and zone tell namesakes apart."""
    name, service_key = text.strip().lower(), service_id.strip().lower()
    groups = [group for group in draft.find(GROUP, of_service(service_key)) if not group.deleted]
    named = [group for group in groups if name in (group.name.lower(), group.path)]
    if not named:
        group = group_at(draft, text)
        if group.service_id.lower() != service_key:
            raise Invalid(f"the group {key_text(group)} belongs to another service than {service_id}")
        return group
    near = [
        group
        for group in named
        if (region_id or group.region_id).strip().lower() == group.region_id.lower()
        and (zone_id or group.zone_id).strip().lower() == group.zone_id.lower()
    ]
    if len(near) == 1 or len(named) == 1:
        return (near or named)[0]
    keys = ", ".join(key_text(group) for group in named)
    raise Invalid(f"several groups are named {text}: say which by its key, one of {keys}")


def rule_at(draft: Draft, text: str, *, service_id: str | None = None) -> RouteRule:
    """The rule of a routeId or id. Raises NotFound; Invalid when several services have a rule of that name."""
    name = text.strip()
    service_key = (service_id or "").strip().lower()
    candidates: Sequence[RouteRule | None] = draft.find(ROUTE_RULE, of_name(name))
    if not candidates:
        candidates = [draft.by_id(ROUTE_RULE, _number(name))]
    rules = [
        rule
        for rule in candidates
        if rule is not None and not rule.deleted and service_key in ("", rule.service_id.lower())
    ]
    if len(rules) > 1:
        services = ", ".join(rule.service_id for rule in rules)
        raise Invalid(f"several services have a route rule {name}: say which with serviceId, one of {services}")
    if not rules:
        raise NotFound(f"there is no route rule {name}")
    return rules[0]


def expect_version(draft: Draft, kind: Kind[V], value: V, version: int | None) -> None:
    """Raise Conflict unless the record of a value has the version that the caller saw; None expects nothing."""
    if version is not None and draft.version(kind, kind.key(value)) != version:
        raise Conflict(f"the {kind.name.replace('-', ' ')} has changed meanwhile: look at it again")


def _number(text: str) -> int:
    """The id in a text; 0, which is nobody's, when it is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
