"""What happened to a service, as subscribers are told, and the log from which deltas are computed."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

ChangeType = Literal["new", "change", "delete"]

LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of the instances in the log. It reaches back less far when they are large, and never costs more than this."""


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """One instance came, changed, or left the answers of discovery."""

    change_type: ChangeType
    json: bytes
    """The instance, as encoded by `encode_instance`."""
    key: str
    """Lower-cased instance id."""
    time_ms: int


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """One step of a service's revision: what its subscribers are told in one message."""

    service_key: str
    service_id: str
    revision: int
    changes: tuple[InstanceChange, ...]
    """Empty when only the way to choose among instances changed (a route rule, say)."""
    rpc_reload: bool
    """The RPC sockets are told to reload the service instead of being given the changes (RPC contract 2.5)."""
    time_ms: int
    version: int
    """The registry's version once this change was made."""


Delta = dict[str, dict[str, InstanceChange]]
"""By service key, then by instance key: the net change, `new` or `delete` only."""


class ChangeLog:
    """The newest changes of all services: enough to compute what changed since a version, while it reaches back."""

    __slots__ = ("_bound", "_bytes", "_bytes_max", "_changes", "_floor", "_size")

    def __init__(self, bound: int, version: int, *, bytes_max: int = LOG_BYTES_MAX) -> None:
        """Keep at most `bound` instance changes, of at most `bytes_max` bytes; older ones are forgotten, and deltas
        from before are unknown."""
        self._bound = bound
        self._bytes_max = bytes_max
        self._changes: deque[ServiceChange] = deque()
        self._size = 0
        self._bytes = 0
        self._floor = version

    def add(self, change: ServiceChange) -> None:
        self._changes.append(change)
        self._size += len(change.changes) or 1
        self._bytes += _bytes_of(change)
        while (self._size > self._bound or self._bytes > self._bytes_max) and len(self._changes) > 1:
            oldest = self._changes.popleft()
            self._size -= len(oldest.changes) or 1
            self._bytes -= _bytes_of(oldest)
            self._floor = oldest.version

    def knows(self, version: int) -> bool:
        """Whether a delta from this version can be computed."""
        return version >= self._floor

    def since(self, version: int) -> Iterator[ServiceChange]:
        """Changes after a version, newest first."""
        for change in reversed(self._changes):
            if change.version <= version:
                return
            yield change

    def delta(self, version: int) -> Delta | None:
        """The net effect of all changes after `version`; None when the log does not reach back to it."""
        if not self.knows(version):
            return None
        return net_effect(reversed(list(self.since(version))))


def _bytes_of(change: ServiceChange) -> int:
    return sum(len(one.json) for one in change.changes)


def net_effect(changes: Iterable[ServiceChange]) -> Delta:
    """Fold changes, oldest first, into one `new` or `delete` per instance; what came and went leaves nothing."""
    existed: dict[tuple[str, str], bool] = {}
    last: dict[tuple[str, str], InstanceChange] = {}
    for step in changes:
        for change in step.changes:
            key = (step.service_key, change.key)
            existed.setdefault(key, change.change_type != "new")
            last[key] = change
    delta: Delta = {}
    for (service_key, instance_key), change in last.items():
        exists = change.change_type != "delete"
        if exists != existed[service_key, instance_key]:
            if change.change_type == "change":
                change = InstanceChange("new", change.json, change.key, change.time_ms)
            delta.setdefault(service_key, {})[instance_key] = change
    return delta
