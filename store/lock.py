"""The lock of a data directory: one process at a time, and the next one is told who has it."""

import fcntl
import os
from pathlib import Path
from typing import Final

from .sqlite import DatabaseProblem, explained

LOCK_NAME: Final = "artemis.lock"


class DirectoryLock:
    """Held from construction to `close`, or to the end of the process, however it ends.

    The file stays when the lock is released: were it removed, two processes could each lock a file of that name.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with explained(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode=0o600)
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Let the next process in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise DatabaseProblem(
                self.directory,
                f"the data directory is in use by process {holder}",
                "Stop that process, or give this one a directory of its own (--data)",
            ) from None
        with explained(self.directory):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
