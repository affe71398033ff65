"""The one door by which blocking work leaves the event loop."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class RunBlocking(Protocol):
    """Runs work that blocks and returns what it returns."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


async def in_thread(work: Callable[[], T], /) -> T:
    """In a worker thread, while the loop goes on."""
    return await trio.to_thread.run_sync(work)


async def inline(work: Callable[[], T], /) -> T:
    """For simulation: a clock that jumps does not wait for threads."""
    await trio.lowlevel.checkpoint()
    return work()
