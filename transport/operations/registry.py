"""Register, heartbeat, unregister: what clients do to their instances (RPC contract 1.4, REST rows 1-3)."""

from collections.abc import Callable
from typing import Final

import msgspec

from artemis.actors.clock import Clock
from artemis.actors.effects import Effects
from artemis.store.instances import Instance
from artemis.store.leases import Entry
from artemis.store.ratelimit import RateLimiter
from artemis.store.registry import Registry

from ..errors import ClientError
from ..requests import Reply, Request, Route
from .answers import RATE_LIMITED_MESSAGE, answer, encode_json, failure
from .decoding import decode
from .rules import InstanceRules, Refusal, blank_among, failed, failures_answer, flat, json_array
from .standing import Standing, not_up

UNKNOWN_LEASE: Final[Refusal] = ("data-not-found", "Instance is not exising! Need re-register.")
EMPTY_MESSAGE: Final = "request.instances is null or empty."


class InstanceKey(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The identity of an instance, and where it is, without its data. Zone and group are not looked at."""

    region_id: str | None = None
    zone_id: str | None = None
    service_id: str | None = None
    group_id: str | None = None
    instance_id: str | None = None


class InstancesRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body of all three calls. Only the REST API reads `instanceKeys`."""

    instances: list[Instance | None] | None = None
    instance_keys: list[InstanceKey | None] | None = None


class RegistryOperations:
    """The three calls, over HTTP and over the heartbeat WebSocket."""

    def __init__(
        self,
        registry: Registry,
        effects: Effects,
        clock: Clock,
        *,
        standing: Standing,
        rules: InstanceRules,
        limit_of: Callable[[str], int],
    ) -> None:
        """`limit_of`: calls per ten seconds of an operation; 0 for no limit."""
        self._registry = registry
        self._effects = effects
        self._clock = clock
        self._standing = standing
        self._rules = rules
        self._limiters = {name: RateLimiter(limit_of(name)) for name in ("register", "heartbeat", "unregister")}
        self._success = {loose: answer(b'"failedInstances":null', loose=loose) for loose in (False, True)}
        self._keys_success = answer(b'"failedInstances":null,"failedInstanceKeys":null', loose=True)

    # Who may call at all

    def _begin(self, operation: str, request: Request) -> tuple[InstancesRequest, float] | Reply:
        """The decoded request and the time, or the answer when the call as a whole is refused."""
        now_s = self._clock.now_s()
        if not self._limiters[operation].allow(now_s):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "failedInstances", loose=request.loose)
        ask = decode(InstancesRequest, request.body)
        items = ask.instances or (ask.instance_keys if request.loose and operation != "register" else None)
        if not items:
            return failure("bad-request", EMPTY_MESSAGE, "failedInstances", loose=request.loose)
        if len(items) > self._rules.instances_max:
            raise ClientError(
                400, f"{len(items)} instances in one request, at most {self._rules.instances_max} allowed"
            )
        if not self._standing.serves_registry():
            message = not_up("registry ", self._standing.me())
            return failure("service-unavailable", message, "failedInstances", loose=request.loose)
        return ask, now_s

    # The three calls

    def heartbeat(self, request: Request) -> Reply:
        """Renew leases. Unknown ones come back complete, so that the client can register what it gets."""
        begun = self._begin("heartbeat", request)
        if isinstance(begun, Reply):
            return begun
        ask, now_s = begun
        registry, rules = self._registry, self._rules
        region, zones_are_equal = registry.region_key, rules.allow_other_zones
        lease_s = registry.lease_time(now_s)
        renewed: list[Entry] = []
        failures: list[bytes] = []
        renew, add = registry.renew, renewed.append
        for instance in ask.instances or ():
            if instance is None:
                continue
            region_id, service_id, instance_id = instance.region_id, instance.service_id, instance.instance_id
            entry = None
            # The order of the checks is the contract's; the likely case passes all of them without a call.
            if (
                region_id
                and (region_id == region or region_id.lower() == region)
                and (zones_are_equal or rules.foreign_zone(instance.zone_id) is None)
                and service_id
                and instance_id
                and instance.url
            ):
                entry = renew(service_id.lower(), instance_id.lower(), lease_s=lease_s)
            if entry is not None:
                add(entry)
            else:
                refusal = self._refuse(instance, loose=request.loose) or UNKNOWN_LEASE
                failures.append(failed(instance, refusal, loose=request.loose))
        failed_keys = None
        if request.loose and ask.instance_keys:
            failed_keys = self._renew_keys(ask.instance_keys, renewed, lease_s=lease_s)
        if renewed and self._effects.peers:
            self._effects.renewed(renewed)
        return self._answer(failures, failed_keys, loose=request.loose)

    def register(self, request: Request) -> Reply:
        """Give instances a lease, with the data they bring."""
        begun = self._begin("register", request)
        if isinstance(begun, Reply):
            return begun
        ask, now_s = begun
        accepted: list[Instance] = []
        failures: list[bytes] = []
        for instance in ask.instances or ():
            if instance is None:
                continue
            refusal = (
                self._refuse(instance, loose=request.loose)
                or self._rules.limits.refuse(instance)
                or self._refuse_if_full(instance)
            )
            if refusal is None:
                accepted.append(instance)
            else:
                failures.append(failed(instance, refusal, loose=request.loose))
        outcome = self._registry.register(accepted, now_s=now_s, now_ms=self._clock.stamp_ms())
        self._effects.written(outcome.entries, outcome.changes)
        return self._answer(failures, None, loose=request.loose)

    def unregister(self, request: Request) -> Reply:
        """Remove instances at once. Removing what is not there succeeds."""
        begun = self._begin("unregister", request)
        if isinstance(begun, Reply):
            return begun
        ask, now_s = begun
        keys: list[tuple[str, str]] = []
        failures: list[bytes] = []
        for instance in ask.instances or ():
            if instance is None:
                continue
            refusal = self._refuse(instance, loose=request.loose)
            if refusal is not None:
                failures.append(failed(instance, refusal, loose=request.loose))
            elif self._rules.limits.allow_ids(instance.service_id, instance.instance_id):
                keys.append(_key(instance))
        failed_keys: list[bytes] | None = None
        if request.loose and ask.instance_keys:
            failed_keys = []
            for key in ask.instance_keys:
                if key is None:
                    continue
                refusal = self._refuse_key(key)
                if refusal is not None:
                    failed_keys.append(_failed_key(key, refusal))
                elif self._rules.limits.allow_ids(key.service_id, key.instance_id):
                    keys.append(_key(key))
        outcome = self._registry.unregister(keys, now_s=now_s, now_ms=self._clock.stamp_ms())
        self._effects.written(outcome.entries, outcome.changes)
        return self._answer(failures, failed_keys, loose=request.loose)

    # Their parts

    def _refuse(self, instance: Instance, *, loose: bool) -> Refusal | None:
        if loose:
            blank = blank_among(
                ("regionId", instance.region_id),
                ("serviceId", instance.service_id),
                ("instanceId", instance.instance_id),
                ("url", instance.url),
            )
            return _missing(blank) if blank else self._rules.refuse_place(instance)
        return self._rules.refuse_place(instance) or self._rules.refuse_blank(instance)

    def _refuse_if_full(self, instance: Instance) -> Refusal | None:
        if self._registry.has_room(*_key(instance)):
            return None
        held = self._registry.entry_count
        return (
            "service-unavailable",
            f"this node holds {held} instances and tombstones, as many as limits.instances says",
        )

    def _refuse_key(self, key: InstanceKey) -> Refusal | None:
        blank = blank_among(("regionId", key.region_id), ("serviceId", key.service_id), ("instanceId", key.instance_id))
        if blank:
            return _missing(blank)
        region = self._rules.foreign_region(key.region_id)
        return None if region is None else ("no-permission", region)

    def _renew_keys(self, keys: list[InstanceKey | None], renewed: list[Entry], *, lease_s: float) -> list[bytes]:
        failures: list[bytes] = []
        region, renew, add = self._registry.region_key, self._registry.renew, renewed.append
        for key in keys:
            if key is None:
                continue
            region_id, service_id, instance_id = key.region_id, key.service_id, key.instance_id
            entry = None
            if region_id and service_id and instance_id and (region_id == region or region_id.lower() == region):
                entry = renew(service_id.lower(), instance_id.lower(), lease_s=lease_s)
            if entry is not None:
                add(entry)
            else:
                failures.append(_failed_key(key, self._refuse_key(key) or UNKNOWN_LEASE))
        return failures

    def _answer(self, failures: list[bytes], failed_keys: list[bytes] | None, *, loose: bool) -> Reply:
        if failed_keys is None:
            return failures_answer(failures, loose=loose) if failures else self._success[loose]
        if not failures and not failed_keys:
            return self._keys_success
        fields = b'"failedInstances":' + json_array(failures) + b',"failedInstanceKeys":' + json_array(failed_keys)
        return answer(fields, "partial_fail", loose=loose)

    def routes(self, prefix: str, *, loose: bool) -> list[Route]:
        """The routes under `/artemis/api` (RPC) or `/api` (REST, `loose`: also without the suffix)."""
        calls = (("register", self.register), ("heartbeat", self.heartbeat), ("unregister", self.unregister))
        return [
            Route("POST", f"{prefix}/registry/{name}{suffix}", handler, name, hot=True, loose=loose)
            for name, handler in calls
            for suffix in ((".json", "") if loose else (".json",))
        ]


def _key(of: Instance | InstanceKey) -> tuple[str, str]:
    return (of.service_id or "").lower(), (of.instance_id or "").lower()


def _missing(name: str) -> Refusal:
    return "bad-request", f"{name} is missing or blank"


def _failed_key(key: InstanceKey, refusal: Refusal) -> bytes:
    fields = flat(key)
    code, reason = refusal
    text = "/".join(str(field) for field in fields.values() if field).lower()
    return encode_json({"errorCode": code, "errorMessage": f"{text}: {reason}", **fields})
