"""The tutorial is true: its two programs find each other, and failures end as it says."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from ..node.running import RunningNode, killed_if_slow, running_node
from ..pace import PATIENCE_S, paced
from .walkthrough import DOCUMENTED_ADDRESS, ROOT

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
LEASE_S = 4


@pytest.fixture(scope="module")
def node() -> Iterator[RunningNode]:
    (flags,) = re.findall(r"^artemis serve (--set \S+)$", TUTORIAL, re.MULTILINE)
    with running_node(*flags.split()) as running:
        yield running


@contextmanager
def program(name: str, node: RunningNode) -> Generator["subprocess.Popen[str]", None, None]:
    """One of the two programs, against a node at another address."""
    (text,) = re.findall(rf"<!-- tutorial: {name} -->\n```python\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)
    adapted = text.replace(DOCUMENTED_ADDRESS, urlsplit(node.url).netloc)
    with subprocess.Popen(
        [sys.executable, "-c", adapted], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    with killed_if_slow(process):
        return process.stdout.readline().rstrip()


def test_the_client_sees_the_service_come_and_go(node: RunningNode) -> None:
    with program("client", node) as client, ExitStack() as stack:
        assert line_of(client) == "snapshot []"
        service = stack.enter_context(program("service", node))
        assert line_of(service) == "registered"
        assert line_of(client) == "changes ['orders-1']"
        service.send_signal(signal.SIGINT)
        assert line_of(client) == "changes []"
        service.wait(PATIENCE_S)

        service = stack.enter_context(program("service", node))
        assert line_of(client) == "changes ['orders-1']"
        service.kill()
        killed_s = time.monotonic()
        assert line_of(client) == "changes []"
        assert time.monotonic() - killed_s < LEASE_S + paced(1.5)
