"""The commands against a real node: what a person sees, what a script gets, and how they end."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from artemis.node.cli.app import artemis

from ..pace import PATIENCE_S
from .running import RunningNode


def ask(node: RunningNode, *arguments: str) -> Result:
    return CliRunner().invoke(artemis, [*arguments, "--url", node.url])


def test_an_instance_registered_by_hand_is_listed_and_gone_when_it_is_unregistered(node: RunningNode) -> None:
    at = "http://10.0.0.1:9000/"
    registered = ask(node, "register", "Orders", "--at", at, "--id", "blue-1", "-m", "version=1.4", "--group", "g1")
    assert (registered.exit_code, registered.output) == (0, "registered blue-1 of Orders\n")
    services = ask(node, "services")
    assert services.output.splitlines() == ["SERVICE  INSTANCES  ZONES", "Orders   1          default"]
    heading, row = ask(node, "instances", "orders").output.splitlines()
    assert heading.split() == ["INSTANCE", "URL", "STATUS", "ZONE", "GROUP", "METADATA"]
    assert row.split() == ["blue-1", at, "up", "default", "g1", "version=1.4"]
    assert ask(node, "unregister", "ORDERS", "BLUE-1").exit_code == 0
    missing = ask(node, "instances", "orders")
    assert (missing.exit_code, missing.stderr) == (1, "artemis: no instance of orders\n")


def test_scripts_get_json(node: RunningNode) -> None:
    registered = json.loads(ask(node, "register", "json", "--at", "https://10.0.0.1/x", "--json").output)
    assert (registered["instanceId"], registered["port"], registered["protocol"]) == ("10.0.0.1", 443, "https")
    assert json.loads(ask(node, "instances", "json", "--json").output) == [registered]
    assert {"serviceId": "json", "instanceCount": 1} in json.loads(ask(node, "services", "--json").output)
    status = json.loads(ask(node, "status", "--json").output)
    assert status["node"]["status"] == "up"
    assert status["cluster"]["nodeCount"] >= 1
    assert ask(node, "instances", "nobody", "--json").output.startswith("[]")


def test_the_status_is_shown_for_people(node: RunningNode) -> None:
    result = ask(node, "status")
    assert result.exit_code == 0
    assert "status   up" in result.output
    assert f"{node.url}  default  default  up" in result.output


def test_a_watch_begins_with_what_is_there(node: RunningNode) -> None:
    ask(node, "register", "watched", "--at", "http://10.0.0.1/", "--id", "w1")
    result = ask(node, "watch", "watched", "--count", "1")
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert first.endswith("watched: 1 instances")
    assert second.endswith("= w1  http://10.0.0.1/  up")


def test_a_watch_is_a_stream_of_json_lines_for_scripts(node: RunningNode) -> None:
    command = [sys.executable, "-m", "artemis.node", "watch", "streamed", "--count", "3", "--json", "--url", node.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["kind"] == "snapshot"
        ask(node, "register", "streamed", "--at", "http://10.0.0.1/", "--id", "s1")
        came = json.loads(watching.stdout.readline())
        ask(node, "unregister", "streamed", "s1")
        went = json.loads(watching.stdout.readline())
        assert watching.wait(PATIENCE_S) == 0
    assert [change["changeType"] for change in came["changes"]] == ["new"]
    assert [change["changeType"] for change in went["changes"]] == ["delete"]
    assert went["revision"] == came["revision"] + 1


def test_an_instance_of_another_region_is_refused_with_exit_code_4(node: RunningNode) -> None:
    result = ask(node, "register", "refused", "--at", "http://10.0.0.1/", "--region", "elsewhere")
    assert result.exit_code == 4
    assert result.stderr.startswith("artemis: no-permission: ")
    assert len(result.stderr.splitlines()) == 1


def test_with_keep_the_instance_stays_until_the_command_is_interrupted(node: RunningNode) -> None:
    command = [sys.executable, "-m", "artemis.node", "register", "kept", "--at", "http://10.0.0.1/", "--keep"]
    with subprocess.Popen([*command, "--url", node.url], stdout=subprocess.PIPE, text=True) as keeping:
        assert keeping.stdout is not None
        assert keeping.stdout.readline() == "registered 10.0.0.1 of kept\n"
        assert ask(node, "instances", "kept").exit_code == 0
        keeping.send_signal(2)
        assert keeping.wait(PATIENCE_S) == 130
    assert ask(node, "instances", "kept").exit_code == 1


def test_something_else_on_the_port_is_told_from_a_node(node: RunningNode) -> None:
    result = CliRunner().invoke(artemis, ["services", "--url", f"{node.url}/nowhere"])
    assert result.exit_code == 4
    assert "data-not-found" in result.stderr


@pytest.mark.parametrize("text", ["\x1b[31mred", "[bold]markup[/bold]"])
def test_what_somebody_registered_cannot_move_the_cursor_of_who_looks(node: RunningNode, text: str) -> None:
    at = "http://10.0.0.1/"
    ask(node, "register", "odd", "--at", at, "--id", "odd-1", "-m", f"k={text}")
    output = ask(node, "instances", "odd").output
    assert "\x1b" not in output
    assert ("[bold]markup[/bold]" in output) == text.startswith("[bold]")
