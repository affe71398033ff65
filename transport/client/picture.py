"""A watched service as the client sees it: pure bookkeeping of snapshots, changes, and revisions."""

from dataclasses import dataclass
from typing import Final, Literal

from artemis.store.instances import Instance

from .messages import ChangeType, Pushed, WireChange

Kind = Literal["snapshot", "changes", "resync"]

UNBORN: Final = 0
"""The revision of a service that nobody has registered yet. Its first real one may be any number."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one instance."""

    change_type: ChangeType
    instance: Instance
    time_ms: int


@dataclass(frozen=True, slots=True)
class ServiceUpdate:
    """One step of a watched service.

    `snapshot`: the instances as they are; `changes`: what changed, and the instances after it; `resync`: pushes may
    have been missed and there is no snapshot (all services are watched): ask for what you need.
    """

    kind: Kind
    service_id: str
    revision: int
    changes: tuple[Change, ...] = ()
    instances: tuple[Instance, ...] = ()


class Gap(Exception):
    """A revision was skipped; only a new snapshot helps."""


class Picture:
    """The instances of one service, and the revision at which they were so."""

    def __init__(self, service_id: str) -> None:
        self.service_id = service_id
        self.revision: int | None = None
        self._instances: dict[str, Instance] = {}

    def forget(self) -> None:
        """What is known belongs to another node, or has a gap: start from a snapshot."""
        self.revision = None
        self._instances.clear()

    def subscribed(self, message: Pushed) -> ServiceUpdate | None:
        """Take the answer to a subscription: a snapshot, or what was missed; None when nothing was missed."""
        revision = message.revision or 0
        if message.service is not None or self.revision is None:
            service = message.service.known() if message.service else None
            self._instances = {_key(each): each for each in (service.instances if service else ())}
            self.revision = revision
            return self._update("snapshot")
        self.revision = revision
        changes = self._apply(message.changes or [])
        return self._update("changes", changes) if changes else None

    def changed(self, message: Pushed) -> ServiceUpdate | None:
        """Take a push. None when it is older than the snapshot. Raises Gap when one before it is missing."""
        revision = message.revision or 0
        if self.revision is None or revision <= self.revision:
            return None
        if revision != self.revision + 1 and self.revision != UNBORN:
            raise Gap
        self.revision = revision
        return self._update("changes", self._apply(message.changes or []))

    def _apply(self, changes: list[WireChange]) -> tuple[Change, ...]:
        applied = known_changes(changes)
        for change in applied:
            if change.change_type == "delete":
                self._instances.pop(_key(change.instance), None)
            elif change.change_type != "reload":
                self._instances[_key(change.instance)] = change.instance
        return applied

    def _update(self, kind: Kind, changes: tuple[Change, ...] = ()) -> ServiceUpdate:
        assert self.revision is not None
        return ServiceUpdate(kind, self.service_id, self.revision, changes, tuple(self._instances.values()))


def known_changes(changes: list[WireChange]) -> tuple[Change, ...]:
    """The changes of a push in the types of the SDK."""
    return tuple(
        Change(change.change_type, change.instance.known() if change.instance else Instance(), change.change_time_ms)
        for change in changes
    )


def _key(instance: Instance) -> str:
    return (instance.instance_id or "").lower()
