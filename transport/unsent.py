"""What is held for clients that do not take it: the answers under way whose readers are behind, and their bound.

A reader that keeps up costs nothing: what the kernel takes at once is never counted. What it does not take is held
until it does, and counted once for each body, however many are sent the same one. Beyond the bound of the node the
reader that has taken nothing for the longest time is cut off, and the next, until the rest fits.
"""

from dataclasses import dataclass
from typing import Protocol


class Reader(Protocol):
    """A connection that is behind."""

    took_s: float
    """When it last took something."""

    def abort(self) -> None:
        """Close it at once."""
        ...


@dataclass(slots=True)
class _Body:
    size: int
    readers: int = 0


class Unsent:
    """The bodies that this node holds for readers that are behind."""

    def __init__(self, bytes_max: int, *, reader_bytes_max: int) -> None:
        """`bytes_max` for all readers together, `reader_bytes_max` for each of them."""
        self.bytes_max = bytes_max
        self.reader_bytes_max = reader_bytes_max
        self.bytes = 0
        """Held now, each body once."""
        self.cut = 0
        """Readers that were cut off since the start."""
        self._bodies: dict[int, _Body] = {}
        self._behind: dict[Reader, int] = {}
        """By reader, the identity of the body that it is behind with; the reader's task keeps the body alive."""

    def hold(self, reader: Reader, body: object, size: int) -> None:
        """A reader has not taken all of a body of this size. The slowest are cut off for it, perhaps it itself."""
        identity = id(body)
        self._behind[reader] = identity
        held = self._bodies.get(identity)
        if held is None:
            held = self._bodies[identity] = _Body(size)
            self.bytes += held.size
        held.readers += 1
        if held.size > self.reader_bytes_max:
            self._cut(reader)
        while self.bytes > self.bytes_max:
            self._cut(min(self._behind, key=_took_s))

    def release(self, reader: Reader) -> None:
        """The reader has taken everything, or is gone. Nothing happens when it was not behind."""
        identity = self._behind.pop(reader, None)
        if identity is None:
            return
        held = self._bodies[identity]
        held.readers -= 1
        if not held.readers:
            del self._bodies[identity]
            self.bytes -= held.size

    def _cut(self, reader: Reader) -> None:
        self.release(reader)
        self.cut += 1
        reader.abort()


def _took_s(reader: Reader) -> float:
    return reader.took_s
