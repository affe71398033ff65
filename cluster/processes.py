"""Child processes that cannot outlive us: nodes as the launcher and the bench start them.

A child leads its own process group, so that Ctrl-C reaches only the launcher, which then stops its nodes in
order; and the kernel kills it when the launcher dies without a farewell.
"""

import ctypes
import errno
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from artemis.node.keys import ENVIRONMENT_PREFIX

PR_SET_PDEATHSIG = 1

PORT_MIN = 10_000
"""Nodes and proxies listen on ports from here to the first one that the kernel uses for outgoing connections."""

GRACE_S = 15.0
"""How long a node may take to stop after SIGTERM; then it is killed."""

_libc = ctypes.CDLL(None, use_errno=True)


def node_command(config_file: Path) -> list[str]:
    """How a node is started."""
    return [sys.executable, "-m", "artemis.node", "serve", "--config", str(config_file)]


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody uses now, and that the kernel gives to nobody.

    Ports for outgoing connections come from a range of their own. A node that listened in it could find its port
    taken when it is restarted; even by somebody who tried to connect to it, and by chance from the same port.
    """
    ports: list[int] = []
    candidates = list(range(PORT_MIN, _outgoing_port_min()))
    random.shuffle(candidates)
    for port in candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(errno.EADDRINUSE, "too few free ports")


def _outgoing_port_min() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])


def clean_environment() -> dict[str, str]:
    """Our environment without settings for a node: a started node is told everything by its file."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}


@dataclass(slots=True)
class Child:
    """One process, started from the main thread of its owner.

    The kernel ties a child's life to the *thread* that started it, so it must not be a worker thread.
    """

    command: Sequence[str]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=clean_environment)
    cores: frozenset[int] | None = None
    """Where it may run; where its owner does unless given."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, of a running process only."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How the last run ended; negative for a signal."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process; its output is appended to the log file."""
        assert self.pid is None, "already running"
        owner = os.getpid()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                preexec_fn=lambda: _after_fork(owner, self.cores),
            )

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process and its children. False when it is not running."""
        pid = self.pid
        if pid is None:
            return False
        os.killpg(pid, number)
        return True

    async def wait(self) -> int | None:
        """Wait until the process has ended."""
        pid = self.pid
        if pid is not None:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                return self.exit_code
            try:
                await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        return self.exit_code

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """End the process: politely, then not. Works on a paused process too."""
        self.signal(signal.SIGCONT)
        if self.signal(signal.SIGTERM):
            with trio.move_on_after(grace_s):
                await self.wait()
        self.kill()

    def kill(self) -> None:
        """End the process now, and reap it."""
        if self.signal(signal.SIGKILL):
            assert self._process is not None
            self._process.wait()


def is_alive(pid: int) -> bool:
    """Whether a process of that id exists."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _after_fork(owner: int, cores: frozenset[int] | None) -> None:
    """In the child, before the program: die with the owner, even if it died meanwhile."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)
    if cores is not None:
        os.sched_setaffinity(0, cores)
