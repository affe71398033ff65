"""Explain: for every instance of a service, why it is, or is not, in the answer for a given caller."""

from dataclasses import dataclass
from typing import Literal

from .instances import decode_instance
from .leases import Entry, ServiceTable
from .management.kinds import CLOSE_BY
from .management.management import Management
from .management.rules import EffectiveGroup, EffectiveRule
from .management.visibility import Cause, Place
from .routing import Asker, Pool, Router, is_canary, is_up

Filter = Literal["status", "pulled-out", "canary", "route-rule"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of one instance."""

    instance_id: str
    kept: bool
    filter: Filter | None
    """The filter that removed it; of a kept one, the last that had a say. None: nobody had anything against it."""
    reason: str
    causes: tuple[Cause, ...] = ()
    """Everything that keeps a pulled-out instance out."""


def explain(management: Management, router: Router, table: ServiceTable, asker: Asker) -> list[Explanation]:
    """Explain the answer that the caller would get next. Asking turns no wheel."""
    pool, position = router.peek(table, asker)
    explainer = _Explainer(management, router, asker, pool, position)
    live = [entry for entry in table.entries.values() if entry.live]
    return [explainer.explain(entry) for entry in sorted(live, key=lambda entry: entry.key)]


class _Explainer:
    """Walks one instance after the other through the filters."""

    def __init__(self, management: Management, router: Router, asker: Asker, pool: Pool, position: int | None) -> None:
        self._management = management
        self._router = router
        self._asker = asker
        self._pool = pool
        self._position = position
        self._in_pool = {entry.key for entry in pool.everyone.entries}

    def explain(self, entry: Entry) -> Explanation:
        instance = decode_instance(entry.json)
        name = instance.instance_id or entry.key
        if not is_up(entry):
            return Explanation(name, False, "status", f"its status is {instance.status}, not up")
        if entry.down:
            return self._pulled_out(name, entry)
        if entry.key not in self._in_pool:
            return Explanation(name, False, "canary", self._canary_reason(entry))
        rule = self._pool.rule
        if rule is not None:
            return self._by_rule(name, entry, rule)
        if self._management.rules(entry.service.key).canary is not None:
            return Explanation(name, True, "canary", self._canary_reason(entry))
        return Explanation(name, True, None, "it is up, not pulled out, and no rule or canary concerns the service")

    def _pulled_out(self, name: str, entry: Entry) -> Explanation:
        region_key, service_key = self._management.region_key, entry.service.key
        place = Place(region_key, service_key, entry.key, entry.ip.lower(), entry.zone_key, entry.group_key)
        causes = tuple(self._management.causes(place))
        text = ", ".join(f"{cause.kind} {cause.target} ({cause.operation})" for cause in causes)
        return Explanation(name, False, "pulled-out", f"pulled out by {text}", causes)

    def _canary_reason(self, entry: Entry) -> str:
        canary = self._management.rules(entry.service.key).canary
        assert canary is not None
        listed = self._router.is_canary_caller(canary, self._asker.ip)
        caller = f"the caller {self._asker.ip} is {'' if listed else 'not '}on the white list"
        kind = "a canary" if is_canary(entry, canary) else "not a canary"
        if listed != is_canary(entry, canary) and entry.key in self._in_pool:
            return f"{caller} and this instance is {kind}, but there is no other instance to give"
        return f"{caller}, and this instance is {kind}"

    def _by_rule(self, name: str, entry: Entry, rule: EffectiveRule) -> Explanation:
        total = sum(group.weight for group in rule.groups)
        groups = [group for group in rule.groups if self._router.is_in_group(entry, group)]
        where = " and ".join(_describe(group, rule, total) for group in groups) or "no group of it"
        text = f"rule {rule.name} ({rule.strategy})"
        if self._position is None:
            return Explanation(name, True, "route-rule", f"{text} has no group with an instance: all are given")
        chosen = rule.groups[self._position]
        kept = chosen in groups
        return Explanation(
            name, kept, "route-rule", f"{text} chooses {chosen.path} next, and this instance is in {where}"
        )


def _describe(group: EffectiveGroup, rule: EffectiveRule, total: int) -> str:
    if rule.strategy.lower() == CLOSE_BY:
        return f"{group.path} (zone {group.zone_key})"
    return f"{group.path} (weight {group.weight} of {total})"
