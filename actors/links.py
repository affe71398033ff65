"""The conversations with one peer: at most one that this node dialled, and one that the peer did."""

import trio

from .conversation import Conversation


class PeerLinks:
    """Which conversation is used to tell the peer something: ours if there is one, else the peer's.

    Each of a pair of nodes dials the other; but where only one side can, the other uses what it was given.
    """

    def __init__(self) -> None:
        self.dialled: Conversation | None = None
        self.accepted: Conversation | None = None
        self._changed = trio.Event()
        self._accepted = trio.Event()

    @property
    def current(self) -> Conversation | None:
        """The conversation to use now."""
        if self.dialled is not None and self.dialled.reason is None:
            return self.dialled
        if self.accepted is not None and self.accepted.reason is None:
            return self.accepted
        return None

    def all(self) -> list[Conversation]:
        """The open ones."""
        both = (self.dialled, self.accepted)
        return [conversation for conversation in both if conversation is not None and conversation.reason is None]

    def put(self, conversation: Conversation) -> None:
        """A conversation begins; an older one in the same direction is half-open, and ends."""
        replaced = self.dialled if conversation.dialled else self.accepted
        if conversation.dialled:
            self.dialled = conversation
        else:
            self.accepted = conversation
            accepted, self._accepted = self._accepted, trio.Event()
            accepted.set()
        if replaced is not None:
            replaced.close("replaced by a newer link")
        self._change()

    def drop(self, conversation: Conversation) -> None:
        """A conversation has ended."""
        if self.dialled is conversation:
            self.dialled = None
        if self.accepted is conversation:
            self.accepted = None
        self._change()

    async def wait_accepted(self) -> None:
        """Wait until the peer dials us."""
        await self._accepted.wait()

    async def wait_current(self) -> Conversation:
        """Wait until there is somebody to talk to."""
        while (conversation := self.current) is None:
            await self._changed.wait()
        return conversation

    def _change(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
