"""The mailbox: a bounded channel into one actor, with the two ways to put something in."""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    name: str
    depth: int
    bound: int
    refused: int
    """How many messages found the mailbox full."""


class Mailbox(Generic[M]):
    """Messages for one actor, in order, at most `bound` of them."""

    def __init__(self, name: str, bound: int) -> None:
        assert 0 < bound < math.inf
        self.name = name
        self.bound = bound
        self._refused = 0
        self._sending, self._receiving = trio.open_memory_channel[M](bound)

    def post(self, message: M) -> bool:
        """Put a message in without waiting. False when the mailbox is full or closed: the sender must have a plan."""
        try:
            self._sending.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._refused += 1
            return False
        return True

    async def send(self, message: M) -> None:
        """Put a message in; waits while the mailbox is full. Raises `trio.ClosedResourceError` once it is closed."""
        await self._sending.send(message)

    async def receive(self) -> M:
        """The next message; raises `trio.EndOfChannel` when the mailbox is closed and empty."""
        return await self._receiving.receive()

    def receive_nowait(self) -> M:
        """The next message if there is one; raises `trio.WouldBlock` if not."""
        return self._receiving.receive_nowait()

    def close(self) -> None:
        """No more messages; what is inside can still be received."""
        self._sending.close()

    def statistics(self) -> MailboxStatistics:
        return MailboxStatistics(self.name, len(self), self.bound, self._refused)

    def __len__(self) -> int:
        return self._receiving.statistics().current_buffer_used

    def __aiter__(self) -> "Mailbox[M]":
        return self

    async def __anext__(self) -> M:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
