"""A setting that nobody reads is a lie: every key must be used by some code that is not about configuration itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from artemis.node.config import RATE_LIMITED_OPERATIONS
from artemis.node.keys import all_keys

ROOT = Path(__file__).parents[2]
PARTS = ("node", "actors", "transport", "store", "cluster")
ABOUT_CONFIGURATION = {"config.py", "checks.py", "keys.py"}

READ_WHILE_LOADING = {"cluster.secret", "cluster.secrets", "cluster.secret_file", "node.id"}
"""Their value has done its work once the configuration is built, or is read through a method of it."""

WAITING: set[str] = set()
"""Declared for a part that is about to read them. Empty before a release."""


def attributes_read() -> Iterator[tuple[str, str]]:
    """Every `section.field` in the code, whether it says `config.section.field` or has the section in a variable."""
    for part in PARTS:
        for file in sorted((ROOT / part).rglob("*.py")):
            if part == "node" and file.name in ABOUT_CONFIGURATION:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Attribute(value=ast.Name(id=section), attr=field):
                        yield section, field
                    case ast.Attribute(value=ast.Attribute(attr=section), attr=field):
                        yield section, field
                    case _:
                        pass


@pytest.fixture(scope="module")
def read() -> set[tuple[str, str]]:
    return set(attributes_read())


def is_read(name: str, read: set[tuple[str, str]]) -> bool:
    """A field of one section only may be read through any variable; one of several must name its section."""
    key = all_keys()[name]
    if (key.section, key.field) in read:
        return True
    if key.section == "rate_limits" and ("rate_limits", "limit_of") in read:
        return key.field in {*RATE_LIMITED_OPERATIONS, "operations"}
    namesakes = [other for other in all_keys().values() if other.field == key.field]
    return len(namesakes) == 1 and any(field == key.field for _, field in read)


@pytest.mark.parametrize("name", sorted(all_keys().keys() - READ_WHILE_LOADING))
def test_every_key_is_read_by_some_code(read: set[tuple[str, str]], name: str) -> None:
    if name in WAITING:
        pytest.xfail("declared for a part that is about to read it")
    assert is_read(name, read)


def test_a_key_that_nobody_reads_would_be_noticed() -> None:
    assert not is_read("cluster.anti_entropy_interval_s", {("links", "anti_entropy_s")})
    assert not is_read("management.enabled", {("rate_limits", "enabled")})
