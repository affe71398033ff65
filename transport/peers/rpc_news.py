"""What a peer of the RPC dialect has still to be told.

Only entries wait, and their state is read when a call leaves: so the newest state of each instance is told, whatever
happened meanwhile, and the queue is bounded by the number of instances and not by the rate of change.
"""

from collections.abc import Iterable
from typing import Final

import trio

from artemis.store.leases import Entry

SPARE: Final = 1000
"""Entries that the registry has forgotten are looked for when there are more than so many, and twice as many as last
time."""

Waiting = tuple[Entry, float]
"""An entry, and when its oldest untold news happened."""


class News:
    """Entries to tell, each once, the oldest news first."""

    def __init__(self) -> None:
        self._since: dict[Entry, float] = {}
        self._prune_at = SPARE
        self._offered = trio.Event()

    def __len__(self) -> int:
        return len(self._since)

    def offer(self, entry: Entry, since_s: float) -> None:
        """There is news about an entry. Older news about it that still waits keeps its place."""
        since = self._since
        since.setdefault(entry, since_s)
        if not self._offered.is_set():
            self._offered.set()
        if len(since) > self._prune_at:
            self._since = {entry: since_s for entry, since_s in since.items() if not entry.gone}
            self._prune_at = max(SPARE, 2 * len(self._since))

    def put_back(self, items: Iterable[Waiting]) -> None:
        """These could not be told: they come first again."""
        since = dict(items)
        since.update((entry, min(since_s, since.get(entry, since_s))) for entry, since_s in self._since.items())
        self._since = since
        self._offered.set()

    def take(self, limit: int, bytes_max: int) -> list[Waiting]:
        """The oldest ones, of at most so many bytes of JSON; one at least, if any is left that is not forgotten."""
        taken: list[Waiting] = []
        passed, size = 0, 0
        for item in self._since.items():
            size += len(item[0].json)
            if len(taken) == limit or (taken and size > bytes_max):
                break
            passed += 1
            if not item[0].gone:
                taken.append(item)
        for entry in [entry for entry, _ in zip(self._since, range(passed), strict=False)]:
            del self._since[entry]
        return taken

    def oldest_s(self) -> float | None:
        """When the oldest news happened that waits."""
        return next(iter(self._since.values()), None)

    async def wait(self) -> None:
        """Wait until there is something."""
        while not self._since:
            self._offered = trio.Event()
            await self._offered.wait()
