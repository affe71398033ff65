"""The style that linters cannot see: one owner of broad excepts, no sleeping, long functions do not grow."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("node", "actors", "transport", "store", "cluster")
SOURCES = sorted(file for part in PARTS for file in (ROOT / part).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAY_CATCH_EVERYTHING = {
    "actors/supervisor.py": "an actor that crashed is rebuilt",
    "cluster/simulation/simulation.py": "a seed that crashes is told like one that fails, and the hunt goes on",
    "transport/server.py": "one connection's failure is not the node's",
}
"""Where a broad except is the point. One more entry is a decision."""

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 420


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def uses_of_time(file: Path, *, names: set[str]) -> Iterator[str]:
    """Where these functions of the module `time` are named."""
    for node in ast.walk(parse(file)):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr=name) if name in names:
                yield f":{node.lineno} uses time.{name}"
            case _:
                pass


def nobody(offends: Callable[[Path], Iterator[str]], files: Iterable[Path]) -> None:
    """Fail with whatever is wrong in these files, each offence with its place."""
    found = [f"{name_of(file)}{offence}" for file in files for offence in offends(file)]
    assert not found, "\n".join(found)


def test_a_module_begins_with_the_sentence_that_says_what_it_owns() -> None:
    def silent(file: Path) -> Iterator[str]:
        if not ast.get_docstring(parse(file)):
            yield " has no docstring"

    nobody(silent, SOURCES)


def test_parts_are_imported_by_their_full_name() -> None:
    """`import store` works from a checkout, and would give every class a twin."""

    def twins(file: Path) -> Iterator[str]:
        for node in ast.walk(parse(file)):
            match node:
                case ast.Import(names=aliases):
                    names = [alias.name for alias in aliases]
                case ast.ImportFrom(module=module, level=0):
                    names = [module or ""]
                case _:
                    continue
            for name in names:
                if name.split(".")[0] in PARTS:
                    yield f":{node.lineno} imports {name}; write artemis.{name}"

    nobody(twins, SOURCES + TESTS)


def test_inside_a_part_imports_are_relative() -> None:
    def absolute(file: Path) -> Iterator[str]:
        own = f"artemis.{name_of(file).split('/')[0]}"
        for node in ast.walk(parse(file)):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                if node.module == own or node.module.startswith(own + "."):
                    yield f":{node.lineno} imports {node.module}"

    nobody(absolute, SOURCES)


def test_only_a_boundary_catches_everything() -> None:
    def broad(file: Path) -> Iterator[str]:
        for node in ast.walk(parse(file)):
            match node:
                case ast.ExceptHandler(type=None) | ast.ExceptHandler(type=ast.Name(id="Exception")):
                    yield f":{node.lineno} catches everything"
                case _:
                    pass

    nobody(broad, (file for file in SOURCES if name_of(file) not in MAY_CATCH_EVERYTHING))


def test_nobody_sleeps_on_the_thread() -> None:
    nobody(partial(uses_of_time, names={"sleep"}), SOURCES + TESTS)


def test_functions_and_modules_fit_a_head() -> None:
    def large(file: Path) -> Iterator[str]:
        lines = file.read_text(encoding="utf-8").count("\n")
        if lines > MODULE_LINES_MAX:
            yield f" has {lines} lines"
        for function in functions(parse(file)):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f":{function.lineno} {function.name} has {length} lines"

    nobody(large, SOURCES)


def test_time_of_day_is_read_in_one_place_only() -> None:
    """Simulations have clocks of their own; whoever reads the machine's escapes them. The fast lane dates answers."""
    free = ("actors/clock.py", "transport/plans.py", "cluster/", "node/", "transport/client/")
    bound = (file for file in SOURCES if not name_of(file).startswith(free))
    nobody(partial(uses_of_time, names={"time", "time_ns"}), bound)


def test_every_part_says_that_it_is_typed() -> None:
    assert all((ROOT / part / "py.typed").exists() for part in PARTS)


def test_every_dependency_has_a_reason_written_down() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=~! ]", requirement)[0].lower() for requirement in wanted}
    decisions = "\n".join(file.read_text(encoding="utf-8").lower() for file in (ROOT / "docs/decisions").glob("*.md"))
    missing = sorted(name for name in names if name not in decisions)
    assert not missing, f"no decision in docs/decisions names {', '.join(missing)}"


def test_the_folders_are_those_that_were_prescribed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    tracked = listed.splitlines()
    folders = {path.split("/")[0] for path in tracked if "/" in path and not path.startswith(".")}
    assert folders <= {*PARTS, "tests", "docs"}, f"unexpected folders: {folders - {*PARTS, 'tests', 'docs'}}"
