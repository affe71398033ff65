"""Register, heartbeat, unregister: what clients do to their instances (RPC contract 1.4, REST rows 1-3)."""

from collections.abc import Callable, Iterable
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
from .answers import PARTIAL_STATUS, RATE_LIMITED_MESSAGE, ErrorCode, answer, encode_json, failure
from .decoding import decode
from .rules import InstanceRules, Refusal, failed
from .standing import Standing, not_up

UNKNOWN_LEASE: Final[Refusal] = ("data-not-found", "Instance is not exising! Need re-register.")
EMPTY_MESSAGE: Final = "request.instances is null or empty."


class InstanceKey(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The identity of an instance without its data."""

    region_id: str | None = None
    service_id: str | None = None
    instance_id: str | None = None

    def as_instance(self) -> Instance:
        return Instance(region_id=self.region_id, service_id=self.service_id, instance_id=self.instance_id)


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
        self._success = answer(b'"failedInstances":null')

    # Who may call at all

    def _begin(self, operation: str, request: Request) -> tuple[InstancesRequest, float] | Reply:
        """The decoded request and the time, or the answer when the call as a whole is refused."""
        now_s = self._clock.now_s()
        if not self._limiters[operation].allow(now_s):
            return failure("rate-limited", RATE_LIMITED_MESSAGE, "failedInstances")
        ask = decode(InstancesRequest, request.body)
        items = ask.instances or (ask.instance_keys if request.loose and operation != "register" else None)
        if not items:
            return failure("bad-request", EMPTY_MESSAGE, "failedInstances")
        if len(items) > self._rules.instances_max:
            raise ClientError(
                400, f"{len(items)} instances in one request, at most {self._rules.instances_max} allowed"
            )
        if not self._standing.serves_registry():
            message = not_up("registry ", self._standing.me())
            return failure("service-unavailable", message, "failedInstances")
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
                failures.append(failed(instance, self._refuse(instance) or UNKNOWN_LEASE))
        failed_keys = self._renew_keys(ask, renewed, lease_s=lease_s) if request.loose and ask.instance_keys else None
        if renewed and self._effects.peers:
            self._effects.renewed(renewed)
        return self._answer(failures, failed_keys)

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
            refusal = self._refuse(instance) or self._rules.refuse_content(instance) or self._refuse_if_full(instance)
            if refusal is None:
                accepted.append(instance)
            else:
                failures.append(failed(instance, refusal))
        outcome = self._registry.register(accepted, now_s=now_s, now_ms=self._clock.now_ms())
        self._effects.written(outcome.entries, outcome.renewed, outcome.changes)
        return self._answer(failures, None)

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
            refusal = self._refuse(instance)
            if refusal is not None:
                failures.append(failed(instance, refusal))
            elif self._rules.may_be_registered(instance):
                keys.append(_key(instance))
        failed_keys: list[bytes] | None = None
        if request.loose and ask.instance_keys:
            failed_keys = []
            for key, instance in _instances_of(ask.instance_keys):
                refusal = self._refuse_key(instance)
                if refusal is not None:
                    failed_keys.append(_failed_key(key, instance, refusal))
                elif self._rules.may_be_registered(instance):
                    keys.append(_key(instance))
        outcome = self._registry.unregister(keys, now_s=now_s, now_ms=self._clock.now_ms())
        self._effects.written(outcome.entries, (), outcome.changes)
        return self._answer(failures, failed_keys)

    # Their parts

    def _refuse(self, instance: Instance) -> Refusal | None:
        return self._rules.refuse_place(instance) or self._rules.refuse_blank(instance)

    def _refuse_if_full(self, instance: Instance) -> Refusal | None:
        if self._registry.has_room(*_key(instance)):
            return None
        held = self._registry.entry_count
        return (
            "service-unavailable",
            f"this node holds {held} instances and tombstones, as many as limits.instances says",
        )

    def _refuse_key(self, instance: Instance) -> Refusal | None:
        region = self._rules.foreign_region(instance.region_id)
        if region is not None:
            return "no-permission", region
        blank = self._rules.refuse_blank(msgspec.structs.replace(instance, url="-"))
        return None if blank is None else ("bad-request", blank[1].removeprefix("Exception: "))

    def _renew_keys(self, ask: InstancesRequest, renewed: list[Entry], *, lease_s: float) -> list[bytes]:
        failures: list[bytes] = []
        for key, instance in _instances_of(ask.instance_keys or ()):
            refusal = self._refuse_key(instance)
            entry = None if refusal else self._registry.renew(*_key(instance), lease_s=lease_s)
            if entry is not None:
                renewed.append(entry)
            else:
                failures.append(_failed_key(key, instance, refusal or UNKNOWN_LEASE))
        return failures

    def _answer(self, failures: list[bytes], failed_keys: list[bytes] | None) -> Reply:
        if not failures and failed_keys is None:
            return self._success
        fields = b'"failedInstances":' + _array(failures)
        if failed_keys is not None:
            fields += b',"failedInstanceKeys":' + _array(failed_keys)
        if not failures and not failed_keys:
            return answer(fields)
        return answer(fields, PARTIAL_STATUS, outcome="partial_fail")

    def routes(self, prefix: str, *, loose: bool) -> list[Route]:
        """The routes under `/artemis/api` (RPC) or `/api` (REST, `loose`: also without the suffix)."""
        calls = (("register", self.register), ("heartbeat", self.heartbeat), ("unregister", self.unregister))
        return [
            Route("POST", f"{prefix}/registry/{name}{suffix}", handler, name, hot=True, loose=loose)
            for name, handler in calls
            for suffix in ((".json", "") if loose else (".json",))
        ]


def _key(instance: Instance) -> tuple[str, str]:
    return (instance.service_id or "").lower(), (instance.instance_id or "").lower()


def _instances_of(keys: Iterable[InstanceKey | None]) -> Iterable[tuple[InstanceKey, Instance]]:
    return ((key, key.as_instance()) for key in keys if key is not None)


def _failed_key(key: InstanceKey, instance: Instance, refusal: Refusal) -> bytes:
    code: ErrorCode = refusal[0]
    return encode_json({"errorCode": code, "errorMessage": f"{instance.text()}: {refusal[1]}", "instanceKey": key})


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]" if items else b"null"
