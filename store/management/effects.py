"""What a change of records does to discovery: whose instances to look at again, and who is told to reload."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from artemis.store.changes import ServiceChange
from artemis.store.registry import Registry


@dataclass(slots=True)
class Effect:
    """Keys are in lower case. Empty means that no answer changes."""

    services: set[str] = field(default_factory=set[str])
    """Some instances of these were pulled out or in: told instance by instance."""
    servers: set[str] = field(default_factory=set[str])
    """Everything with these ips was pulled out or in: told instance by instance."""
    zones: set[str] = field(default_factory=set[str])
    """A zone or group of these services was: RPC clients are told to reload."""
    everywhere: bool = False
    """A zone was pulled out or in for every service: as `zones`, for all."""
    reload: set[str] = field(default_factory=set[str])
    """Rules, members, logical instances or the canary of these services changed."""

    def __bool__(self) -> bool:
        return bool(self.services or self.servers or self.zones or self.everywhere or self.reload)


def announce(effect: Effect, registry: Registry, *, now_ms: int) -> list[ServiceChange]:
    """Bring the registry in line with the records. Returns what subscribers are to be told, in order."""
    changes: list[ServiceChange] = []
    if effect.everywhere:
        changes += registry.review(None, now_ms=now_ms, rpc_reload=True)
    elif effect.zones:
        changes += registry.review(sorted(effect.zones), now_ms=now_ms, rpc_reload=True)
    if effect.services:
        changes += registry.review(sorted(effect.services), now_ms=now_ms)
    if effect.servers:
        changes += registry.review(None, now_ms=now_ms, ips=_spellings(effect.servers))
    if effect.reload:
        changes += registry.reload(sorted(effect.reload), now_ms=now_ms)
    return changes


def _spellings(ips: Iterable[str]) -> set[str] | None:
    """The ips as instances may spell them; None (any) when there are letters in one, whose case is up to them."""
    found = set(ips)
    return found if all(ip == ip.upper() for ip in found) else None
