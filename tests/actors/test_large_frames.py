"""Frames at their limits, and rows that no node may take over: whatever comes, no node ends."""

from trio.testing import MockClock

from artemis.actors.conversation import Conversation
from artemis.actors.frames import OfferAudits, States

from .cluster_world import Node, eventually, instance, open_world

ESCAPED = {"notes": "\x01" * 16_000}
"""As much metadata as is allowed, of characters that JSON writes in six."""
LONG = "服" * 250
"""An id of three bytes a character."""


async def test_the_largest_instances_reach_every_node(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        world["a"].register(*(instance("svc", f"i{number}", metadata=ESCAPED) for number in range(250)))
        await eventually(lambda: len(world["b"].names("svc")) == 250)


async def test_the_largest_instances_reach_a_node_that_joins(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        world.start("a")
        await eventually(lambda: world["a"].status == "up", within_s=30)
        world["a"].register(*(instance("svc", f"i{number}", metadata=ESCAPED) for number in range(250)))
        world.start("b")
        await eventually(lambda: len(world["b"].names("svc")) == 250, within_s=15)


async def test_renewals_of_the_longest_ids_fit_into_their_frames(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        a, b = world["a"], world["b"]
        names = [f"{LONG}{number:05}" for number in range(7000)]
        a.register(*(instance(f"{LONG}svc", name) for name in names))
        await eventually(lambda: len(b.names(f"{LONG}svc")) == len(names), within_s=15)
        for name in names:
            assert a.heartbeat(f"{LONG}svc", name)
        await eventually(lambda: _renewals_received(b) >= len(names))
        assert world.is_meshed()


def _renewals_received(node: Node) -> int:
    return sum(conversation.statistics.renewals_received for conversation in node.cluster.conversations())


NOT_UTF8 = b'{"serviceId":"svc","instanceId":"\xff"}'
NO_GROUP = b'{"regionId":"\xff"}'
NO_AUDIT = b'{"kind":"\xff"}'


async def test_rows_that_make_no_sense_are_refused_and_the_link_stays(autojump_clock: MockClock) -> None:
    async with open_world("a", "b") as world:
        conversation = _accepted(world["a"])
        theirs = next(one for one in world["b"].cluster.conversations() if one.dialled)
        for table, key, value in (("instances", "svc\ni1", NOT_UTF8), ("records", "group\nsvc", NO_GROUP)) * 2:
            await _tell(conversation, table, key, 5, value)
        await conversation.send(OfferAudits([(77, 1, 1, NO_AUDIT)], request=1))
        await eventually(lambda: theirs.statistics.rows_refused == 5)
        assert conversation.reason is None
        assert world.is_meshed()
        assert (world["b"].registry.services, len(world["b"].management.tables)) == ({}, 0)
        assert len(world["b"].management.audit) == 0


def _accepted(node: Node) -> Conversation:
    """The link that the other node dialled: what goes wrong on it goes wrong in the other one's replicator."""
    return next(conversation for conversation in node.cluster.conversations() if not conversation.dialled)


async def _tell(conversation: Conversation, table: str, key: str, version: int, value: bytes | None) -> None:
    await conversation.send(States(table, [key], [version], [value], [0], [1], sequence=1, stamp_ms=0))
