"""The files of a node while it runs: whose they are, how large they stay, and what is said of them."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from artemis.store import database as database_module
from artemis.store.backup import backup
from artemis.store.database import open_database
from artemis.store.journal import version_bytes
from artemis.store.management.records import Record
from artemis.store.sqlite import WAL_BYTES_MAX, DatabaseProblem, DatabaseUnavailable

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
print("held", flush=True)
sys.stdin.readline()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: mode(path) for path in directory.iterdir()}


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_only_the_owner_may_read_data_and_backups_whatever_the_umask(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with open_database(data) as database:
        database.journal.write([Record("kind", "key", 1, b"secret")], [])
        database.snapshot.write([], ["s\ni", version_bytes(1), b"{}", 0])
        assert mode(data) == 0o700
        assert set(modes(data)) >= {"artemis.db", "artemis.db-wal", "instances.db", "instances.db-wal", "artemis.lock"}
        assert set(modes(data).values()) == {0o600}
        backup(data, tmp_path / "file.backup")
    assert mode(tmp_path / "file.backup") == 0o600


def test_what_an_earlier_release_left_open_is_closed_at_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    open_database(data).close()
    data.chmod(0o755)
    for path in data.iterdir():
        path.chmod(0o644)
    with open_database(data) as database:
        assert (mode(data), set(modes(data).values()), database.remarks) == (0o700, {0o600}, [])


def test_a_directory_that_holds_other_things_keeps_its_rights_and_that_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "of somebody else").touch(0o644)
    with open_database(tmp_path) as database:
        (remark,) = database.remarks
    assert "holds other files" in remark
    assert (mode(tmp_path), mode(tmp_path / "of somebody else")) == (0o755, 0o644)
    assert mode(tmp_path / "artemis.db") == 0o600


def test_a_check_that_ran_out_of_time_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(tmp_path / "data").close()
    monkeypatch.setattr(database_module, "check", lambda connection, file: False)
    with open_database(tmp_path / "data") as database:
        assert len(database.remarks) == 2
        assert all("not finished in 2 s" in remark and "artemis backup" in remark for remark in database.remarks)
        assert {"artemis.db" in database.remarks[0], "instances.db" in database.remarks[1]} == {True}


def test_a_file_that_is_locked_is_unavailable_and_not_damaged(tmp_path: Path) -> None:
    with open_database(tmp_path / "data") as database:
        with Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "data" / "artemis.db"), "BEGIN IMMEDIATE"],
            stdin=PIPE,
            stdout=PIPE,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(DatabaseUnavailable, match=r"artemis.db: another process keeps it locked.*fuser"):
                database.journal.write([Record("kind", "key", 1, b"value")], [])
            holder.communicate(b"\n")
        database.journal.write([Record("kind", "key", 1, b"value")], [])
        assert [record.key for record in database.journal.load_records()] == ["key"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_vanished_is_a_problem_that_no_retry_mends(tmp_path: Path, *, replaced: bool) -> None:
    with open_database(tmp_path / "data") as database:
        file = tmp_path / "data" / "artemis.db"
        file.rename(tmp_path / "elsewhere")
        if replaced:
            file.write_bytes((tmp_path / "elsewhere").read_bytes())
        for use in (database.journal.tidy, lambda: database.journal.write([Record("kind", "key", 1, b"value")], [])):
            with pytest.raises(DatabaseProblem, match="removed or replaced") as caught:
                use()
            assert not isinstance(caught.value, DatabaseUnavailable)


def test_a_log_that_a_foreign_reader_made_grow_shrinks_when_it_has_left(tmp_path: Path) -> None:
    log = tmp_path / "data" / "artemis.db-wal"
    with open_database(tmp_path / "data") as database:
        with Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "data" / "artemis.db"), "BEGIN"], stdin=PIPE, stdout=PIPE
        ) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"held\n"
            for number in range(40):
                database.journal.write([Record("kind", f"{number}", number, bytes(600_000))], [])
            assert log.stat().st_size > WAL_BYTES_MAX
            database.journal.tidy()
            assert log.stat().st_size > WAL_BYTES_MAX, "somebody reads what is in it"
            reader.communicate(b"\n")
        database.journal.tidy()
        assert log.stat().st_size == 0
        database.journal.write([Record("kind", "after", 1, b"value")], [])
    with open_database(tmp_path / "data") as database:
        assert len(list(database.journal.load_records())) == 41


def test_a_burst_leaves_no_large_log_behind(tmp_path: Path) -> None:
    log = tmp_path / "data" / "artemis.db-wal"
    with open_database(tmp_path / "data") as database:
        records = [Record("kind", f"{number}", number, bytes(600_000)) for number in range(40)]
        database.journal.write(records, [])
        assert log.stat().st_size > WAL_BYTES_MAX
        for number in range(3):
            database.journal.write([Record("kind", "small", number + 1, b"v")], [])
        assert log.stat().st_size <= WAL_BYTES_MAX


def test_a_full_file_is_unavailable_until_there_is_room(tmp_path: Path) -> None:
    with open_database(tmp_path / "data") as database:
        with database.journal._file.use() as connection:
            connection.pragma("max_page_count", connection.pragma("page_count"))
        with pytest.raises(DatabaseUnavailable, match="the disk is full"):
            database.journal.write([Record("kind", "key", 1, bytes(600_000))], [])
        with database.journal._file.use() as connection:
            connection.pragma("max_page_count", 1_000_000)
        database.journal.write([Record("kind", "key", 1, bytes(600_000))], [])
