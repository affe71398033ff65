"""Parts of an expected answer that are not known to the letter. Each compares equal to what it stands for."""

import re
from typing import Any


class Including(dict[str, Any]):
    """Any object with at least these fields."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and all(name in other and value == other[name] for name, value in self.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"Including({dict(self)!r})"


class Containing:
    """Any list that has at least these items."""

    def __init__(self, *items: object) -> None:
        self._items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and all(any(item == one for one in other) for item in self._items)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Containing{self._items!r}"


class Whole:
    """Any whole number from `low` on."""

    def __init__(self, low: int = 0) -> None:
        self._low = low

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and not isinstance(other, bool) and other >= self._low

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Whole({self._low})"


class Text:
    """Any text that matches a pattern as a whole."""

    def __init__(self, pattern: str = r"(?s).*") -> None:
        self._pattern = re.compile(pattern)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self._pattern.fullmatch(other) is not None

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Text({self._pattern.pattern!r})"


LOCAL_TIME = Text(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
NEVER = "1970-01-01 00:00:00.000"
COUNT_AS_TEXT = Text(r"\d+")
RFC_3339 = Text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EPOCH_MS = Whole(1_600_000_000_000)
