"""Fixtures for the tests of the transport. The helpers are in `serving.py`."""

import pytest


@pytest.fixture(params=[True, False], ids=["fast lane", "Quart"])
def fast_lane(request: pytest.FixtureRequest) -> bool:
    """Each rule of the wire holds in both lanes."""
    switched_on: bool = request.param
    return switched_on
