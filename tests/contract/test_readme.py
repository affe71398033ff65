"""The README is true: every command in it is run as written, and prints what it says."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..node.running import running_node
from .walkthrough import ROOT, Block, Walkthrough, blocks_of, commands_of, matches

README = ROOT / "README.md"
INSTALL = "pip install . && "
TEST = "pip install -e '.[dev]' && pytest"


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return list(blocks_of(README))


def test_the_first_two_commands_run_a_node_and_the_tests(blocks: list[Block]) -> None:
    (serve,), (test,) = list(commands_of(blocks[0])), list(commands_of(blocks[1]))
    assert serve.text == f"{INSTALL}artemis serve"
    assert test.text == TEST


def test_ci_installs_and_tests_by_these_commands() -> None:
    """They take minutes and need an environment of their own, so CI runs them."""
    ci = "".join((ROOT / ".ci" / name).read_text(encoding="utf-8") for name in ("environment", "run"))
    assert re.search(r"pip\"? install (--quiet )?\.$", ci, re.MULTILINE)
    assert re.search(r"pip install (--quiet )?-e '\.\[dev\]'$", ci, re.MULTILINE)
    assert re.search(r"^pytest\b", ci, re.MULTILINE)


def test_the_tour_is_walked_line_by_line(blocks: list[Block], tmp_path: Path) -> None:
    with running_node(storage=str(tmp_path / "artemis-data")) as node:
        address = urlsplit(node.url).netloc
        announced = f"artemis 0.1.0 listens on {node.url}\n{next(node.lines())}"
        (serve,) = commands_of(blocks[0])
        assert matches(serve.expected.replace("127.0.0.1:8080", address), announced)
        walkthrough = Walkthrough(address, tmp_path)
        try:
            for block in blocks[2:]:
                walkthrough.follow(block)
        finally:
            walkthrough.close()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / target).exists(), target


def test_the_dots_of_expected_output_stand_for_anything_and_the_rest_for_itself() -> None:
    assert matches("a ... c", "a b c\n")
    assert matches("...", "")
    assert not matches("a.c", "abc")
    assert not matches("a ...", "b a c")
