"""Rows of peers that are not taken over: remembered, so that they are not asked for again, and told now and then.

One bad row costs itself and nothing else. The link stays, and so does everything that comes beside it; closing it
would bring the same row back with the next link. Anti-entropy offers the row again in each of its rounds, since the
tables are not equal, and the convergence in the status of the cluster says so.
"""

import logging
from typing import Final

from .clock import Clock
from .quoting import quoted
from .seldom import Seldom

logger = logging.getLogger(__name__)

REMEMBERED_MAX: Final = 10_000
"""Refused rows that are not asked for again when they are renewed. The oldest is forgotten for one more."""
WARNING_S: Final = 10.0
"""Between two warnings about one peer."""


class RefusedRows:
    """What of the peers' rows was refused by this node."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}

    def add(self, key: str, version: int) -> None:
        self._versions.pop(key, None)
        self._versions[key] = version
        if len(self._versions) > REMEMBERED_MAX:
            del self._versions[next(iter(self._versions))]

    def holds(self, key: str, version: int) -> bool:
        """Whether a row was refused that is not older than this version of it."""
        return self._versions.get(key, -1) >= version

    def __bool__(self) -> bool:
        return bool(self._versions)


class RefusalWarnings:
    """Tells the log what one peer sends, however much of it there is."""

    def __init__(self, peer: object, clock: Clock) -> None:
        self._peer = peer
        self._clock = clock
        self._seldom = Seldom(WARNING_S)

    def refused(self, table: str, key: str, problem: str) -> None:
        """A row was not taken over."""
        count = self._seldom.due(self._clock.now_s())
        if count:
            logger.warning(
                "refused %d rows of %s, the last of %s with the key %s: %s",
                count, self._peer, quoted(table, 50), quoted(key, 100), quoted(problem),
            )  # fmt: skip
