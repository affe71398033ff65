"""What writes are given: rows as the APIs send them, nothing about them checked yet."""

import msgspec


class Input(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Properties that nobody reads are dropped by tolerant decoding."""


class GroupInput(Input):
    service_id: str | None = None
    region_id: str | None = None
    zone_id: str | None = None
    name: str | None = None
    app_id: str | None = None
    description: str | None = None
    status: str | None = None
    weight: int = 0
    """Of create-route-rule only."""


class RuleInput(Input):
    service_id: str | None = None
    name: str | None = None
    description: str | None = None
    status: str | None = None
    strategy: str | None = None


class RuleGroupInput(Input):
    route_rule_group_id: int = 0
    route_rule_id: int = 0
    group_id: int = 0
    weight: int | None = None
    unreleased_weight: int | None = None


class GroupTagsInput(Input):
    group_id: int = 0
    tags: dict[str, str | None] | None = None


class GroupOperationsInput(Input):
    group_id: int = 0
    operations: list[str | None] | None = None


class GroupMemberInput(Input):
    group_id: int = 0
    instance_id: str | None = None


class LogicalInstanceInput(Input):
    service_id: str | None = None
    instance_id: str | None = None
    group_id: str | None = None
    ip: str | None = None
    machine_name: str | None = None
    metadata: dict[str, str | None] | None = None
    port: int = 0
    protocol: str | None = None
    region_id: str | None = None
    zone_id: str | None = None
    health_check_url: str | None = None
    url: str | None = None
    description: str | None = None
