"""The answers of a node as the SDK reads them: what it does not know it ignores, so that newer nodes may say more."""

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from artemis.store.instances import Instance

from .errors import Incomprehensible

M = TypeVar("M", bound=msgspec.Struct)

ChangeType = Literal["new", "change", "delete", "reload"]


class WireInstance(Instance, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """An instance with properties that this version may not know."""

    def known(self) -> Instance:
        """What this version knows of it."""
        return Instance(**{name: getattr(self, name) for name in Instance.__struct_fields__})


class ResponseStatus(msgspec.Struct, rename="camel", frozen=True):
    status: str = "success"
    error_code: str | None = None
    message: str | None = None


class InstanceKey(msgspec.Struct, rename="camel", frozen=True):
    """The identity of an instance."""

    region_id: str | None = None
    service_id: str | None = None
    instance_id: str | None = None


class Failed(InstanceKey, frozen=True):
    """Why one instance of a request was refused: its identity, beside the reason."""

    error_code: str = "unknown"
    error_message: str = ""


class Written(msgspec.Struct, rename="camel", frozen=True):
    """The answer to register, heartbeat, and unregister."""

    failed_instances: list[Failed] | None = None
    failed_instance_keys: list[Failed] | None = None

    def failures(self) -> list[Failed]:
        """All of them, in whichever form they came."""
        return [*(self.failed_instances or ()), *(self.failed_instance_keys or ())]


class WireService(msgspec.Struct, rename="camel", frozen=True):
    service_id: str | None = None
    instances: list[WireInstance] | None = None
    metadata: dict[str, str | None] | None = None

    def known(self) -> "Service":
        instances = tuple(instance.known() for instance in self.instances or ())
        return Service(self.service_id or "", instances, self.metadata or {})


class AllServices(msgspec.Struct, rename="camel", frozen=True):
    services: list[WireService] | None = None
    version: int = 0


class ChosenInstance(msgspec.Struct, rename="camel", frozen=True):
    success: bool = False
    instance: WireInstance | None = None


class WireChange(msgspec.Struct, rename="camel", frozen=True):
    change_type: ChangeType
    instance: WireInstance | None = None
    change_time_ms: int = 0


class Pushed(msgspec.Struct, rename="camel", frozen=True):
    """Any message of the `/ws` socket; which fields are there depends on `type`."""

    type: str
    service_id: str | None = None
    revision: int | None = None
    service: WireService | None = None
    changes: list[WireChange] | None = None
    message: str | None = None


class Service(msgspec.Struct, frozen=True):
    """A service and the instances that this caller should use."""

    service_id: str
    instances: tuple[Instance, ...] = ()
    metadata: Mapping[str, str | None] = {}


def read(kind: type[M], body: bytes | str) -> M:
    """The message in a body; raises Incomprehensible."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Incomprehensible(f"the answer is not a valid {kind.__name__}: {error}") from None
