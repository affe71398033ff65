"""The reference says what the code does: keys, commands, flags, exit codes, paths, metrics."""

import re
from pathlib import Path

import click
import pytest

from artemis.node.cli import exits
from artemis.node.cli.app import artemis, plugins
from artemis.node.cli.commands import COMMANDS
from artemis.node.composition import open_node
from artemis.node.gauges import publish_server
from artemis.node.reference import configuration_reference
from artemis.node.sources import load, make_config
from artemis.transport.server import ServerStatistics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_reference_of_the_configuration_is_made_from_the_code() -> None:
    """When this fails: `artemis config --markdown`, below the heading "Keys"."""
    assert text_of("reference/configuration.md").partition("## Keys\n\n")[2] == configuration_reference()


@pytest.mark.parametrize("name", ["reference/configuration.md", "how-to/configure.md"])
def test_every_example_file_is_a_valid_configuration(name: str, tmp_path: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)
    assert examples
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef", encoding="utf-8")
    for example in examples:
        file = tmp_path / "artemis.toml"
        file.write_text(example.replace("/etc/artemis/secret", str(secret)), encoding="utf-8")
        load(file=file, environment={})


def test_every_command_is_in_the_reference() -> None:
    text = text_of("reference/cli.md")
    for name in [command.name for command in COMMANDS] + sorted(plugins()):
        assert f"`artemis {name}" in text, name


@pytest.mark.parametrize("name", [command.name for command in COMMANDS if command.area in ("Node", "Registry")])
def test_every_flag_is_in_the_reference(name: str) -> None:
    text = text_of("reference/cli.md")
    command = artemis.get_command(click.Context(artemis), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert any(option in text for option in parameter.opts), parameter.opts


def test_every_exit_code_is_in_the_reference() -> None:
    codes = [value for name, value in vars(exits).items() if name.isupper()]
    assert codes
    for code in codes:
        assert f"| {code} |" in text_of("reference/cli.md")


def normal(path: str) -> str:
    """The path as the reference has it: without the prefix of the RPC API, suffix, and kinds of placeholders."""
    return re.sub(r"\{\w+:", "{", path.removeprefix("/artemis").removesuffix(".json"))


async def test_every_path_is_in_the_reference() -> None:
    http, sockets = text_of("reference/http-api.md"), text_of("reference/websocket.md")
    async with open_node(make_config({"data.directory": ":memory:"}), port=1) as node:
        paths = {normal(route.path) for route in node.routes}
        socket_paths = {route.path for route in node.sockets}
    for path in sorted(paths):
        folder, _, name = path.rpartition("/")
        names = (f"`{name}`", f"/{name}`", f"`{name}.json`", f"/{name}.json`")
        assert any(each in http for each in names), path
        assert f"{folder}/" in http, path
    for path in sorted(socket_paths):
        assert path in sockets or path.startswith("/internal"), path


async def test_every_metric_that_the_guide_names_exists() -> None:
    async with open_node(make_config({"data.directory": ":memory:"}), port=1) as node:
        node.metrics.requests.request("heartbeat", 200, "success", 0.001)
        publish_server(node.metrics, lambda: ServerStatistics(0, 0, 0, 0, 0, 0, 0, 0))
        page = node.metrics.expose()[0].decode()
    named = set(re.findall(r"`(artemis_\w+|process_\w+)", text_of("how-to/monitor.md")))
    assert len(named) > 10
    for name in named:
        assert name in page, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
