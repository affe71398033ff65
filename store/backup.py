"""Backup and restore of what operators decided: one file, complete, of one moment.

A backup holds the management file only. Instances are not in it on purpose: a restored node must not hand out the
instances of last week; the living ones register themselves, or come from the peers.
"""

import os
from pathlib import Path
from typing import Final

import apsw

from .database import INSTANCES_NAME, MANAGEMENT_NAME
from .journal import renew_identity
from .lock import LOCK_NAME, DirectoryLock
from .migrations import MANAGEMENT, verify, version_of
from .private import create_private
from .sqlite import BUSY_TIMEOUT_MS, DatabaseProblem, check, explained, sync_directory

PARTIAL_SUFFIX: Final = ".partial"
"""A copy in the making; it is removed, or overwritten by the next attempt."""

REPLACED_SUFFIX: Final = ".replaced"
"""What a restore put aside. The next restore overwrites it."""

CHECK_S: Final = 600.0
"""How long the check of a copy may take. Here nobody waits for an answer."""


def backup(directory: Path | str, target: Path | str, *, overwrite: bool = False) -> None:
    """Copy the management file of a data directory to a file, which gets its name when it is complete and checked.

    A node may be running on the directory: it is neither stopped nor slowed down, and every write that it had
    answered when this was called is in the copy.
    """
    source, target = Path(directory) / MANAGEMENT_NAME, Path(target)
    if not source.is_file():
        raise DatabaseProblem(source, "there is no such file", "Check the path of the data directory")
    if target.name in {MANAGEMENT_NAME, INSTANCES_NAME, LOCK_NAME} and _is_same(target.parent, source.parent):
        raise DatabaseProblem(target, "a backup would overwrite live data", "Choose another name")
    if target.exists() and not overwrite:
        raise DatabaseProblem(
            target, "there is such a file already", "Choose another name, or overwrite it with --force"
        )
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    _copy(source, partial)
    _put_in_place(partial, target)


def restore(file: Path | str, directory: Path | str) -> None:
    """Make a data directory hold what a backup holds; raises `DatabaseProblem`, having changed nothing, when it cannot.

    Refused while a node holds the directory. What was there before is kept with the suffix `.replaced`. The data get a
    new identity, so that the node does not number its audits as the one did that the backup was made of.
    """
    source, directory = Path(file), Path(directory)
    if not source.is_file():
        raise DatabaseProblem(source, "there is no such file", "Check the path of the backup")
    lock = DirectoryLock(directory)
    try:
        target = directory / MANAGEMENT_NAME
        partial = target.with_name(target.name + PARTIAL_SUFFIX)
        _copy(source, partial, renewed=True)
        with explained(directory):
            for suffix in ("", "-wal", "-shm"):
                old = target.with_name(target.name + suffix)
                if old.exists():
                    old.replace(target.with_name(f"{target.name}{REPLACED_SUFFIX}{suffix}"))
                else:
                    target.with_name(f"{target.name}{REPLACED_SUFFIX}{suffix}").unlink(missing_ok=True)
        _put_in_place(partial, target)
    finally:
        lock.close()


def _copy(source: Path, target: Path, *, renewed: bool = False) -> None:
    """A checked copy, in one file without a write-ahead log, on the disk."""
    try:
        with explained(source):
            origin = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                origin.set_busy_timeout(BUSY_TIMEOUT_MS)
                verify(origin, MANAGEMENT, source)
                if version_of(origin) == 0:
                    raise DatabaseProblem(source, "there is nothing in it", "Check the path")
                _copy_into(origin, target, source, renewed=renewed)
            finally:
                origin.close()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy_into(origin: apsw.Connection, target: Path, source: Path, *, renewed: bool) -> None:
    if not target.parent.is_dir():
        raise DatabaseProblem(target.parent, "there is no such directory", "Check the path of the backup")
    with explained(target):
        target.unlink(missing_ok=True)
        create_private(target)
        copy = apsw.Connection(str(target))
        try:
            with copy.backup("main", origin, "main") as copying:
                copying.step()  # all pages at once: one moment, and no restart however busy the node is
            copy.pragma("journal_mode", "delete")
            check(copy, source, limit_s=CHECK_S)  # damage that was copied is the source's
            if renewed:
                renew_identity(copy)
        finally:
            copy.close()


def _put_in_place(partial: Path, target: Path) -> None:
    with explained(target):
        descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(target)
        sync_directory(target.parent)


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
