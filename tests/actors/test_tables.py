"""The tables as peers ask for them: an answer is made of what is held when it is given."""

import random

from trio.testing import MockClock

from artemis.actors.cluster_settings import ClusterSettings
from artemis.actors.frames import Answer, Want
from artemis.cluster.simulation.network import Network

from .cluster_world import Node, SkewedClock, instance

KEY = "svc\ni1"
WANT = Want("instances", [KEY], request=7)


def one_node() -> Node:
    settings = ClusterSettings(cluster="test", region="lab", zone="z", node_id="a", url="http://a:1", nodes={})
    return Node("a", settings, dialer=Network(["a"], rng=random.Random(1)).dialer("a"), seed=1, clock=SkewedClock())


def answer(node: Node, want: Want) -> Answer:
    (last,) = [frame for frame in node.tables.answer_want(want, None) if frame is not None]
    assert last.last
    assert last.request == want.request
    return last


async def test_a_want_is_answered_with_what_is_held_at_that_moment_however_often_it_is_asked(
    autojump_clock: MockClock,
) -> None:
    node = one_node()
    assert answer(node, WANT).keys == []
    told: list[tuple[int, bytes | None]] = []
    for port in (1, 2):
        node.register(instance("svc", "i1", url=f"http://i1:{port}"))
        (version,), (value,) = answer(node, WANT).versions, answer(node, WANT).values
        told.append((version, value))
        assert f"http://i1:{port}".encode() in (value or b"")
    node.unregister(("svc", "i1"))
    (version,), (value,) = answer(node, WANT).versions, answer(node, WANT).values
    assert value is None
    assert told[0][0] < told[1][0] < version
