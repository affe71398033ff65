"""A conversation with a peer that breaks the rules: what it may ask for has a bound, and its link pays."""

from collections.abc import Sequence
from typing import cast

import trio
from trio.testing import MockClock

from artemis.actors.cluster_settings import LinkSettings
from artemis.actors.conversation import QUESTIONS_MAX, Conversation, Owner
from artemis.actors.frames import Digests, Frame, Word
from artemis.actors.framing import encode
from artemis.actors.handshake import Acquaintance, Identity
from artemis.actors.ports import LinkLost

from .cluster_world import SkewedClock
from .test_tables import one_node


class MuteLink:
    """The link to a peer that says what a test puts in, and reads nothing."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = [encode(frame) for frame in frames]
        self.ended = trio.Event()

    async def send(self, frame: bytes) -> None:
        await self.ended.wait()
        raise LinkLost("ended")

    async def receive(self) -> bytes:
        if self._frames:
            return self._frames.pop(0)
        await self.ended.wait()
        raise LinkLost("ended")

    async def aclose(self) -> None:
        self.ended.set()


class Quiet:
    """An owner that wants to know nothing."""

    def own_word(self) -> Word:
        return Word(status="up", now_ms=0, can_register=True, can_discover=True)

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: None


async def converse(count: int) -> Conversation:
    """A peer asks so many questions at once; the conversation, after a moment."""
    questions = [Digests("instances", [0] * 256, request) for request in range(count)]
    peer = Acquaintance(Identity("test", "lab", "z", "b", "http://b:1", 1), Quiet().own_word(), 0, 0)
    conversation = Conversation(
        MuteLink(questions),
        peer,
        dialled=False,
        owner=cast(Owner, Quiet()),
        tables=one_node().tables,
        clock=SkewedClock(),
        settings=LinkSettings(),
    )
    with trio.move_on_after(1):
        await conversation.run()
    return conversation


async def test_a_peer_that_asks_more_than_it_reads_answers_is_hung_up_on(autojump_clock: MockClock) -> None:
    assert (await converse(QUESTIONS_MAX)).reason == "cancelled"
    ended = await converse(QUESTIONS_MAX + 2)
    assert ended.reason == f"protocol error: more than {QUESTIONS_MAX} questions at once"
