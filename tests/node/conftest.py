"""Fixtures for tests against a node in a process of its own."""

from collections.abc import Iterator

import pytest

from .running import RunningNode, running_node


@pytest.fixture(scope="module")
def node() -> Iterator[RunningNode]:
    """One node for the tests of a module; each uses services of its own."""
    with running_node() as running:
        yield running
