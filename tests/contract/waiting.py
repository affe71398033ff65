"""The one way in which these tests wait for what nobody announces: look, and look again, until a deadline."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import trio

POLL_S: Final = 0.005
WITHIN_S: Final = 10.0


async def eventually(check: Callable[[], bool | Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    """Return when `check` says yes; fail when it still does not after this time."""
    with trio.fail_after(within_s):
        while True:
            found = check()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            await trio.sleep(POLL_S)
