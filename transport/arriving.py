"""Bodies of requests that have begun to arrive, and the bound of all of them together.

A body that comes in one piece is never counted. Of those that do not, the one that began first is given up when there
is too much: whoever sends as fast as it can is done before its turn comes.
"""

from typing import Protocol


class Sender(Protocol):
    """A connection whose request is not complete."""

    def give_up(self) -> None:
        """Answer that the body took too long, and close."""
        ...


class Arriving:
    """What this node holds of bodies that are not complete."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        """Held now."""
        self.given_up = 0
        """Senders that were given up since the start."""
        self._sizes: dict[Sender, int] = {}
        """In the order in which they began."""

    def hold(self, sender: Sender, size: int) -> None:
        """So many bytes of the body of this sender are here. Those that began first are given up for it, if need be:
        perhaps it itself."""
        self.bytes += size - self._sizes.get(sender, 0)
        self._sizes[sender] = size
        while self.bytes > self.bytes_max:
            oldest = next(iter(self._sizes))
            self.release(oldest)
            self.given_up += 1
            oldest.give_up()

    def release(self, sender: Sender) -> None:
        """The body of this sender is complete, or will never be. Nothing happens when none of it is held."""
        self.bytes -= self._sizes.pop(sender, 0)
