"""Answers that take long to make: between their parts, everybody else has a turn."""

import time
from typing import Final

import trio

SLICE_S: Final = 0.002
"""How long an answer is made in one go. A whole registry in one go would be seconds in which no heartbeat is heard."""


class Pace:
    """Made when an answer is begun; `step` after each part of it. What the parts are made of may change in between."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()

    async def step(self) -> None:
        """Let others run if it is their turn."""
        if time.perf_counter() - self._began_s > SLICE_S:
            await trio.lowlevel.checkpoint()
            self._began_s = time.perf_counter()
