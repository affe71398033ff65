"""The garbage keeper: keeps Python's cycle collector from walking through every instance.

Entries are freed by reference counting as soon as they are dropped; none of them needs the cycle collector. But a
full collection visits them all, and with 100,000 instances that is a pause of dozens of milliseconds. So when the
registry has grown, what lives is moved out of the collector's sight, and full collections, at times of our own, are
short because there is little left for them to visit.
"""

import gc
from collections.abc import Callable
from typing import Final

import trio

YOUNG: Final = 10_000
"""Allocations between two looks at the youngest objects."""

MIDDLE: Final = 50
"""Looks at the youngest between two looks at the middle-aged."""

NEVER: Final = 1_000_000
LOOK_S: Final = 1.0
FULL_S: Final = 60.0
GROWTH: Final = 2_000
"""Instances that may join before they are moved out of sight."""


class GarbageKeeper:
    """Owns the settings of the collector while the node runs."""

    def __init__(self, size: Callable[[], int]) -> None:
        """`size`: how many things live long, more or less."""
        self._size = size
        self._frozen = 0

    async def run(self) -> None:
        await trio.lowlevel.checkpoint()  # whoever is stopped before its first step leaves the process as it was
        before = gc.get_threshold()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        try:
            next_full_s = trio.current_time()
            while True:
                if self._size() >= self._frozen + GROWTH:
                    gc.freeze()
                    self._frozen = self._size()
                elif trio.current_time() >= next_full_s:
                    next_full_s = trio.current_time() + FULL_S
                    gc.collect()
                    self._frozen = min(self._frozen, self._size())
                await trio.sleep(LOOK_S)
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()
