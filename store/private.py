"""Files that only their owner may read: what operators decided, and secrets that clients put into metadata."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def create_private(file: Path) -> None:
    """Make an empty file that nobody else may read, whatever the umask; one that is there is left as it is."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        if os.fstat(descriptor).st_size == 0:
            os.fchmod(descriptor, FILE_MODE)
    finally:
        os.close(descriptor)


def keep_private(directory: Path, names: Iterable[str]) -> list[str]:
    """Take away the rights that others have to files whose name begins so, and to their directory.

    A directory that holds other files, too, is left as it is. Returns what could not be done, as texts.
    """
    beginnings = tuple(names)
    ours = [path for path in directory.iterdir() if path.name.startswith(beginnings)]
    problems = [problem for path in ours if (problem := _restrict(path, FILE_MODE))]
    problem = ""
    if len(ours) == len(list(directory.iterdir())):
        problem = _restrict(directory, DIRECTORY_MODE)
    elif os.stat(directory).st_mode & 0o777 & ~DIRECTORY_MODE:
        problem = f"{directory} may be entered by others; it holds other files, too, so its rights are left as they are"
    return [*problems, problem] if problem else problems


def _restrict(path: Path, mode: int) -> str:
    try:
        if os.stat(path).st_mode & 0o777 & ~mode:
            os.chmod(path, mode)
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"{path} may be read by others, and that cannot be changed: {error.strerror}"
    return ""
