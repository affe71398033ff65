"""How every SQLite file is opened, checked and written, and what its troubles are called in plain words."""

import errno
import os
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, cast

import apsw

MEMORY: Final = ":memory:"
"""The path that means: keep it in memory, forget it at the end."""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long a statement waits for another process (a backup, a curious operator) before it gives up, at start."""

RETRIED_BUSY_TIMEOUT_MS: Final = 1_000
"""The same while the node runs: whoever is refused then tries again."""

WAL_BYTES_MAX: Final = 16 << 20
"""A write-ahead log that grew beyond this, by a burst or a reader that kept it, is cut when it has been folded in."""

CHECK_S: Final = 2.0
"""How long the check at start may take. A file so large that it takes longer is opened with the check unfinished."""

CHECK_STEPS: Final = 10_000
"""Instructions of SQLite's machine between two looks at the clock during a check."""

ROWS_MAX: Final = 1_024
"""Rows in one statement; more become several statements."""

Synchronous = Literal["NORMAL", "FULL"]

Value = str | bytes | int | float | None

Values = tuple[Value, ...]
"""Parameters, or a row."""


class DatabaseProblem(Exception):
    """A file cannot be used. The message names the file, the cause, and what the operator can do."""

    def __init__(self, file: str | Path, cause: str, remedy: str) -> None:
        super().__init__(f"{file}: {cause}. {remedy}")
        self.file = str(file)
        self.cause = cause
        self.remedy = remedy


class DatabaseUnavailable(DatabaseProblem):
    """A file is whole, but cannot be written now: it is locked, or its disk is full. Nothing was stored; try again."""


DAMAGED_REMEDY: Final = (
    "Keep a copy of it for study, then put a backup in its place with `artemis restore`; "
    "or move it away with its -wal file to begin with nothing"
)


FULL_BELOW_BYTES: Final = 1_000_000
"""A disk with less room than this is called full when a write to it fails."""

FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

FULL_REMEDY: Final = "Make room on that disk"
LOCKED_REMEDY: Final = "Find it with `fuser` or `lsof`, and end it"
ACCESS_REMEDY: Final = "Check that the path is right and that the user of this process may write there"


def connect(path: Path | str, *, synchronous: Synchronous) -> apsw.Connection:
    """Open a file for this process alone to write, or memory. What SQLite says is explained by `explained`."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        mode = connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", synchronous)
        connection.pragma("journal_size_limit", WAL_BYTES_MAX)
    except BaseException:
        connection.close()
        raise
    if mode not in {"wal", "memory"}:
        connection.close()
        raise DatabaseProblem(path, "its file system does not support SQLite's write-ahead log", ACCESS_REMEDY)
    return connection


def check(connection: apsw.Connection, file: str | Path, *, limit_s: float = CHECK_S) -> bool:
    """Look through the whole file for damage. False when the time was up first; damage is a `DatabaseProblem`."""
    until_s = time.monotonic() + limit_s
    connection.set_progress_handler(lambda: time.monotonic() > until_s, CHECK_STEPS)
    try:
        findings = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except apsw.InterruptError:
        return False
    finally:
        connection.set_progress_handler(None)
    if findings != ["ok"]:
        lines = [line for finding in findings for line in finding.splitlines() if not line.startswith("***")]
        raise DatabaseProblem(file, f"the file is damaged ({'; '.join(lines[:3])})", DAMAGED_REMEDY)
    return True


@contextmanager
def explained(file: str | Path, connection: apsw.Connection | None = None) -> Generator[None, None, None]:
    """Turn what SQLite and the system say about a file into a `DatabaseProblem`; our own mistakes pass through.

    It is a `DatabaseUnavailable` when time or an operator may mend it and the file is whole.
    """
    try:
        yield
    except apsw.FullError as error:
        raise _full(file, error) from error
    except apsw.NotADBError as error:
        cause = f"it is not an SQLite database, or its beginning is damaged ({error})"
        raise DatabaseProblem(file, cause, DAMAGED_REMEDY) from error
    except apsw.CorruptError as error:
        raise DatabaseProblem(file, f"the file is damaged ({error})", DAMAGED_REMEDY) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        cause = f"another process keeps it locked ({error})"
        raise DatabaseUnavailable(file, cause, LOCKED_REMEDY) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        raise DatabaseProblem(file, f"it cannot be opened for writing ({error})", ACCESS_REMEDY) from error
    except apsw.IOError as error:
        # Some calls of SQLite name a full disk so, and a quota, and a limit of the process, always.
        system_errno = 0 if connection is None else connection.system_errno
        if system_errno in FULL_ERRNOS:
            cause = f"the disk is full ({os.strerror(system_errno)})"
            raise DatabaseUnavailable(file, cause, FULL_REMEDY) from error
        if _free_bytes(file) < FULL_BELOW_BYTES:
            raise _full(file, error) from error
        cause = f"reading or writing it failed ({error})"
        raise DatabaseProblem(file, cause, "Check the disk and the system's log, then start again") from error
    except OSError as error:
        cause = f"{error.strerror or error}"
        if error.errno in FULL_ERRNOS:
            raise DatabaseUnavailable(error.filename or file, cause, FULL_REMEDY) from error
        raise DatabaseProblem(error.filename or file, cause, ACCESS_REMEDY) from error


@contextmanager
def transaction(connection: apsw.Connection) -> Generator[None, None, None]:
    """All of the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class RowStatement:
    """A statement over many rows that SQLite runs in one step.

    `executemany` comes back to Python after each row, and under a busy event loop each return waits for the interpreter
    lock while the transaction stays open (docs/decisions/sqlite-layout.md has the numbers). Here all rows of a
    statement are bound at once. The number of rows is split into powers of two, so that there are few different texts
    and SQLite's prepared statements are found again.
    """

    def __init__(self, before: str, row: str, after: str) -> None:
        self._columns = row.count("?")
        assert self._columns > 0
        self._texts = {
            1 << power: before + ",".join([row] * (1 << power)) + after for power in range(ROWS_MAX.bit_length())
        }

    def execute(self, connection: apsw.Connection, values: Sequence[Value]) -> None:
        """Run it over the values of all rows, one row after the other in one flat sequence."""
        row_count, rest = divmod(len(values), self._columns)
        assert rest == 0, "the last row is incomplete"
        done = 0
        while done < row_count:
            size = min(ROWS_MAX, 1 << (row_count - done).bit_length() - 1)
            connection.execute(self._texts[size], values[done * self._columns : (done + size) * self._columns])
            done += size


class OpenFile:
    """One connection and the file behind it. Any thread may call; calls take turns."""

    def __init__(self, connection: apsw.Connection, file: Path) -> None:
        self.file = file
        self._connection = connection
        self._turn = threading.Lock()
        self._identity = None if str(file) == MEMORY else _identity(file)
        connection.set_busy_timeout(RETRIED_BUSY_TIMEOUT_MS)

    @contextmanager
    def use(self) -> Generator[apsw.Connection, None, None]:
        """The connection, for one statement that is a transaction by itself.

        A file that was removed or replaced would take every write and keep none: it is a `DatabaseProblem`.
        """
        with self._turn, explained(self.file, self._connection):
            if self._identity is not None and _identity(self.file) != self._identity:
                raise DatabaseProblem(
                    self.file,
                    "the file was removed or replaced while it was in use",
                    "Put it back, or restore a backup, and start again",
                )
            yield self._connection

    @contextmanager
    def write(self) -> Generator[apsw.Connection, None, None]:
        """The connection, for one transaction."""
        with self.use() as connection, transaction(connection):
            yield connection

    def pages(self, statement: str, first: Values, size: int) -> Iterator[list[Values]]:
        """Run a statement page by page: it ends in `LIMIT ?` and begins after the key in its first parameters.

        The key is also what the first columns of its rows hold. Others have their turn between two pages.
        """
        after = first
        while True:
            with self.use() as connection:
                page = cast(list[Values], connection.execute(statement, (*after, size)).fetchall())
            if page:
                yield page
            if len(page) < size:
                return
            after = page[-1][: len(first)]

    def tidy(self) -> None:
        """See that the file is there, and fold in a write-ahead log that grew, if no foreign reader needs it.

        SQLite does so at a commit only, and never while somebody reads: one forgotten reader, and the log stays large.
        """
        log = self.file.with_name(f"{self.file.name}-wal")
        with self.use() as connection:
            if self._identity is None or not log.exists() or log.stat().st_size <= WAL_BYTES_MAX:
                return
            connection.set_busy_timeout(0)
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except apsw.BusyError:
                pass  # somebody still reads; the next time
            finally:
                connection.set_busy_timeout(RETRIED_BUSY_TIMEOUT_MS)

    def close(self) -> None:
        """The last use. SQLite folds the write-ahead log into the file."""
        with self._turn, explained(self.file, self._connection):
            self._connection.close()


def sync_directory(directory: Path) -> None:
    """Make names given and taken in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full(file: str | Path, error: apsw.Error) -> DatabaseUnavailable:
    cause = f"the disk is full ({error}, {_free_bytes(file) // 1_000_000} MB are free)"
    return DatabaseUnavailable(file, cause, FULL_REMEDY)


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file a path leads to now; None when there is none."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _free_bytes(file: str | Path) -> int:
    try:
        status = os.statvfs(Path(file).parent)
    except OSError:
        return FULL_BELOW_BYTES  # nobody knows; do not blame the room
    return status.f_bavail * status.f_frsize
