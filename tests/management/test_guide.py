"""The sessions in docs/management.md: typed as they stand there, they print what stands there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..contract.nodes import NodeProcess
from .commanding import Prompt
from .world import World

GUIDE = Path(__file__).parents[2] / "docs" / "management.md"
SECTIONS = {
    part.partition("\n")[0]: part for part in GUIDE.read_text(encoding="utf-8").split("\n## ") if "```console" in part
}
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Prompt]:
    """A node as it is when nobody has configured anything."""
    node = NodeProcess(tmp_path / "node", {"node": {"region": "default", "zone": "default"}}).start()
    try:
        yield Prompt(World(node, 1), node.url)
        node.stop()
    finally:
        node.destroy()


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)


def commands(section: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a section, and the lines that follow it."""
    for block in blocks(section, "console"):
        for part in re.split(r"^\$ artemis ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.splitlines()
            yield command, output


@pytest.mark.parametrize("section", SECTIONS)
def test_a_session_of_the_guide_goes_as_it_is_told(
    section: str, fresh: Prompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks(section, "toml"):
        Path("orders.toml").write_text(text, encoding="utf-8")
    for command, wanted in commands(section):
        result = fresh.run(*shlex.split(command))
        printed = result.output.splitlines()
        assert [TIME.sub("(time)", line) for line in printed] == [TIME.sub("(time)", line) for line in wanted], command


def test_there_are_sessions_of_a_release_an_evacuation_and_a_file() -> None:
    assert list(SECTIONS) == ["A canary release", "Evacuating a zone", "Rules under version control"]
