"""A node in a process of its own, started as a user starts it."""

import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..pace import PATIENCE_S


@dataclass(frozen=True)
class RunningNode:
    """A node that has announced itself."""

    url: str
    process: "subprocess.Popen[str]"

    def lines(self) -> Iterator[str]:
        """What it still writes, until it ends."""
        assert self.process.stdout is not None
        yield from self.process.stdout


@contextmanager
def running_node(*flags: str, storage: str = ":memory:") -> Generator[RunningNode, None, None]:
    """`artemis serve` on a free port of loopback, killed at the end if it still runs."""
    command = [sys.executable, "-m", "artemis.node", "serve", "--port", "0", "--data", storage, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            written: list[str] = []
            for line in process.stdout:
                written.append(line)
                if found := re.search(r"listens on (http://\S+)", line):
                    yield RunningNode(found[1], process)
                    return
            raise AssertionError(
                f"the node ended with {process.wait(PATIENCE_S)} before it listened:\n{''.join(written)}"
            )
        finally:
            process.kill()
            process.wait(PATIENCE_S)
