"""`artemis cluster` as its users meet it: texts, exit codes, and what is left behind, which is nothing."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from artemis.cluster.bench.commands import bench
from artemis.cluster.commands import cluster
from artemis.cluster.processes import is_alive
from artemis.node.sources import load

from ..pace import PATIENCE_S

RUN_FAKES = Path(__file__).with_name("run_fakes.py")


@contextmanager
def open_fakes(state: Path) -> Generator[tuple[subprocess.Popen[str], list[int]]]:
    """A launcher in a process of its own, with two fakes that are up; its pid and theirs."""
    command = [sys.executable, str(RUN_FAKES), str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        try:
            assert launcher.stdout is not None
            nodes = json.loads(launcher.stdout.readline())["nodes"]
            yield launcher, [node["pid"] for node in nodes]
        finally:
            launcher.kill()


def run(*arguments: str, state: Path) -> Result:
    return CliRunner().invoke(cluster, [*arguments, "--state", str(state)])


def have_ended(pids: list[int]) -> bool:
    """Whether all of them end soon; the kernel may take a moment."""
    for pid in pids:
        if is_alive(pid):
            descriptor = os.pidfd_open(pid)
            ended, _, _ = select.select([descriptor], [], [], PATIENCE_S)
            os.close(descriptor)
            if not ended:
                return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with open_fakes(state) as (launcher, pids):
        assert state.exists()
        launcher.send_signal(number)
        assert launcher.wait(PATIENCE_S) == 0
        assert not any(is_alive(pid) for pid in pids)
        assert not state.exists()


def test_down_returns_when_everything_has_gone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with open_fakes(state) as (launcher, pids):
        assert run("down", state=state).exit_code == 0
        assert not state.exists()
        assert not any(is_alive(pid) for pid in pids)
        assert launcher.wait(PATIENCE_S) == 0


def test_a_launcher_that_is_killed_takes_its_nodes_along_and_can_be_followed_by_another(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with open_fakes(state) as (launcher, pids):
        launcher.kill()
        assert have_ended(pids)
    assert "no cluster runs here" in run("status", state=state).output
    with open_fakes(state) as (launcher, _):
        assert run("down", state=state).exit_code == 0


def test_commands_break_and_mend_the_network_of_a_running_cluster(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with open_fakes(state):
        assert run("partition", "a/b", "--reset", state=state).exit_code == 0
        assert run("slow", "a>b", "--delay-ms", "50", state=state).exit_code == 0
        assert run("lossy", "b>a", "--loss", "0.5", state=state).exit_code == 0
        shown = run("status", state=state)
        assert "a>b: cut (reset), +50 ms" in shown.output
        assert "b>a: cut (reset), 50.0% lost" in shown.output
        assert run("heal", state=state).exit_code == 0
        answer = json.loads(run("status", "--json", state=state).output)
        assert answer["faults"] == {}
        assert {node["name"]: node["status"] for node in answer["nodes"]} == {"a": "up", "b": "up"}


def test_status_fails_while_a_node_is_not_up_so_that_scripts_can_wait(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with open_fakes(state):
        assert run("status", state=state).exit_code == 0
        assert run("kill", "a", state=state).exit_code == 0
        assert run("status", state=state).exit_code == 1
        assert run("restart", "a", state=state).exit_code == 0
        assert run("pause", "b", state=state).exit_code == 0
        assert "paused" in run("status", state=state).output
        assert run("resume", "b", state=state).exit_code == 0


def test_logs_are_shown_for_one_node_or_for_all(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with open_fakes(state):
        assert run("logs", state=state).output.startswith("a | ")
        assert "GET /health" in run("logs", "a", "-n", "1", state=state).output
        assert "there are: a, b" in run("logs", "z", state=state).output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["status"], "start one with: artemis cluster up"),
        (["down"], "start one with: artemis cluster up"),
        (["kill", "a"], "start one with: artemis cluster up"),
        (["logs"], "there is no cluster"),
        (["up", "--nodes", "0"], "1 to 26 nodes"),
        (["up", "--nodes", "2", "--zones", "3"], "cannot stand in 3 zones"),
        (["up", "--topology", "nonsense"], "the examples are: three-nodes"),
        (["up", "--topology", "two-zones", "--nodes", "3"], "leave out --nodes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    result = run(*arguments, state=tmp_path / "state")
    assert result.exit_code == 1
    assert complaint in result.output
    assert len(result.output.splitlines()) == 1


def test_configure_writes_what_real_machines_need(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse battery")
    arguments = ["configure", "--topology", "two-zones", "--into", str(tmp_path / "out")]
    result = CliRunner().invoke(cluster, [*arguments, "--secret-file", str(tmp_path / "secret")])
    assert result.exit_code == 0
    files = sorted((tmp_path / "out").glob("*.toml"))
    assert [file.stem for file in files] == ["a1", "a2", "b1", "b2"]
    for file in files:
        assert load(file=file, environment={}).cluster.known_secrets[0] == "correct horse battery"


def test_rows_of_the_bench_that_do_not_exist_are_refused_with_those_that_do() -> None:
    result = CliRunner().invoke(bench, ["--only", "heartbeat,nonsense"])
    assert result.exit_code == 2
    assert "no rows 'nonsense'" in result.output
    assert "evacuation" in result.output


@pytest.mark.parametrize("command", sorted(cluster.commands))
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(cluster, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.split("Options:")[0].split()) > 8
