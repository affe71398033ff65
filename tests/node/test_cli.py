"""The command line: help that teaches, one line per problem, and exit codes that scripts can rely on."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from artemis.node.cli import app
from artemis.node.cli.commands import COMMANDS, PLUGIN_GROUP, Command
from artemis.node.keys import all_keys

NOBODY = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


def artemis(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    return CliRunner(env=environment).invoke(app.artemis, arguments)


def test_the_overview_names_every_command_with_its_purpose() -> None:
    text = artemis("--help").output
    for command in COMMANDS:
        assert f"  {command.name} " in text
        assert command.summary in text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_every_command_shows_an_example(command: Command) -> None:
    result = artemis(command.name, "--help")
    assert result.exit_code == 0
    assert f"    artemis {command.name}" in result.output


def test_an_unknown_command_is_a_usage_error() -> None:
    result = artemis("serv")
    assert result.exit_code == 2
    assert "serv" in result.stderr


def test_the_configuration_is_shown_with_the_source_of_each_value(tmp_path: Path) -> None:
    file = tmp_path / "artemis.toml"
    file.write_text('[node]\nzone = "z9"\n', encoding="utf-8")
    environment = {"ARTEMIS_NODE_REGION": "lab"}
    result = artemis(
        "config", "--config", str(file), "--port", "9000", "--set", "limits.connections=7", environment=environment
    )
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert result.exit_code == 0
    assert lines.keys() >= all_keys().keys()
    assert lines["node.zone"].endswith(f"file {file}")
    assert lines["node.region"].endswith("environment ARTEMIS_NODE_REGION")
    assert lines["node.port"].endswith("flag --port")
    assert lines["limits.connections"].endswith("flag --set")
    assert lines["node.host"].endswith("default")


def test_the_configuration_as_json_has_every_key_and_no_secret() -> None:
    secret = "0123456789abcdef"
    result = artemis("config", "--json", environment={"ARTEMIS_CLUSTER_SECRET": secret})
    shown = json.loads(result.output)
    assert shown.keys() == all_keys().keys()
    assert shown["node.port"] == {"value": 8080, "source": "default"}
    assert shown["cluster.secret"] == {"value": "***", "source": "environment ARTEMIS_CLUSTER_SECRET"}
    assert secret not in artemis("config", environment={"ARTEMIS_CLUSTER_SECRET": secret}).output


def test_every_key_is_described_on_request() -> None:
    text = artemis("config", "--help-keys").output
    for key in all_keys().values():
        assert key.description in text


@pytest.mark.parametrize("command", ["config", "serve"])
def test_a_wrong_configuration_is_one_line_per_problem_and_no_traceback(command: str) -> None:
    result = artemis(command, "--port", "99999", "--set", "registry.lease_ttl=1")
    assert result.exit_code == 2
    assert result.output == result.stderr
    first, second = result.stderr.splitlines()
    assert first.startswith("artemis: registry.lease_ttl (flag --set): unknown key; did you mean registry.lease_ttl_s?")
    assert second.startswith("artemis: node.port = '99999' (flag --port): not allowed; it must be")


@pytest.mark.parametrize(
    "arguments",
    [
        ("services",),
        ("instances", "orders"),
        ("status",),
        ("register", "orders", "--at", "http://127.0.0.1:9000/"),
        ("unregister", "orders", "o1"),
    ],
)
def test_a_node_that_cannot_be_reached_is_exit_code_3(arguments: tuple[str, ...]) -> None:
    result = artemis(*arguments, "--url", NOBODY)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"artemis: no node answers: {NOBODY}: ")
    assert len(result.stderr.splitlines()) == 1


def test_the_node_is_found_by_the_environment() -> None:
    assert NOBODY in artemis("services", environment={"ARTEMIS_URL": NOBODY}).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("services", "--url", "localhost:8080"),
        ("register", "orders", "--at", "localhost"),
        ("register", "orders", "--at", "http://a/", "-m", "novalue", "--url", NOBODY),
        ("config", "--set", "novalue"),
        ("watch", "orders", "--count", "0"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = artemis(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_other_parts_of_the_installation_offer_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    good = EntryPoint("hello", f"{__name__}:hello", PLUGIN_GROUP)
    broken = EntryPoint("broken", "artemis.node.cli.nowhere:broken", PLUGIN_GROUP)
    monkeypatch.setattr(app, "entry_points", lambda group: [good, broken])
    monkeypatch.setattr(EntryPoint, "load", lambda point: hello if point.name == "hello" else _missing())
    text = artemis("--help").output
    assert "hello   Say hello." in text
    assert "broken  (cannot be loaded" in text
    assert artemis("hello").output == "hello\n"


@click.command()
def hello() -> None:
    """Say hello."""
    click.echo("hello")


def _missing() -> click.Command:
    raise ImportError("no such module")
