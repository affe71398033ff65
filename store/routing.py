"""Server-side routing: which instances of a service a caller of the REST API is given (REST contract, section 4).

Filters in order: status, pulled out (those entries are not visible at all), canary, route rule. What depends only on
the service is worked out once per revision; a caller then chooses among few variants, encoded already. A service
without rule and canary is answered by one look-up.
"""

from typing import Final, Protocol

import msgspec

from .addresses import Network, address_of, network_of
from .leases import Entry, ServiceTable
from .management.decorations import lies_in
from .management.kinds import CANARY_RULE, CLOSE_BY
from .management.management import Management
from .management.rules import CanaryGroup, EffectiveGroup, EffectiveRule, ServiceRules
from .management.visibility import Place
from .wheels import WeightedWheel

UP: Final = frozenset({"", "up"})
"""Statuses with which an instance is given to callers; a blank one counts as up."""

NETWORKS_MAX: Final = 1_000
"""White lists kept in parsed form. One more and all are parsed again when needed."""

PLANS_MAX: Final = 20_000
"""Services planned for, and wheels turned, at a time. One more and the oldest is made again when it is needed."""


class Asker(Protocol):
    """Who asks, as far as routing cares. Any spelling."""

    @property
    def ip(self) -> str: ...

    @property
    def region_id(self) -> str: ...

    @property
    def zone_id(self) -> str: ...


class _Status(msgspec.Struct):
    status: str | None = None


_status_of = msgspec.json.Decoder(_Status)


class Variant:
    """One possible answer: its entries, encoded when first asked for."""

    __slots__ = ("_json", "entries")

    def __init__(self, entries: list[Entry], json: bytes | None = None) -> None:
        self.entries = entries
        self._json = json

    def json(self) -> bytes:
        """The instances as a JSON array."""
        if self._json is None:
            self._json = b"[" + b",".join([entry.json for entry in self.entries]) + b"]"
        return self._json


class Pool:
    """The instances among which a route rule chooses for one sort of caller, split by the groups of the rule."""

    __slots__ = ("everyone", "groups", "rule")

    def __init__(self, everyone: Variant, rule: EffectiveRule | None) -> None:
        self.everyone = everyone
        self.rule = rule
        self.groups: list[Variant] = []
        """As the groups of the rule; some may be empty."""


class ServicePlan:
    """The variants of one service at one revision."""

    __slots__ = ("canaries", "ordinary", "revision", "rules")

    def __init__(self, revision: int, rules: ServiceRules, ordinary: Pool, canaries: Pool | None) -> None:
        self.revision = revision
        self.rules = rules
        self.ordinary = ordinary
        """For callers outside the white list; for everybody when there is no canary."""
        self.canaries = canaries


class Router:
    """Chooses for callers. Keeps a plan per service and a wheel per weighted rule, both of this node only."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._plans: dict[str, ServicePlan] = {}
        self._wheels: dict[int, WeightedWheel] = {}
        self._networks: dict[tuple[str, ...], tuple[Network, ...]] = {}

    def fragment(self, service: ServiceTable, asker: Asker) -> bytes:
        """The instances that this caller should use, as a JSON array."""
        return self.choose(service, asker).json()

    def entries(self, service: ServiceTable, asker: Asker) -> list[Entry]:
        """The same, not encoded. Not to be changed by the caller."""
        return self.choose(service, asker).entries

    def choose(self, table: ServiceTable, caller: Asker) -> Variant:
        """The answer for a caller. Each call of a weighted rule turns its wheel by one step."""
        plan = self.plan(table)
        if plan.canaries is None and plan.ordinary.rule is None:
            return plan.ordinary.everyone
        pool = self._pool(plan, caller)
        position = self._choose_group(pool, caller, turn=True)
        return pool.everyone if position is None else pool.groups[position]

    def peek(self, table: ServiceTable, caller: Asker) -> tuple[Pool, int | None]:
        """Whom `choose` would give the caller next: the pool, and the position of the group within its rule."""
        pool = self._pool(self.plan(table), caller)
        return pool, self._choose_group(pool, caller, turn=False)

    def plan(self, table: ServiceTable) -> ServicePlan:
        """The variants of a service, as of now."""
        rules = self._management.rules(table.key)
        plan = self._plans.get(table.key)
        if plan is None or plan.revision != table.revision or plan.rules is not rules:
            if plan is None and len(self._plans) >= PLANS_MAX:
                del self._plans[next(iter(self._plans))]
            plan = self._plans[table.key] = self._make_plan(table, rules)
        return plan

    def is_canary_caller(self, canary: CanaryGroup, ip: str) -> bool:
        """Whether the caller's address is on the white list."""
        address = address_of(ip)
        return address is not None and any(address in network for network in self._white_list(canary.ip_whitelist))

    def _pool(self, plan: ServicePlan, caller: Asker) -> Pool:
        canary = plan.rules.canary
        if plan.canaries is None or canary is None or not self.is_canary_caller(canary, caller.ip):
            return plan.ordinary
        return plan.canaries

    def _choose_group(self, pool: Pool, caller: Asker, *, turn: bool) -> int | None:
        """Position of the chosen group among those that have instances; None when none has."""
        rule = pool.rule
        if rule is None:
            return None
        candidates = [position for position, variant in enumerate(pool.groups) if variant.entries]
        if not candidates:
            return None
        if rule.strategy.lower() == CLOSE_BY:
            return min(candidates, key=lambda position: _distance(rule.groups[position], caller))
        wheel = self._wheels.get(rule.rule_id)
        weights = tuple((group.group_id, group.weight) for group in rule.groups)
        if wheel is None or wheel.weights != weights:
            wheel = WeightedWheel(weights)
            if turn:
                if len(self._wheels) >= PLANS_MAX:
                    del self._wheels[next(iter(self._wheels))]
                self._wheels[rule.rule_id] = wheel
        return wheel.next(candidates) if turn else wheel.peek(candidates)

    def _make_plan(self, table: ServiceTable, rules: ServiceRules) -> ServicePlan:
        visible = table.visible()
        alive = [entry for entry in visible if is_up(entry)]
        rule = ruling(rules)
        if rules.canary is None:
            fragment = table.fragment() if len(alive) == len(visible) else None
            return ServicePlan(table.revision, rules, self._make_pool(alive, rule, fragment), None)
        canaries = [entry for entry in alive if is_canary(entry, rules.canary)]
        others = [entry for entry in alive if not is_canary(entry, rules.canary)]
        ordinary = self._make_pool(others or alive, rule)
        return ServicePlan(table.revision, rules, ordinary, self._make_pool(canaries, rule) if canaries else None)

    def _make_pool(self, entries: list[Entry], rule: EffectiveRule | None, json: bytes | None = None) -> Pool:
        pool = Pool(Variant(entries, json), rule)
        if rule is not None:
            pool.groups = [
                Variant([entry for entry in entries if self.is_in_group(entry, group)]) for group in rule.groups
            ]
        return pool

    def is_in_group(self, entry: Entry, group: EffectiveGroup) -> bool:
        """Whether an instance belongs to a group: it registered with it, or was bound to it by hand."""
        if entry.key in group.member_keys:
            return True
        region_key = self._management.region_key
        place = Place(region_key, entry.service.key, entry.key, entry.ip, entry.zone_key, entry.group_key)
        return lies_in(group.path, place)

    def _white_list(self, texts: tuple[str, ...]) -> tuple[Network, ...]:
        networks = self._networks.get(texts)
        if networks is None:
            if len(self._networks) >= NETWORKS_MAX:
                self._networks.clear()
            # Others than networks are refused when they are written; a record of another version may still hold some.
            found = map(network_of, texts)
            networks = self._networks[texts] = tuple(network for network in found if network is not None)
        return networks


def ruling(rules: ServiceRules) -> EffectiveRule | None:
    """The rule that decides: of several active ones, the one published last.

    The rule that holds the RPC API's canary instances is none of them: it has only canaries in it, and would send
    everybody there.
    """
    candidates = [rule for rule in rules.rules if rule.name.lower() != CANARY_RULE]
    return max(candidates, key=lambda rule: (rule.published, rule.rule_id), default=None)


def is_up(entry: Entry) -> bool:
    """Whether the instance says of itself that it may be used."""
    return (_status_of.decode(entry.json).status or "").strip().lower() in UP


def is_canary(entry: Entry, canary: CanaryGroup) -> bool:
    return entry.group_key in canary.group_keys or entry.key in canary.member_keys


def _distance(group: EffectiveGroup, caller: Asker) -> int:
    """0 in the caller's zone, 1 in its region, 2 elsewhere; `min` takes the first of equals."""
    region_key = caller.region_id.lower()
    if group.zone_key == caller.zone_id.lower() and region_key in ("", group.region_key):
        return 0
    return 1 if group.region_key == region_key else 2
