"""How people spell: an id in one case today, and in another one tomorrow. It is the same id."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

IDS: Final = frozenset({"regionId", "zoneId", "zone", "serviceId", "service", "groupId", "group", "instanceId", "name"})
"""Properties of requests that hold ids, or names that serve as such."""
UNUSUAL: Final = 0.4


class Spelling:
    """The hand of one client or operator."""

    def __init__(self, rng: random.Random, *, mixed_case: bool) -> None:
        self._rng = rng
        self._mixed_case = mixed_case
        self.unusual = 0
        """Requests in which something was spelt in another case than usual."""

    def spelt(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request, all its ids in one case or another."""
        if not self._mixed_case or self._rng.random() >= UNUSUAL:
            return dict(body)
        self.unusual += 1
        return self._object(body)

    def _object(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value(name, value) for name, value in body.items()}

    def _value(self, name: str, value: Any) -> Any:
        match value:
            case str() if name in IDS:
                return self.id(value)
            case Mapping():
                return self._object(value)
            case Sequence() if not isinstance(value, str):
                return [self._value(name, each) for each in value]
            case _:
                return value

    def id(self, text: str) -> str:
        """This id in one case or another."""
        if not self._mixed_case:
            return text
        letters = (self._rng.choice((letter.lower(), letter.upper())) for letter in text)
        return self._rng.choice((text.lower(), text.upper(), "".join(letters)))
