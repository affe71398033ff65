"""A mutant: one bug, planted in a copy of the source, and the tests that must notice it."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from os import environ, pathsep
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CATALOGUE: Final = Path(__file__).with_name("mutants.toml")
PARTS: Final = ("node", "actors", "transport", "store", "cluster")
TEST_S: Final = 600.0
"""A mutant that hangs its tests has been noticed."""

PASSED: Final = 0
FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug, as the text that becomes another one."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Node ids of pytest, as few as show it."""

    def problem(self) -> str | None:
        """Why this mutant cannot be planted; None when it can."""
        source = ROOT / self.file
        count = source.read_text(encoding="utf-8").count(self.old) if source.exists() else 0
        if count != 1:
            return f"{self.file} holds the text {count} times: the source has changed, and the mutant must follow"
        if self.old == self.new:
            return "it changes nothing"
        missing = [test for test in self.tests if not (ROOT / test.split("::")[0]).exists()]
        return f"there is no {missing[0]}" if missing else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said of a mutant."""

    mutant: Mutant
    is_noticed: bool
    output: str


def load(catalogue: Path = CATALOGUE) -> list[Mutant]:
    """All mutants, in the order of the catalogue."""
    rows = tomllib.loads(catalogue.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(row["name"], row["file"], row["old"], row["new"], tuple(row["tests"])) for row in rows]


def copy_of_the_source(directory: Path) -> Path:
    """The source and its tests in a directory of their own, to be spoilt at will."""
    for part in (*PARTS, "tests", "docs"):
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, directory / file)
    package = directory / "build" / "dev" / "artemis"
    package.mkdir(parents=True)
    for part in PARTS:
        (package / part).symlink_to(directory / part, target_is_directory=True)
    return directory


def judge(mutant: Mutant, copy: Path) -> Verdict:
    """Plant the mutant in the copy, run its tests, and mend the copy again."""
    source = copy / mutant.file
    healthy = source.read_text(encoding="utf-8")
    source.write_text(healthy.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        code, output = run_tests(mutant.tests, copy)
    finally:
        source.write_text(healthy, encoding="utf-8")
    # Anything but "a test failed" (a syntax error, no such test) shows that the mutant, not the node, is broken.
    if code not in (PASSED, FAILED):
        raise RuntimeError(f"the tests of the mutant {mutant.name!r} cannot be run:\n{output}")
    return Verdict(mutant, is_noticed=code == FAILED, output=output)


def run_tests(tests: Iterable[str], copy: Path) -> tuple[int, str]:
    """Exit code and output of pytest on the copy, until the first failure."""
    paths = [str(copy / "build" / "dev"), environ.get("PYTHONPATH", "")]
    variables = {**environ, "PYTHONPATH": pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        ran = subprocess.run(
            command, cwd=copy, env=variables, capture_output=True, text=True, timeout=TEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return FAILED, "the tests did not end"
    return ran.returncode, ran.stdout + ran.stderr
