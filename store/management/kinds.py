"""The kinds of records: the value each holds, its natural key, and the terms under which it is looked up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from ..addresses import canonical_ip
from .records import id_of, key_of

CANARY_RULE: Final = "canary-route-rule"
"""The rule that the RPC API keeps a service's canary instances in."""

CANARY_ZONE: Final = "canary"
"""The zone of the groups behind that rule."""

ACTIVE: Final = "active"
INACTIVE: Final = "inactive"
WEIGHTED: Final = "weighted-round-robin"
CLOSE_BY: Final = "close-by-visit"


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What all values share. `created` is the version under which the thing came into being: a stable order."""

    created: int = 0


class InstanceOperation(Value, frozen=True, kw_only=True):
    """This instance is pulled out, for the reason that `operation` names."""

    region_id: str
    service_id: str
    instance_id: str
    operation: str
    operator_id: str = ""
    token: str = ""
    reason: str | None = None
    operation_complete: bool = False
    """Echoed by the REST API, where it means nothing: the operation is not over as long as this is here."""


class ServerOperation(Value, frozen=True, kw_only=True):
    """Every instance with this ip is pulled out."""

    region_id: str
    server_id: str
    operation: str
    operator_id: str = ""
    token: str = ""
    reason: str | None = None
    operation_complete: bool = False


class ZoneOperation(Value, frozen=True, kw_only=True):
    """Every instance of this zone is pulled out: of one service, or of all when `service_id` is empty."""

    region_id: str
    service_id: str
    zone_id: str
    operation: str
    operator_id: str = ""
    token: str = ""
    reason: str | None = None


class Group(Value, frozen=True, kw_only=True):
    """A named set of instances of a service in a zone. A deleted group keeps its id and can come back."""

    service_id: str
    region_id: str
    zone_id: str
    name: str
    app_id: str = ""
    description: str | None = None
    status: str = ACTIVE
    group_type: str = "physical"
    metadata: dict[str, str] | None = None
    deleted: bool = False

    @property
    def group_id(self) -> int:
        return id_of("group", group_key(self))

    @property
    def path(self) -> str:
        """The group's key as the APIs show it: svc.a/lab/zone1/g1."""
        return "/".join((self.service_id, self.region_id, self.zone_id, self.name)).lower()

    @property
    def is_active(self) -> bool:
        return not self.deleted and self.status.lower() == ACTIVE


class GroupTag(Value, frozen=True, kw_only=True):
    group_id: int
    tag: str
    value: str


class GroupMember(Value, frozen=True, kw_only=True):
    """An instance bound to a group by hand."""

    group_id: int
    instance_id: str
    operator_id: str = ""


class GroupOperation(Value, frozen=True, kw_only=True):
    """Every instance whose path lies in this group is pulled out."""

    group_id: int
    operation: str
    operator_id: str = ""
    token: str = ""
    reason: str | None = None


class LogicalInstance(Value, frozen=True, kw_only=True):
    """A static instance: shown to clients without being registered."""

    service_id: str
    instance_id: str
    ip: str
    machine_name: str
    metadata: dict[str, str | None]
    port: int
    protocol: str
    region_id: str
    zone_id: str
    health_check_url: str
    url: str
    group_id: str
    description: str | None = None


class RouteRule(Value, frozen=True, kw_only=True):
    """How traffic of a service is spread over groups. `name` is the rule's id within the service (REST: routeId)."""

    service_id: str
    name: str
    description: str | None = None
    status: str = INACTIVE
    strategy: str = WEIGHTED
    title: str | None = None
    """The name that the REST API shows beside the id."""
    published: int = 0
    """The version under which the rule last became active; 0 when it never was."""
    deleted: bool = False

    @property
    def rule_id(self) -> int:
        return id_of("route-rule", rule_key(self))

    @property
    def is_active(self) -> bool:
        return not self.deleted and self.status.lower() == ACTIVE


class RouteRuleGroup(Value, frozen=True, kw_only=True):
    """A group's part in a rule. Only the released weight counts; the other one waits for its release."""

    route_rule_id: int
    group_id: int
    weight: int | None = None
    unreleased_weight: int | None = None
    region_id: str | None = None
    zone_id: str | None = None


class Canary(Value, frozen=True, kw_only=True):
    """Who is sent to the canary instances of a service."""

    service_id: str
    ip_whitelist: tuple[str, ...] = ()
    group_id: str = "canary"
    enabled: bool = True


V = TypeVar("V", bound=Value)


def _no_terms(_value: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[V]):
    """How values of one kind are named, found, and encoded."""

    name: str
    value: type[V]
    key: Callable[[V], str]
    terms: Callable[[V], tuple[str, ...]] = _no_terms
    """Texts under which the record is indexed; those of different sorts cannot be equal."""

    def id_of(self, key: str) -> int:
        return id_of(self.name, key)

    def encode(self, value: V) -> bytes:
        return msgspec.json.encode(value)

    def decode(self, json: bytes) -> V:
        """Raises `msgspec.MsgspecError` when this is no value of the kind."""
        return msgspec.json.decode(json, type=self.value)


def group_key(group: Group) -> str:
    return key_of(group.service_id, group.region_id, group.zone_id, group.name)


def rule_key(rule: RouteRule) -> str:
    return key_of(rule.service_id, rule.name)


def of_group(group_id: int) -> str:
    """The index term of everything that hangs on a group."""
    return f"group {group_id}"


def of_rule(rule_id: int) -> str:
    """The index term of everything that hangs on a rule."""
    return f"rule {rule_id}"


def of_service(service_id: str) -> str:
    return f"service {service_id.lower()}"


def server_key(region_id: str, ip: str) -> str:
    """A server in whatever spelling of its address; older records have others than ours."""
    return key_of(region_id, canonical_ip(ip))


def of_server(region_id: str, ip: str) -> str:
    return f"server {server_key(region_id, ip)}"


def of_name(name: str) -> str:
    return f"name {name.lower()}"


INSTANCE_OPERATION: Final = Kind(
    "instance-operation",
    InstanceOperation,
    lambda v: key_of(v.region_id, v.service_id, v.instance_id, v.operation),
    lambda v: (key_of(v.region_id, v.service_id, v.instance_id),),
)
SERVER_OPERATION: Final = Kind(
    "server-operation",
    ServerOperation,
    lambda v: key_of(v.region_id, v.server_id, v.operation),
    lambda v: (server_key(v.region_id, v.server_id),),
)
ZONE_OPERATION: Final = Kind(
    "zone-operation",
    ZoneOperation,
    lambda v: key_of(v.region_id, v.service_id, v.zone_id, v.operation),
    lambda v: (key_of(v.region_id, v.service_id, v.zone_id),),
)
GROUP: Final = Kind("group", Group, group_key, lambda v: (of_service(v.service_id), of_name(v.name)))
GROUP_TAG: Final = Kind(
    "group-tag", GroupTag, lambda v: key_of(str(v.group_id), v.tag), lambda v: (of_group(v.group_id),)
)
GROUP_MEMBER: Final = Kind(
    "group-member",
    GroupMember,
    lambda v: key_of(str(v.group_id), v.instance_id),
    lambda v: (of_group(v.group_id), of_name(v.instance_id)),
)
GROUP_OPERATION: Final = Kind(
    "group-operation",
    GroupOperation,
    lambda v: key_of(str(v.group_id), v.operation),
    lambda v: (of_group(v.group_id),),
)
LOGICAL_INSTANCE: Final = Kind(
    "logical-instance",
    LogicalInstance,
    lambda v: key_of(v.service_id, v.instance_id),
    lambda v: (of_service(v.service_id), of_server(v.region_id, v.ip)),
)
ROUTE_RULE: Final = Kind("route-rule", RouteRule, rule_key, lambda v: (of_service(v.service_id), of_name(v.name)))
ROUTE_RULE_GROUP: Final = Kind(
    "route-rule-group",
    RouteRuleGroup,
    lambda v: key_of(str(v.route_rule_id), str(v.group_id)),
    lambda v: (of_rule(v.route_rule_id), of_group(v.group_id)),
)
CANARY: Final = Kind("canary", Canary, lambda v: key_of(v.service_id))

KINDS: Final[tuple[Kind[Any], ...]] = (
    INSTANCE_OPERATION,
    SERVER_OPERATION,
    ZONE_OPERATION,
    GROUP,
    GROUP_TAG,
    GROUP_MEMBER,
    GROUP_OPERATION,
    LOGICAL_INSTANCE,
    ROUTE_RULE,
    ROUTE_RULE_GROUP,
    CANARY,
)
"""All kinds, in the order in which an export lists them. The names are stored: append, never rename."""
