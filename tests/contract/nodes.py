"""Nodes in processes of their own, started as a user starts them: a file of settings, `artemis serve`, a free port.

A node says in its log where it listens; from then on tests know it by its address only. When it is stopped its log is
looked through: an error or a traceback in it fails the test that started it, whatever the answers were.
"""

import json
import os
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import trio

from artemis.cluster.processes import Child, node_command
from artemis.cluster.topology import encode_toml

from ..pace import PATIENCE_S
from .waiting import POLL_S, eventually

Settings = Mapping[str, Mapping[str, object]]

START_S: Final = PATIENCE_S
STOP_S: Final = PATIENCE_S

REGION: Final = "lab"
ZONE: Final = "zone1"
LEASE_S: Final = 3600

BASE: Final[Settings] = {
    "node": {"region": REGION, "zone": ZONE, "port": 0},
    "data": {"directory": ":memory:"},
    "logging": {"format": "json"},
    "registry": {"lease_ttl_s": LEASE_S, "preservation_min_leases": 1_000_000},
    "rate_limits": {"status": 1_000_000, "operations": {"status.get-leases": 1_000_000}},
}
"""Region and zone of the captured exchanges. What other tests left behind may neither expire under a test nor look
like a catastrophe, and status queries may be asked more often than thirty times in ten seconds."""


def merged(*layers: Settings) -> dict[str, dict[str, object]]:
    """Settings over settings, key by key."""
    sections: dict[str, dict[str, object]] = {}
    for layer in layers:
        for section, values in layer.items():
            sections.setdefault(section, {}).update(values)
    return sections


class NodeProcess:
    """One node. `start` it, ask it, end it; a killed one may be started again on the same data."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings = merged(BASE, settings)
        self.host = ""
        self.port = 0
        self._child = Child(node_command(directory / "artemis.toml"), directory / "node.log")
        self._read = 0
        self._stopping = False

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._child.pid is not None

    @property
    def pid(self) -> int:
        pid = self._child.pid
        assert pid is not None, f"the node is not running:\n{self.log()}"
        return pid

    def launch(self) -> None:
        """Start the process, without waiting for it."""
        (self.directory / "artemis.toml").write_text(encode_toml(self.settings), encoding="utf-8")
        self._read = len(self.events())
        self._child.start()

    def start(self) -> "NodeProcess":
        """Start the process, and return once it says that it listens."""
        self.launch()
        deadline_s = time.monotonic() + START_S
        while (listening := self._listening()) is None:
            assert self._child.pid is not None, f"the node ended with {self._child.exit_code}:\n{self.log()}"
            assert time.monotonic() < deadline_s, f"the node did not listen within {START_S} s:\n{self.log()}"
            select.select([], [], [], POLL_S)
        address = urlsplit(str(listening["url"]))
        self.host, self.port = address.hostname or "", address.port or 0
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._child.signal(number), f"the node is not running:\n{self.log()}"

    async def ended(self, within_s: float = STOP_S) -> int:
        """Wait for the end of the process; its exit code, negative for a signal."""
        with trio.fail_after(within_s):
            code = await self._child.wait()
        assert code is not None
        return code

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    async def is_paused(self) -> None:
        """Return when a SIGSTOP has taken effect."""
        await eventually(lambda: self._stat()[0] == "T")

    def ask_to_stop(self) -> None:
        """Send it SIGTERM, if it runs."""
        self._stopping = self._child.signal(signal.SIGTERM)

    def must_have_stopped(self) -> None:
        """Wait for its end after `ask_to_stop`, and insist on a clean one, and on a clean log."""
        if self._stopping:
            deadline_s = time.monotonic() + STOP_S
            while self._child.pid is not None and time.monotonic() < deadline_s:
                select.select([], [], [], POLL_S)
            clean = self._child.exit_code == 0
            self._child.kill()
            assert clean, f"the node did not stop in order:\n{self.log()}"
        assert not self.complaints(), f"the node complained:\n{self.log()}"

    def stop(self) -> None:
        """End it, politely, and insist on a clean end and a clean log. Does nothing when it has ended."""
        self.ask_to_stop()
        self.must_have_stopped()

    def destroy(self) -> None:
        """End it in whatever state it is; for cleaning up."""
        self._child.kill()

    def log(self) -> str:
        """Everything it wrote."""
        file = self.directory / "node.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def events(self) -> list[dict[str, Any]]:
        """The events of its log. A line that is none is one with its text as message, and of level error."""
        return [_event(line) for line in self.log().splitlines()]

    def complaints(self) -> list[dict[str, Any]]:
        """What should not be in the log of a healthy node."""
        return [event for event in self.events() if event["level"] in ("error", "critical")]

    async def says(self, text: str) -> dict[str, Any]:
        """Wait until an event of its log, since the last start, contains a text."""
        await eventually(lambda: self._said(text) is not None)
        event = self._said(text)
        assert event is not None
        return event

    def resident_bytes(self) -> int:
        """Memory of the process that is in RAM."""
        status = (Path("/proc") / str(self.pid) / "status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def descriptors(self) -> int:
        """Open files and sockets of the process."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _stat(self) -> list[str]:
        return (Path("/proc") / str(self.pid) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()

    def _listening(self) -> dict[str, Any] | None:
        return self._said("listening")

    def _said(self, text: str) -> dict[str, Any] | None:
        return next((event for event in self.events()[self._read :] if text in event["message"]), None)


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {"level": "error", "message": line}
    return event if isinstance(event, dict) else {"level": "error", "message": line}
