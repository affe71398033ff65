"""The contract tests: a real node in another process, asked over real HTTP and real WebSockets, once per lane.

The policy of this folder
* Loopback only, and ports the kernel chooses.
* An answer is judged by the texts of the contract, never by code of the node.
* Tests that leave nothing behind share a node per lane and settings, and use services of their own; tests that pause,
  kill, or fill a node start one for themselves.
* Nobody sleeps in order to wait: every wait is for an event, or a poll with a deadline.
* A node whose log holds an error at its end fails whoever used it.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from .nodes import NodeProcess, Settings, merged

StartNode = Callable[[Settings], NodeProcess]

_numbers = count(1)


@pytest.fixture(params=[True, False], ids=["lane", "quart"])
def fast_lane(request: pytest.FixtureRequest) -> bool:
    """Every rule of the contract holds with the fast lane and without."""
    switched_on: bool = request.param
    return switched_on


@pytest.fixture(scope="session")
def shared_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNode]:
    """Gives out one running node per settings; they all end with the session, which has one set of them per process."""
    nodes: dict[str, NodeProcess] = {}

    def share(settings: Settings) -> NodeProcess:
        name = repr(settings)
        if name not in nodes:
            nodes[name] = NodeProcess(tmp_path_factory.mktemp("node"), settings)
            nodes[name].start()
        assert nodes[name].is_running, nodes[name].log()
        return nodes[name]

    yield share
    try:
        for node in nodes.values():
            node.ask_to_stop()
        for node in nodes.values():
            node.must_have_stopped()
    finally:
        for node in nodes.values():
            node.destroy()


@pytest.fixture
def shared_node(fast_lane: bool, shared_nodes: StartNode) -> StartNode:
    """Gives out one running node per settings, of this lane."""
    lane: Settings = {"node": {"fast_lane": fast_lane}}
    return lambda settings: shared_nodes(merged(settings, lane))


@pytest.fixture
def node(shared_node: StartNode) -> NodeProcess:
    """A node as it is out of the box, save its region, zone and rate limits of status queries."""
    return shared_node({})


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes that belong to one test, each with a directory of its own."""
    started: list[NodeProcess] = []

    def start(settings: Settings) -> NodeProcess:
        node = NodeProcess(tmp_path / f"node{len(started)}", settings)
        started.append(node)
        return node.start()

    yield start
    try:
        for node in started:
            assert not node.complaints(), node.log()
    finally:
        for node in started:
            node.destroy()


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[StartNode]:
    """Prepares nodes that are not started, because they are not expected to run."""
    made: list[NodeProcess] = []

    def make(settings: Settings) -> NodeProcess:
        made.append(NodeProcess(tmp_path / f"unstarted{len(made)}", settings))
        return made[-1]

    yield make
    for node in made:
        node.destroy()


@pytest.fixture
def name() -> str:
    """A service that no other test uses. Lower-case, as the Java client needs it."""
    return f"test.svc{next(_numbers)}"
