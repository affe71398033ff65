"""What is wrong with a data directory is said at start: which file, why, and what to do. Never an empty registry."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from artemis.store.database import INSTANCES_NAME, MANAGEMENT_NAME, open_database
from artemis.store.journal import version_bytes
from artemis.store.management.records import Audit, Record
from artemis.store.migrations import MANAGEMENT
from artemis.store.sqlite import DatabaseProblem, explained


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with both files well filled."""
    directory = tmp_path / "data"
    with open_database(directory) as database:
        records = [Record("kind", f"key-{n:04d}", n, b"x" * 300) for n in range(500)]
        database.journal.write(records, [Audit(1, n, n, b"y" * 300) for n in range(1, 500)])
        rows = [value for n in range(1_000) for value in (f"s\n{n}", version_bytes(n), b"z" * 300, 0)]
        database.snapshot.write([], rows)
    return directory


def overwrite(file: Path, offset: int, content: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(content)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2 // 4096 * 4096)


def scramble(file: Path) -> None:
    for page in range(4, 40, 3):
        overwrite(file, page * 4096, bytes(range(256)) * 8)


def forge(file: Path) -> None:
    """A row that the schema forbids, as a flipped bit may make one."""
    connection = apsw.Connection(str(file))
    connection.pragma("ignore_check_constraints", True)
    connection.execute(f"UPDATE {'record' if file.name == MANAGEMENT_NAME else 'instance'} SET version = x'00'")
    connection.close()


@pytest.mark.parametrize("name", [MANAGEMENT_NAME, INSTANCES_NAME])
@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda file: file.write_text("once upon a time " * 1_000), "not an SQLite database"),
        (lambda file: overwrite(file, 0, b"\xff" * 100), "not an SQLite database"),
        (lambda file: overwrite(file, 0, b"\x00" * 4096), "not an SQLite database"),
        (lambda file: file.write_bytes(b""), "the file is empty"),
        (truncate, "the file is damaged"),
        (scramble, "the file is damaged"),
        (forge, "the file is damaged"),
    ],
    ids=["text", "header", "zeroed", "empty", "truncated", "scrambled", "forged"],
)
def test_a_damaged_file_is_named_with_cause_and_remedy(
    data: Path, name: str, damage: Callable[[Path], None], cause: str
) -> None:
    damage(data / name)
    with pytest.raises(DatabaseProblem) as caught:
        open_database(data)
    assert cause in caught.value.cause
    assert str(caught.value).startswith(f"{data / name}: ")
    assert "backup" in caught.value.remedy
    with pytest.raises(DatabaseProblem, match=cause):
        open_database(data)


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / MANAGEMENT_NAME
    connection = apsw.Connection(str(file))
    connection.execute("CREATE TABLE tune (title TEXT)")
    connection.close()
    with pytest.raises(DatabaseProblem, match="not the management file of this program"):
        open_database(tmp_path)
    connection = apsw.Connection(str(file))
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("tune",)]
    connection.close()


def test_the_two_files_cannot_be_mistaken_for_each_other(data: Path) -> None:
    (data / INSTANCES_NAME).replace(data / MANAGEMENT_NAME)
    with pytest.raises(DatabaseProblem, match="not the management file"):
        open_database(data)


def test_a_file_of_a_newer_release_is_not_touched(data: Path) -> None:
    connection = apsw.Connection(str(data / MANAGEMENT_NAME))
    newer = len(MANAGEMENT.migrations) + 1
    connection.pragma("user_version", newer)
    connection.close()
    with pytest.raises(DatabaseProblem, match=f"written by a newer release \\(schema {newer}"):
        open_database(data)


def test_a_lost_management_file_is_not_replaced_by_an_empty_one(data: Path) -> None:
    (data / MANAGEMENT_NAME).unlink()
    with pytest.raises(DatabaseProblem, match="the file is missing"):
        open_database(data)
    assert not (data / MANAGEMENT_NAME).exists()


def test_a_write_ahead_log_without_its_file_is_not_thrown_away(data: Path) -> None:
    (data / INSTANCES_NAME).unlink()
    log = data / f"{INSTANCES_NAME}-wal"
    log.write_bytes(b"content")
    with pytest.raises(DatabaseProblem, match=f"but {log.name}, which belongs to it, is there"):
        open_database(data)
    assert log.read_bytes() == b"content"


def test_instances_may_be_removed_to_begin_without_them(data: Path) -> None:
    (data / INSTANCES_NAME).unlink()
    with open_database(data) as database:
        assert list(database.snapshot.load_instances()) == []
        assert sum(1 for _ in database.journal.load_records()) == 500


def test_a_start_that_was_interrupted_while_making_files_is_repeated(tmp_path: Path) -> None:
    (tmp_path / f"{MANAGEMENT_NAME}.new").write_bytes(b"half a file")
    (tmp_path / f"{MANAGEMENT_NAME}.new-wal").write_bytes(b"and its log")
    open_database(tmp_path).close()
    assert not list(tmp_path.glob("*.new*"))


def test_a_path_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DatabaseProblem) as caught:
            open_database(path)
        assert str(path) in str(caught.value)
        assert "user of this process may write" in caught.value.remedy


def test_a_directory_in_the_place_of_a_file_is_named(data: Path) -> None:
    (data / INSTANCES_NAME).unlink()
    (data / INSTANCES_NAME).mkdir()
    with pytest.raises(DatabaseProblem, match="cannot be opened"):
        open_database(data)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatabaseProblem, match="Permission denied"):
        open_database(tmp_path)
    tmp_path.chmod(0o700)


def test_nobody_can_write_where_the_system_forbids_it_even_to_root() -> None:
    with pytest.raises(DatabaseProblem) as caught:
        open_database("/proc/artemis-data")
    assert caught.value.file == "/proc/artemis-data"


def fill(data: Path, name: str) -> None:
    """Let a database write until its disk is full. Its size limit plays the disk."""
    with open_database(data) as database:
        opened = database.journal._file if name == MANAGEMENT_NAME else database.snapshot._file
        with opened.use() as connection:
            page_count = connection.pragma("page_count")
            assert isinstance(page_count, int)
            connection.pragma("max_page_count", page_count + 50)
        for n in range(1_000):
            if name == MANAGEMENT_NAME:
                database.journal.write([Record("new", str(n), 1, b"v" * 3_000)], [Audit(2, n + 1, 0, b"v" * 3_000)])
            else:
                database.snapshot.write([], [f"new\n{n}", version_bytes(1), b"v" * 3_000, 0])


@pytest.mark.parametrize("name", [MANAGEMENT_NAME, INSTANCES_NAME])
def test_a_full_disk_is_named_with_the_space_that_is_left(data: Path, name: str) -> None:
    with pytest.raises(DatabaseProblem, match=r"the disk is full .* MB are free.*Make room") as caught:
        fill(data, name)
    assert caught.value.file == str(data / name)


def test_after_a_full_disk_every_acknowledged_write_is_there_and_no_other(data: Path) -> None:
    with pytest.raises(DatabaseProblem):
        fill(data, MANAGEMENT_NAME)
    with open_database(data) as database:
        records = [record for record in database.journal.load_records() if record.kind == "new"]
        audits = [audit for audit in database.journal.load_audits() if audit.origin == 2]
        assert len(records) == len(audits) > 10
        database.journal.write([Record("after", "", 1, b"room again")], [])


def test_an_input_error_on_a_disk_without_room_is_called_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite reports "disk I/O error" when it cannot make the shared memory of its log for lack of room."""
    with pytest.raises(DatabaseProblem, match="reading or writing it failed"), explained("/tmp/file"):
        raise apsw.IOError("disk I/O error")
    monkeypatch.setattr("artemis.store.sqlite._free_bytes", lambda file: 4096)
    with pytest.raises(DatabaseProblem, match="the disk is full"), explained("/tmp/file"):
        raise apsw.IOError("disk I/O error")
