"""The state directory of a running cluster: configurations, data, logs, and the socket that controls it."""

import os
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEFAULT_STATE = Path(".artemis-cluster")

MARKER = "cluster.toml"
"""The file by which a directory is known as ours; nothing else is ever removed."""


class StateError(Exception):
    """The state directory does not allow what was asked, with the reason."""


@dataclass(frozen=True, slots=True)
class State:
    """Where things are."""

    directory: Path

    @property
    def marker(self) -> Path:
        return self.directory / MARKER

    @property
    def supervisor_log(self) -> Path:
        return self.directory / "supervisor.log"

    def home(self, name: str) -> Path:
        """The directory of one node."""
        return self.directory / "nodes" / name

    def config_file(self, name: str) -> Path:
        return self.home(name) / "artemis.toml"

    def data_directory(self, name: str) -> Path:
        return self.home(name) / "data"

    def log_file(self, name: str) -> Path:
        return self.home(name) / "node.log"

    def create(self, names: tuple[str, ...]) -> None:
        """Make the directory. Refuses one that runs a cluster, or that holds anything but the rest of one."""
        if self.is_running():
            raise StateError(f"{self.directory}: a cluster runs here already; stop it with: artemis cluster down")
        if self.directory.exists() and any(self.directory.iterdir()) and not self.marker.exists():
            raise StateError(f"{self.directory}: is not empty, and no cluster made it; choose another with --state")
        for name in names:
            self.home(name).mkdir(parents=True, exist_ok=True)
        self.marker.write_text("# A local Artemis cluster keeps its state here.\n", encoding="utf-8")
        with self.control_address() as address:
            Path(address).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the directory with everything in it, if it is ours."""
        if self.marker.exists():
            shutil.rmtree(self.directory)

    def is_running(self) -> bool:
        """Whether somebody answers on the control socket."""
        try:
            with self.connect():
                return True
        except StateError:
            return False

    def connect(self) -> socket.socket:
        """A connection to whoever runs the cluster; raises `StateError` when nobody does."""
        control = socket.socket(socket.AF_UNIX)
        try:
            with self.control_address() as address:
                control.connect(address)
        except OSError:
            control.close()
            raise StateError(f"{self.directory}: no cluster runs here; start one with: artemis cluster up") from None
        return control

    @contextmanager
    def control_address(self) -> Generator[str]:
        """The path of the control socket, short enough for the kernel however deep the directory is."""
        descriptor = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}/control.sock"
        finally:
            os.close(descriptor)
