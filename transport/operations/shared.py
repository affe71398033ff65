"""One large answer for everybody who asks for it: made once per version, by one of them, and sent to all."""

from collections.abc import Awaitable, Callable

import trio

from ..requests import Reply


class Shared:
    """An answer that is the same for all callers until its stamp changes.

    Nobody gets a picture that was begun before he asked, unless nothing has changed since; and it is made once at a
    time: of those who ask while it is being made, the first makes the next one, for all of them.
    """

    def __init__(self, make: Callable[[], Awaitable[Reply]], stamp: Callable[[], object]) -> None:
        """`stamp` is the same object value while `make` would give the same answer."""
        self._make = make
        self._stamp = stamp
        self._making = trio.Lock()
        self._begun = 0
        """Answers that were begun since the start."""
        self._kept: tuple[int, object, Reply] | None = None
        """The newest answer, its number, and the stamp under which it was begun."""

    async def reply(self) -> Reply:
        asked = self._begun
        async with self._making:
            if self._kept is not None:
                number, stamp, reply = self._kept
                if number > asked or stamp == self._stamp():
                    return reply
            self._kept = None  # while the next one is made, this one is for those only who are still sent it
            self._begun += 1
            number, stamp = self._begun, self._stamp()
            reply = await self._make()
            self._kept = number, stamp, reply
            return reply
