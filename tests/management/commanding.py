"""The command line, run as a person or a script would, against the node of a test."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
from click.testing import CliRunner, Result

from artemis.node.cli.app import artemis

from .world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Prompt:
    """Where commands are typed. The tests are plain functions: a command runs an event loop of its own."""

    world: World
    url: str

    def run(self, *arguments: str, given: bytes | None = None) -> Result:
        """Run a command, whatever it answers."""
        environment = {"ARTEMIS_URL": self.url, "ARTEMIS_OPERATOR": "alice"}
        return CliRunner().invoke(artemis, arguments, env=environment, input=given)

    def says(self, *arguments: str, given: bytes | None = None) -> list[str]:
        """The lines that a command prints, which must succeed."""
        result = self.run(*arguments, given=given)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout.splitlines()

    def json(self, *arguments: str) -> Any:
        """What a command prints for scripts."""
        return json.loads("\n".join(self.says(*arguments, "--json")))

    def fails(self, code: int, *arguments: str, given: bytes | None = None) -> str:
        """What a command that fails says on standard error, without the name of the program."""
        result = self.run(*arguments, given=given)
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback" not in result.output
        return result.stderr.removeprefix("artemis: ").rstrip("\n")

    def then(self, work: Callable[[], Awaitable[T]]) -> T:
        """Something over the wire that is no command."""
        return trio.run(work)

    @property
    def key(self) -> str:
        """The beginning of the keys of this test's groups."""
        return f"{self.world.service}:lab:{self.world.zone}"
