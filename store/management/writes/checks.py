"""Checks of what operators send; each failure names the field."""

from collections.abc import Sequence
from typing import Final, TypeVar

from ...instances import ALL_SERVICES
from ..errors import Invalid

ID_CHARACTERS_MAX: Final = 256
URL_CHARACTERS_MAX: Final = 2048
TEXT_CHARACTERS_MAX: Final = 2048
"""Descriptions, reasons, extensions."""

ITEMS_MAX: Final = 1000
"""Items of one request, which is one transaction. More is refused."""

METADATA_ENTRIES_MAX: Final = 64
WHOLE_MAX: Final = 2**31 - 1

T = TypeVar("T")


def identifier(name: str, value: str | None, characters_max: int = ID_CHARACTERS_MAX) -> str:
    """A text that must be there and be printable, without the blanks around it."""
    text = (value or "").strip()
    if not text:
        raise Invalid(f"{name} is null or empty")
    return _printable(name, text, characters_max)


def service_identifier(name: str, value: str | None) -> str:
    """The id of one service."""
    text = identifier(name, value)
    if text == ALL_SERVICES:
        raise Invalid(f"{name} {ALL_SERVICES} means all services, and cannot be that of one")
    return text


def optional(name: str, value: str | None, characters_max: int = ID_CHARACTERS_MAX) -> str:
    """A text that may be missing, which is the empty text."""
    return _printable(name, (value or "").strip(), characters_max)


def prose(name: str, value: str | None) -> str | None:
    """Text for people: as it is, line ends and all, but not endless."""
    if value is not None and len(value) > TEXT_CHARACTERS_MAX:
        raise Invalid(f"{name} has {len(value)} characters, at most {TEXT_CHARACTERS_MAX} are allowed")
    return value


def whole(name: str, value: int) -> int:
    """A number that fits in 32 bits."""
    if not -WHOLE_MAX <= value <= WHOLE_MAX:
        raise Invalid(f"{name} {value} is out of range")
    return value


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """A keyword, in lower case."""
    text = value.strip().lower()
    if text not in allowed:
        raise Invalid(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return text


def items(name: str, values: Sequence[T | None] | None) -> list[T]:
    """A list that must have something in it, and no nulls."""
    if not values:
        raise Invalid(f"{name} is null or empty")
    if len(values) > ITEMS_MAX:
        raise Invalid(f"{name} has {len(values)} items, at most {ITEMS_MAX} are allowed")
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        raise Invalid(f"{name} has a null item")
    return found


def metadata(name: str, value: dict[str, str | None] | None) -> dict[str, str | None]:
    """A map that must be there."""
    if value is None:
        raise Invalid(f"{name} is null")
    if len(value) > METADATA_ENTRIES_MAX:
        raise Invalid(f"{name} has {len(value)} entries, at most {METADATA_ENTRIES_MAX} are allowed")
    for key, text in value.items():
        prose(f"{name}.{key}", text)
    return value


def _printable(name: str, text: str, characters_max: int) -> str:
    if len(text) > characters_max:
        raise Invalid(f"{name} has {len(text)} characters, at most {characters_max} are allowed")
    if not text.isprintable():
        raise Invalid(f"{name} contains control or other unprintable characters")
    return text
