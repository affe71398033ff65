"""Management over the wire: a real node in another process, asked by both APIs and watched by both kinds of subscriber.

The policy is that of the contract tests (see there), and one rule more: what is asserted of a write is what callers of
discovery get and what subscribers are told, not the row that was stored. All tests share a node unless they restart
it; each has a service, a zone and addresses of its own.
"""

from collections.abc import Iterator
from itertools import count

import pytest

from ..contract.nodes import NodeProcess, Settings
from .world import World

_numbers = count(1)

LIMITS: Settings = {"rate_limits": {"management": 1_000_000}}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """The node that the tests of this folder share."""
    running = NodeProcess(tmp_path_factory.mktemp("management"), LIMITS).start()
    try:
        yield running
        running.stop()
    finally:
        running.destroy()


@pytest.fixture
def world(node: NodeProcess) -> World:
    """A service, a zone and a server that no other test uses."""
    return World(node, next(_numbers))
