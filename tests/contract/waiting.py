"""The one way in which these tests wait for what nobody announces: look, and look again, until a deadline."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ..pace import PATIENCE_S

POLL_S: Final = 0.005


async def eventually(check: Callable[[], bool | Awaitable[bool]], within_s: float = PATIENCE_S) -> None:
    """Return when `check` says yes; fail when it still does not after this time."""
    with trio.fail_after(within_s):
        while True:
            found = check()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            await trio.sleep(POLL_S)
