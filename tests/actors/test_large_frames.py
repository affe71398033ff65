"""Frames stay within their limit whatever clients registered: the largest instances, the longest ids."""

from trio.testing import MockClock

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
