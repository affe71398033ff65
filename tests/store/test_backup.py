"""Backup while a node writes; restore only into a directory that nobody uses, and only what is whole."""

import threading
from itertools import count
from pathlib import Path

import apsw
import pytest

from artemis.store.backup import backup, restore
from artemis.store.database import INSTANCES_NAME, MANAGEMENT_NAME, open_database
from artemis.store.journal import version_bytes
from artemis.store.management.records import Audit, Record
from artemis.store.sqlite import DatabaseProblem


def write(directory: Path, numbers: range) -> str:
    with open_database(directory) as database:
        for number in numbers:
            database.journal.write([Record("kind", str(number), number, b"v")], [Audit(1, number, number, b"a")])
        database.snapshot.write([], ["s\ni", version_bytes(numbers[-1]), b"{}", 0])
        return database.journal.identity


def keys(directory: Path) -> set[int]:
    with open_database(directory) as database:
        records = {int(record.key) for record in database.journal.load_records()}
        assert records == {audit.sequence for audit in database.journal.load_audits()}
        return records


def test_a_restored_directory_holds_what_the_backup_was_made_of(tmp_path: Path) -> None:
    identity = write(tmp_path / "data", range(1, 50))
    backup(tmp_path / "data", tmp_path / "file.backup")
    write(tmp_path / "data", range(50, 60))
    restore(tmp_path / "file.backup", tmp_path / "data")
    assert keys(tmp_path / "data") == set(range(1, 50))
    with open_database(tmp_path / "data") as database:
        assert database.journal.identity != identity, "its audits must not be numbered like those after the backup"
        assert [version for _, version, *_ in database.snapshot.load_instances()] == [59], "instances are left alone"


def test_a_backup_can_be_restored_on_a_new_machine(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    backup(tmp_path / "data", tmp_path / "file.backup")
    restore(tmp_path / "file.backup", tmp_path / "elsewhere" / "data")
    assert keys(tmp_path / "elsewhere" / "data") == set(range(1, 10))


def test_what_a_restore_replaces_is_kept_aside(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 3))
    backup(tmp_path / "data", tmp_path / "file.backup")
    write(tmp_path / "data", range(3, 6))
    restore(tmp_path / "file.backup", tmp_path / "data")
    replaced = apsw.Connection(str(tmp_path / "data" / f"{MANAGEMENT_NAME}.replaced"))
    assert replaced.execute("SELECT count(*) FROM audit").get == 5
    replaced.close()


def test_a_restore_repairs_a_directory_whose_file_is_damaged_or_gone(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    backup(tmp_path / "data", tmp_path / "file.backup")
    (tmp_path / "data" / MANAGEMENT_NAME).write_text("damaged")
    restore(tmp_path / "file.backup", tmp_path / "data")
    assert keys(tmp_path / "data") == set(range(1, 10))
    (tmp_path / "data" / MANAGEMENT_NAME).unlink()
    restore(tmp_path / "file.backup", tmp_path / "data")
    assert keys(tmp_path / "data") == set(range(1, 10))


def test_a_backup_under_load_is_of_one_moment_and_has_every_write_answered_before(tmp_path: Path) -> None:
    answered, stop = [0], threading.Event()
    with open_database(tmp_path / "data") as database:

        def load() -> None:
            for number in count(1):
                database.journal.write([Record("kind", str(number), number, b"v")], [Audit(1, number, number, b"a")])
                answered[0] = number
                if stop.is_set():
                    return

        writer = threading.Thread(target=load)
        writer.start()
        try:
            for turn in range(5):
                before = answered[0]
                backup(tmp_path / "data", tmp_path / "file.backup", overwrite=True)
                after = answered[0]
                restore(tmp_path / "file.backup", tmp_path / str(turn))
                last = max(keys(tmp_path / str(turn)), default=0)
                assert before <= last <= after + 1
                assert keys(tmp_path / str(turn)) == set(range(1, last + 1))
        finally:
            stop.set()
            writer.join()
    assert not list(tmp_path.glob("*.partial"))


def test_a_restore_is_refused_while_a_node_holds_the_directory(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    backup(tmp_path / "data", tmp_path / "file.backup")
    with open_database(tmp_path / "data"), pytest.raises(DatabaseProblem, match="in use by process"):
        restore(tmp_path / "file.backup", tmp_path / "data")
    assert keys(tmp_path / "data") == set(range(1, 10))


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "instances", "missing", "other"])
def test_what_is_no_whole_backup_changes_nothing(tmp_path: Path, kind: str) -> None:
    file, data = tmp_path / "file.backup", tmp_path / "data"
    write(data, range(1, 400))
    backup(data, file)
    match kind:
        case "text":
            file.write_text("once upon a time")
        case "empty":
            file.write_bytes(b"")
        case "truncated":
            file.write_bytes(file.read_bytes()[: 4096 * 5])
        case "instances":
            file.write_bytes((data / INSTANCES_NAME).read_bytes())
        case "missing":
            file.unlink()
        case _:
            file.unlink()
            connection = apsw.Connection(str(file))
            connection.execute("CREATE TABLE tune (title TEXT)")
            connection.close()
    with pytest.raises(DatabaseProblem) as caught:
        restore(file, data)
    assert caught.value.file == str(file)
    assert keys(data) == set(range(1, 400))
    assert not list(data.glob("*.partial*"))


def test_a_backup_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    file = tmp_path / "file.backup"
    backup(tmp_path / "data", file)
    content = file.read_bytes()
    (tmp_path / "data" / MANAGEMENT_NAME).write_text("damaged")
    with pytest.raises(DatabaseProblem, match=f"{MANAGEMENT_NAME}: it is not an SQLite database"):
        backup(tmp_path / "data", file, overwrite=True)
    assert file.read_bytes() == content


def test_a_backup_into_a_directory_that_is_not_there_names_it(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    with pytest.raises(DatabaseProblem, match=r"nowhere: there is no such directory"):
        backup(tmp_path / "data", tmp_path / "nowhere" / "file")


def test_a_backup_over_live_data_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    for name in (MANAGEMENT_NAME, INSTANCES_NAME, "artemis.lock"):
        with pytest.raises(DatabaseProblem, match="would overwrite live data"):
            backup(tmp_path / "data", tmp_path / "data" / ".." / "data" / name)


def test_there_is_nothing_to_back_up_in_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(DatabaseProblem, match="there is no such file"):
        backup(tmp_path, tmp_path / "file.backup")


def test_a_backup_overwrites_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    write(tmp_path / "data", range(1, 10))
    file = tmp_path / "file.backup"
    file.write_text("the backup of last year")
    with pytest.raises(DatabaseProblem, match=r"there is such a file already.*--force"):
        backup(tmp_path / "data", file)
    assert file.read_text() == "the backup of last year"
    assert not file.with_name("file.backup.partial").exists()
    backup(tmp_path / "data", file, overwrite=True)
    restore(file, tmp_path / "data")
    assert keys(tmp_path / "data") == set(range(1, 10))
