"""A node in a process of its own, started as a user starts it."""

import re
import subprocess
import sys
import threading
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
def killed_if_slow(process: "subprocess.Popen[str]") -> Generator[None, None, None]:
    """Kill a process when the block takes too long, so that what is read from its pipes there ends."""
    killer = threading.Timer(PATIENCE_S, process.kill)
    killer.start()
    try:
        yield
    finally:
        killer.cancel()
        killer.join()


@contextmanager
def running_node(*flags: str, storage: str = ":memory:") -> Generator[RunningNode, None, None]:
    """`artemis serve` on a free port of loopback, killed at the end if it still runs."""
    command = [sys.executable, "-m", "artemis.node", "serve", "--port", "0", "--data", storage, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            with killed_if_slow(process):
                url = _announced(process)
            yield RunningNode(url, process)
        finally:
            process.kill()
            process.wait(PATIENCE_S)


def _announced(process: "subprocess.Popen[str]") -> str:
    """The address that the node says it listens on."""
    assert process.stdout is not None
    written: list[str] = []
    for line in process.stdout:
        written.append(line)
        if found := re.search(r"listens on (http://\S+)", line):
            return found[1]
    raise AssertionError(f"the node ended with {process.wait(PATIENCE_S)} before it listened:\n{''.join(written)}")
