"""What a change of records does to discovery: whose instances to look at again, and who is told to reload."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..changes import ServiceChange
from ..registry import Registry

SLICE_ENTRIES: Final = 2000
"""Instances looked at in one go, as far as whole services allow: some milliseconds."""


@dataclass(slots=True)
class Effect:
    """Keys are in lower case. Empty means that no answer changes."""

    services: set[str] = field(default_factory=set[str])
    """Some instances of these were pulled out or in: told instance by instance."""
    servers: set[str] = field(default_factory=set[str])
    """Everything with these ips was pulled out or in: told instance by instance."""
    zones: set[str] = field(default_factory=set[str])
    """A zone or group of these services was: RPC clients are told to reload."""
    everywhere: set[str] = field(default_factory=set[str])
    """These zones were pulled out or in for every service: RPC clients are told to reload."""
    reload: set[str] = field(default_factory=set[str])
    """Rules, members, logical instances or the canary of these services changed."""

    def __bool__(self) -> bool:
        return bool(self.services or self.servers or self.zones or self.everywhere or self.reload)


def announce(effect: Effect, registry: Registry, *, now_ms: int) -> list[ServiceChange]:
    """Bring the registry in line with the records. Returns what subscribers are to be told, in order."""
    return [change for changes in announcements(effect, registry, now_ms=now_ms) for change in changes]


def announcements(effect: Effect, registry: Registry, *, now_ms: int) -> Iterator[list[ServiceChange]]:
    """The same in steps of some milliseconds, between which a caller may let others run. Walk it to its end."""
    if effect.zones:
        yield registry.review(sorted(effect.zones), now_ms=now_ms, rpc_reload=True)
    if effect.everywhere:
        for keys in _slices(registry):
            yield registry.review(keys, now_ms=now_ms, zones=effect.everywhere, rpc_reload=True)
    if effect.services:
        yield registry.review(sorted(effect.services), now_ms=now_ms)
    if effect.servers:
        ips = _spellings(effect.servers)
        for keys in _slices(registry):
            yield registry.review(keys, now_ms=now_ms, ips=ips)
    if effect.reload:
        yield registry.reload(sorted(effect.reload), now_ms=now_ms)


def _slices(registry: Registry) -> Iterator[list[str]]:
    """The keys of all services, in lists of about equally many instances."""
    keys: list[str] = []
    count = 0
    for service in list(registry.services.values()):
        keys.append(service.key)
        count += len(service.entries)
        if count >= SLICE_ENTRIES:
            yield keys
            keys, count = [], 0
    yield keys


def _spellings(ips: Iterable[str]) -> set[str] | None:
    """The ips as instances may spell them; None (any) when there are letters in one, whose case is up to them."""
    found = set(ips)
    return found if all(ip == ip.upper() for ip in found) else None
