"""Documents whose examples are executed: blocks of a Markdown file, and the comparison of what they print.

A `sh` block is a terminal session: what follows `$ ` is run, the lines below are what it must print. A `python` block
is a program that stays running; a `json` block is the next line that the latest program must print. In expected
output `...` stands for anything.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..node.running import killed_if_slow
from ..pace import PATIENCE_S

ROOT = Path(__file__).parents[2]
DOCUMENTED_ADDRESS = "127.0.0.1:8080"


@dataclass(frozen=True)
class Block:
    """A fenced block and the line it begins at."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """One line of a session, and what it must print."""

    text: str
    expected: str
    line: int


def blocks_of(document: Path) -> Iterator[Block]:
    """The fenced blocks of a Markdown file, in order."""
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a terminal session."""
    lines = block.text.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        expected = "\n".join(lines[start + 1 : end])
        yield Command(lines[start].removeprefix("$ "), expected, block.line + start + 1)


def matches(expected: str, printed: str) -> bool:
    """Whether the text is the expected one, where `...` is anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Walkthrough:
    """A person who types what a document says, with the node at another address."""

    def __init__(self, address: str, directory: Path) -> None:
        self._address = address
        self._directory = directory
        self._programs: list[subprocess.Popen[str]] = []
        self.environment: Mapping[str, str] = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ARTEMIS_URL": f"http://{address}",
        }

    def follow(self, block: Block) -> None:
        """Do what the block says; raises AssertionError that names the line of the document."""
        match block.language:
            case "sh":
                for command in commands_of(block):
                    self._run(command)
            case "python":
                program = self._adapted(block.text)
                self._programs.append(
                    subprocess.Popen(
                        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=self.environment
                    )
                )
            case "json":
                output = self._programs[-1].stdout
                assert output is not None
                with killed_if_slow(self._programs[-1]):
                    printed = output.readline()
                assert matches(block.text, printed), f"line {block.line} expects\n{block.text}\nand not\n{printed}"
            case _:
                pass

    def close(self) -> None:
        """End the programs that still run."""
        for program in self._programs:
            program.kill()
            program.communicate()

    def _run(self, command: Command) -> None:
        done = subprocess.run(
            ["bash", "-c", self._adapted(command.text)],
            cwd=self._directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert matches(command.expected, printed), (
            f"line {command.line}: {command.text}\nmust print\n{command.expected}\nand not\n{printed}"
        )

    def _adapted(self, text: str) -> str:
        return text.replace(DOCUMENTED_ADDRESS, self._address)
