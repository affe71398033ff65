"""Rules, the weights of groups in them, and canaries, as subjects of decisions."""

from collections.abc import Iterator
from typing import Any

from artemis.store.management.kinds import (
    CANARY,
    GROUP,
    GROUP_MEMBER,
    GROUP_TAG,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    of_group,
)
from artemis.store.management.records import id_of, key_of
from artemis.store.management.tables import Tables

from .scenario import REGION
from .subjects import (
    ZONE,
    Request,
    Subject,
    Wanted,
    exists,
    field,
    group_id,
    group_row,
    insert_group,
    manage,
)


def _rule_row(service: str, name: str, **fields: Any) -> dict[str, Any]:
    row = {"serviceId": service, "name": name, "status": "inactive", "strategy": "weighted-round-robin"}
    return {**row, **fields}


def _insert_rule(service: str, name: str, **fields: Any) -> Request:
    return manage("group/insert-route-rules", routeRules=[_rule_row(service, name, **fields)])


def of_rules(service: str) -> Iterator[Subject]:
    yield field(
        "the described rule says",
        ROUTE_RULE,
        key_of(service, "described"),
        lambda wanted: [_insert_rule(service, "described", description=str(wanted))],
        lambda rule: int(rule.description),
    )
    yield field(
        "the switched rule is active:",
        ROUTE_RULE,
        key_of(service, "switched"),
        lambda on: [_insert_rule(service, "switched", status="active" if on else "inactive")],
        lambda rule: bool(rule.is_active),
        is_switch=True,
    )
    yield field(
        "the strategic rule goes by weight:",
        ROUTE_RULE,
        key_of(service, "strategic"),
        lambda on: [
            _insert_rule(service, "strategic", strategy="weighted-round-robin" if on else "close-by-visit"),
        ],
        lambda rule: bool(rule.strategy == "weighted-round-robin"),
        is_switch=True,
    )
    key = key_of(service, "mortal")
    ids = [id_of(ROUTE_RULE.name, key)]
    yield exists(
        "the mortal rule is there:",
        ROUTE_RULE,
        key,
        lambda on: [_insert_rule(service, "mortal") if on else manage("group/delete-route-rules", routeRuleIds=ids)],
    )


def of_weights(service: str) -> Iterator[Subject]:
    """Each in a rule and a group of the same name."""
    yield field(
        "the weight of the created rule is",
        ROUTE_RULE_GROUP,
        _part_key(service, "created"),
        lambda wanted: [
            manage(
                "group/create-route-rule",
                routeRule=_rule_row(service, "created", status="active"),
                groups=[group_row(service, "created", weight=wanted)],
            )
        ],
        lambda part: int(part.unreleased_weight or 0),
    )
    yield field(
        "the weight that waits is",
        ROUTE_RULE_GROUP,
        _part_key(service, "waiting"),
        lambda wanted: _parts(service, "waiting", "update-route-rule-groups", wanted),
        lambda part: int(part.unreleased_weight or 0),
    )
    key = _part_key(service, "mortal part")
    ids = [id_of(ROUTE_RULE_GROUP.name, key)]
    yield exists(
        "the mortal part in a rule is there:",
        ROUTE_RULE_GROUP,
        key,
        lambda on: (
            _parts(service, "mortal part", "insert-route-rule-groups", 1)
            if on
            else [manage("group/delete-route-rule-groups", routeRuleGroupIds=ids)]
        ),
    )
    yield field(
        "the weight that counts is",
        ROUTE_RULE_GROUP,
        _part_key(service, "weighed"),
        lambda wanted: [_document(service, "weighed", wanted)],
        lambda part: int(part.weight or 0),
    )
    yield field(
        "the tag of the applied group says",
        GROUP_TAG,
        key_of(str(group_id(service, "applied")), "number"),
        lambda wanted: [_document(service, "applied", wanted)],
        lambda tag: int(tag.value),
    )


def _part_key(service: str, name: str) -> str:
    return key_of(str(_rule_id(service, name)), str(group_id(service, name)))


def _rule_id(service: str, name: str) -> int:
    return id_of(ROUTE_RULE.name, key_of(service, name))


def _parts(service: str, name: str, path: str, weight: Wanted) -> list[Request]:
    """A group and a rule of this name, and the part of the one in the other."""
    part = {"routeRuleId": _rule_id(service, name), "groupId": group_id(service, name), "unreleasedWeight": weight}
    return [
        insert_group(service, name),
        _insert_rule(service, name),
        manage(f"group/{path}", routeRuleGroups=[part]),
    ]


def _document(service: str, name: str, number: Wanted) -> Request:
    """A configuration in which everything has this number."""
    group = {"service": service, "zone": ZONE, "name": name, "tags": {"number": str(number)}}
    rule = {"service": service, "id": name, "status": "inactive", "groups": [{"group": name, "weight": number}]}
    return "/api/routing/configuration", {"groups": [group], "rules": [rule]}


# Canaries


def of_canaries() -> Iterator[Subject]:
    """Of services that nobody runs: a white list would change what the others answer."""

    def configure(service: str, **fields: Any) -> Request:
        return "/api/management/canary/config", {"serviceId": service, "ipWhitelist": [], **fields}

    yield field(
        "the white list says",
        CANARY,
        "white",
        lambda wanted: [configure("white", ipWhitelist=[f"10.{int(wanted) >> 8}.{int(wanted) & 255}.1"])],
        lambda canary: int(canary.ip_whitelist[0].split(".")[1]) * 256 + int(canary.ip_whitelist[0].split(".")[2]),
    )
    yield field(
        "the canary group is",
        CANARY,
        "grouped",
        lambda wanted: [configure("grouped", groupId=str(wanted))],
        lambda canary: int(canary.group_id),
    )
    yield field(
        "the canary is enabled:",
        CANARY,
        "enabled",
        lambda on: (
            [configure("enabled")]
            if on
            else [("/api/management/canary/enable", {"serviceId": "enabled", "enabled": False})]
        ),
        lambda canary: bool(canary.enabled),
        is_switch=True,
    )
    canaries = of_group(id_of(GROUP.name, key_of("canaried", REGION, "canary", "app")))

    def only_canary(tables: Tables) -> int:
        found = [member.instance_id for member in tables[GROUP_MEMBER].find(canaries)]
        return int(found[0]) if len(found) == 1 else -len(found)

    yield Subject(
        "the only canary instance is",
        GROUP_MEMBER.name,
        lambda wanted: [
            manage("canary/update-canary-ips", serviceId="canaried", appId="app", canaryIps=[str(wanted)]),
        ],
        only_canary,
        is_switch=False,
    )
