"""The operator: who writes and why, and the audit entry that each write leaves."""

from dataclasses import dataclass

import msgspec

from ..audit import NOTHING, AuditEntry, Field
from ..draft import Draft
from ..errors import Invalid
from ..kinds import Value
from .checks import identifier, prose


@dataclass(frozen=True, slots=True)
class Operator:
    """Who wants a write, as far as they say so; the address is what we see."""

    operator_id: str = ""
    token: str = ""
    operation: str = ""
    """What the operator calls the write; for operations on instances and the like, the operation itself."""
    reason: str | None = None
    extensions: str = "{}"
    address: str = ""

    def check(self) -> None:
        """Texts within their limits. Raises Invalid."""
        for name, value in (("operatorId", self.operator_id), ("token", self.token), ("operation", self.operation)):
            if len(value) > 256 or not value.isprintable():
                raise Invalid(f"{name} is longer than 256 characters, or contains unprintable characters")
        prose("reason", self.reason)
        prose("extensions", self.extensions)

    def require_all(self) -> None:
        """The RPC API's group writes want all of these. Raises Invalid that names the first one missing."""
        self.check()
        identifier("operation", self.operation)
        identifier("operatorId", self.operator_id)
        identifier("token", self.token)
        if not self.extensions.strip():
            raise Invalid("extensions is null or empty")


def note(
    draft: Draft,
    who: Operator,
    kind: str,
    target: str,
    *,
    before: Value | None,
    after: Value | None,
    fields: dict[str, Field],
    operation: str | None = None,
    complete: bool = False,
) -> None:
    """Add to the audit log what was done to one thing. `operation` is the operator's own unless given."""
    draft.audits.append(
        AuditEntry(
            kind=kind,
            target=target.lower(),
            operation=who.operation if operation is None else operation,
            operator_id=who.operator_id,
            token=who.token,
            reason=who.reason,
            extensions=who.extensions,
            complete=complete,
            address=who.address,
            fields=fields,
            before=_json(before),
            after=_json(after),
        )
    )


def _json(value: Value | None) -> msgspec.Raw:
    return NOTHING if value is None else msgspec.Raw(msgspec.json.encode(value))
