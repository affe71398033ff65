"""`artemis cluster simulate`: what it prints, and how it ends."""

import json

import pytest
from click.testing import CliRunner

from artemis.cluster.simulation.commands import simulate
from artemis.cluster.simulation.situations import Situation

from .plants import PLANTS


def test_seeds_that_pass_are_counted_and_the_command_succeeds() -> None:
    found = CliRunner().invoke(simulate, ["--seeds", "1", "--minutes", "0.1", "--jobs", "1"])
    assert found.exit_code == 0
    assert found.output.startswith("1 seeds passed, 0 failed")


def test_what_the_seeds_reached_is_counted() -> None:
    found = CliRunner().invoke(simulate, ["--seeds", "1", "--minutes", "0.1", "--jobs", "1", "--reach"])
    assert found.exit_code == 0
    told, *lines, total = found.output.splitlines()
    assert told == "of 1 seeds"
    assert total.startswith("1 seeds passed")
    assert [line.split(maxsplit=1)[1] for line in lines] == list(Situation)
    assert f"      1  {Situation.PULLED_OUT}" in lines


def test_a_failure_shows_the_promise_the_last_events_and_how_to_repeat_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLANTS[3](patch)
        found = CliRunner().invoke(simulate, ["--seeds", "1", "--first", "1", "--jobs", "1", "--events", "30"])
    assert found.exit_code == 1
    lines = found.output.splitlines()
    assert lines[0] == "seed 1 failed"
    assert "VIOLATION DecisionsSpread" in found.output
    assert "  artemis cluster simulate --seeds 1 --first 1" in lines
    assert lines[-1] == "failed: 1"


def test_scripts_get_one_object_per_failure_and_one_in_the_end() -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLANTS[3](patch)
        found = CliRunner().invoke(simulate, ["--seeds", "1", "--first", "1", "--jobs", "1", "--json"])
    assert found.exit_code == 1
    failure, numbers = [json.loads(line) for line in found.output.splitlines()]
    assert failure["violations"][0]["checker"] == "DecisionsSpread"
    assert failure["command"] == "artemis cluster simulate --seeds 1 --first 1"
    assert numbers["failed"] == 1
    assert numbers["seeds"] == [1]
