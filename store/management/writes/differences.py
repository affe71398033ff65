"""Differences: what has to change, or was changed, so that things are as a document says."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ..errors import Invalid
from .checks import one_of

Sign = Literal["+", "~", "-", "?"]
Changes = dict[str, tuple[object, object]]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the document says."""

    sign: Sign
    """Created, changed or removed; `?` for what the document does not mention and nobody asked to remove."""
    kind: str
    target: str
    changes: Changes = {}
    """Field to what it was and what it is now."""


class Differences:
    """The list, as it grows."""

    def __init__(self) -> None:
        self.found: list[Difference] = []

    def note(self, sign: Sign, kind: str, target: str, changes: Changes | None = None) -> None:
        self.found.append(Difference(sign=sign, kind=kind, target=target, changes=changes or {}))


def changes(before: msgspec.Struct, after: msgspec.Struct, fields: Mapping[str, str]) -> Changes:
    """What differs among these fields: the name that people know to the field's own."""
    found: Changes = {}
    for shown, name in fields.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found[shown] = (old, new)
    return found


def keyword(name: str, wanted: str, allowed: Sequence[str], held: msgspec.Struct | None, field: str) -> str:
    """A keyword as it is to be stored; one that is held already stays as it is, in whatever case, and however odd."""
    before = "" if held is None else str(getattr(held, field))
    return before if wanted.strip().lower() == before.lower() else one_of(name, wanted, allowed)


def check_twins(name: str, keys: Sequence[str]) -> None:
    """Raise Invalid when a thing is in a list twice."""
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        if first.setdefault(key, position) != position:
            raise Invalid(f"{name}[{position}] is {name}[{first[key]}] once more")
