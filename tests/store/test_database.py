"""The database: real SQLite files in a directory of the test."""

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from artemis.store.backup import backup, restore
from artemis.store.database import open_database
from artemis.store.journal import version_at, version_bytes
from artemis.store.management.records import Audit, Record
from artemis.store.snapshot import RUNS_MAX, Past
from artemis.store.sqlite import ROWS_MAX, DatabaseProblem, RowStatement, check

from ..pace import PATIENCE_S

VERSION = 1_760_000_000_000 << 48 | 7 << 32 | 99


def record(number: int, *, version: int = VERSION, value: bytes | None = b"{}") -> Record:
    return Record(kind="operation", key=f"key\n{number:05d}", version=version, value=value)


def audit(sequence: int, *, origin: int = 1, time_ms: int | None = None) -> Audit:
    return Audit(origin, sequence, sequence if time_ms is None else time_ms, b'{"n":%d}' % sequence)


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    records = [record(number, version=VERSION + number) for number in range(5_000)] + [record(5_000, value=None)]
    audits = [audit(sequence, origin=origin) for origin in (1, 0xFFFF_FFFF) for sequence in range(1, 3_000)]
    with open_database(tmp_path) as database:
        database.journal.write(records, audits)
    with open_database(tmp_path) as database:
        assert list(database.journal.load_records()) == records
        assert list(database.journal.load_audits()) == audits


@pytest.mark.parametrize("version", [0, 1, VERSION, (1 << 92) - 1, (1 << 96) - 1])
def test_versions_of_up_to_96_bits_come_back_exactly(version: int) -> None:
    with open_database(":memory:") as database:
        database.journal.write([record(1, version=version)], [])
        assert [row.version for row in database.journal.load_records()] == [version]


def test_an_older_record_never_overwrites_a_newer_one() -> None:
    with open_database(":memory:") as database:
        database.journal.write([record(1, version=VERSION + 1, value=b"new")], [])
        database.journal.write([record(1, version=VERSION, value=b"old")], [])
        assert list(database.journal.load_records()) == [record(1, version=VERSION + 1, value=b"new")]


def test_an_audit_is_never_rewritten() -> None:
    with open_database(":memory:") as database:
        database.journal.write([], [Audit(1, 1, 10, b"first")])
        database.journal.write([], [Audit(1, 1, 20, b"second")])
        assert list(database.journal.load_audits()) == [Audit(1, 1, 10, b"first")]


def test_a_write_that_fails_leaves_nothing_of_itself() -> None:
    with open_database(":memory:") as database:
        with pytest.raises(OverflowError):
            database.journal.write([record(1)], [Audit(1, 1 << 70, 0, b"")])
        assert list(database.journal.load_records()) == []
        database.journal.write([record(1)], [audit(1)])
        assert list(database.journal.load_records()) == [record(1)]


def test_the_identity_stays_and_each_run_counts(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    for _ in range(3):
        with open_database(tmp_path) as database:
            seen.append((database.journal.identity, database.journal.incarnation))
    assert len({identity for identity, _ in seen}) == 1
    assert [incarnation for _, incarnation in seen] == [1, 2, 3]


def test_facts_are_kept(tmp_path: Path) -> None:
    with open_database(tmp_path) as database:
        assert database.journal.meta("applied") is None
        database.journal.set_meta("applied", "1")
        database.journal.set_meta("applied", "2")
    with open_database(tmp_path) as database:
        assert database.journal.meta("applied") == "2"


def test_audits_are_forgotten_by_age_in_steps() -> None:
    with open_database(":memory:") as database:
        database.journal.write([], [audit(sequence) for sequence in range(1, 101)])
        assert database.journal.forget_audits(before_ms=51, keep=1_000, limit=30) == 30
        assert database.journal.forget_audits(before_ms=51, keep=1_000, limit=30) == 20
        assert database.journal.forget_audits(before_ms=51, keep=1_000, limit=30) == 0
        assert [row.sequence for row in database.journal.load_audits()] == list(range(51, 101))


def test_audits_are_forgotten_by_count_oldest_first() -> None:
    with open_database(":memory:") as database:
        database.journal.write([], [audit(sequence, time_ms=1_000 - sequence) for sequence in range(1, 101)])
        assert database.journal.forget_audits(before_ms=0, keep=10) == 89
        kept = {row.sequence for row in database.journal.load_audits()}
        assert kept == set(range(1, 11)) | {100}, "the ten newest, and the last of the sequence"


def test_the_last_audit_of_each_origin_outlives_retention() -> None:
    with open_database(":memory:") as database:
        audits = [audit(sequence, origin=origin) for origin in (1, 2, 3) for sequence in range(1, 11)]
        database.journal.write([], audits)
        database.journal.forget_audits(before_ms=1_000_000, keep=0)
        assert [(row.origin, row.sequence) for row in database.journal.load_audits()] == [(1, 10), (2, 10), (3, 10)]


def test_tombstones_of_records_are_forgotten_by_version() -> None:
    with open_database(":memory:") as database:
        old, new = version_at(1_000) | 5, version_at(2_000) | 5
        records = [record(1, version=old), record(2, version=old, value=None), record(3, version=new, value=None)]
        database.journal.write(records, [])
        assert database.journal.forget_tombstones(before_version=version_at(2_000)) == 1
        assert list(database.journal.load_records()) == [records[0], records[2]]


def test_the_snapshot_returns_instances_and_tombstones(tmp_path: Path) -> None:
    rows = [(f"svc\n{n}", VERSION + n, b'{"n":%d}' % n if n % 2 else None) for n in range(4_500)]
    values = [value for key, version, json in rows for value in (key, version_bytes(version), json, 10)]
    with open_database(tmp_path) as database:
        database.snapshot.write([], values)
    with open_database(tmp_path) as database:
        assert [row[:3] for row in database.snapshot.load_instances()] == rows
        database.snapshot.write([key for key, _, json in rows if json], [])
        assert [row[:3] for row in database.snapshot.load_instances()] == [row for row in rows if row[2] is None]
        assert database.snapshot.forget_tombstones(before_ms=10) == 0
        assert database.snapshot.forget_tombstones(before_ms=11) == 2_250


def test_a_load_sees_a_file_that_changes_meanwhile() -> None:
    with open_database(":memory:") as database:
        database.journal.write([record(number) for number in range(3_000)], [])
        records = database.journal.load_records()
        next(records)
        database.journal.write([record(9_000)], [])
        assert [row.key for row in records][-1] == record(9_000).key


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 1_000, ROWS_MAX - 1, ROWS_MAX, ROWS_MAX + 1, 3 * ROWS_MAX + 5])
def test_any_number_of_rows_is_stored_each_once(count: int) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL) STRICT")
    insert = RowStatement("INSERT INTO t (a, b) VALUES ", "(?, ?)", "")
    insert.execute(connection, [value for n in range(count) for value in (n, str(n))])
    assert connection.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(n, str(n)) for n in range(count)]
    connection.close()


def test_the_journal_is_durable_on_return_and_the_snapshot_is_not_in_its_way(tmp_path: Path) -> None:
    with open_database(tmp_path) as database:
        for file, synchronous in ((database.journal._file, 2), (database.snapshot._file, 1)):
            with file.use() as connection:
                assert connection.pragma("journal_mode") == "wal"
                assert connection.pragma("synchronous") == synchronous


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from artemis.store.database import open_database\n"
        "from artemis.store.sqlite import DatabaseProblem\n"
        "try:\n    open_database(sys.argv[1])\n"
        "except DatabaseProblem as problem:\n    print(problem)\n"
    )
    with open_database(tmp_path):
        answer = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
    assert answer.stdout.startswith(f"{tmp_path}: the data directory is in use by process {os.getpid()}. Stop")


def test_a_closed_database_lets_the_next_one_in(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    first = open_database(tmp_path)
    with pytest.raises(DatabaseProblem, match="in use by process"):
        open_database(tmp_path)
    first.close()
    open_database(tmp_path).close()


def test_memory_needs_no_directory_and_is_shared_with_nobody() -> None:
    with open_database(":memory:") as one, open_database(":memory:") as other:
        one.journal.write([record(1)], [audit(1)])
        assert one.directory is None
        assert list(other.journal.load_records()) == []
    assert not Path(":memory:").exists()


def test_the_check_at_start_gives_up_in_time() -> None:
    with open_database(":memory:") as database:
        rows = [value for n in range(20_000) for value in (f"s\n{n}", version_bytes(n), b"{}", 0)]
        database.snapshot.write([], rows)
        with database.snapshot._file.use() as connection:
            assert check(connection, "file") is True
            assert check(connection, "file", limit_s=0.0) is False
        assert sum(1 for _ in database.snapshot.load_instances()) == 20_000


def test_the_snapshot_knows_for_how_long_the_node_ran_since_an_instance_was_heard() -> None:
    def spent() -> dict[str, int]:
        return {full_key: spent_ms for full_key, _, _, _, spent_ms in database.snapshot.load_instances()}

    def store(name: str) -> None:
        database.snapshot.write([], [name, version_bytes(VERSION), b"{}", 10])

    with open_database(":memory:") as database:
        snapshot = database.snapshot
        store("uncounted")
        assert snapshot.begin_run() == Past(None, {})
        store("first")
        snapshot.note(ran_ms=4_000, alive_ms=77, contacts={"b": 70, "c": 71})
        assert snapshot.begin_run() == Past(77, {"b": 70, "c": 71})
        assert spent() == {"uncounted": 5_000, "first": 0}, "a run that was noted last second may have gone on since"
        store("uncounted")
        snapshot.note(ran_ms=30, alive_ms=99, contacts={"c": 90})
        assert snapshot.begin_run() == Past(99, {"c": 90})
        assert spent() == {"uncounted": 0, "first": 1_030}
        assert snapshot.begin_run().alive_ms == 99, "a run that never noted anything counts, too"
        assert spent() == {"uncounted": 1_000, "first": 2_030}


def test_runs_are_bounded_and_what_is_older_has_had_its_lease_of_grace() -> None:
    with open_database(":memory:") as database:
        database.snapshot.begin_run()
        database.snapshot.write([], ["old", version_bytes(VERSION), b"{}", 10])
        for _ in range(RUNS_MAX + 1):
            database.snapshot.begin_run()
        ((_, _, _, _, spent_ms),) = database.snapshot.load_instances()
        assert spent_ms >= 1_000 * RUNS_MAX


def test_the_journal_knows_since_when_its_data_have_no_gap(tmp_path: Path) -> None:
    with open_database(tmp_path / "new") as database:
        assert database.journal.remembers_since(now_ms=500) == 500
        assert database.journal.contacts() == {}
        backup(tmp_path / "new", tmp_path / "copy")
        database.journal.note(since_ms=300, contacts={"b": 400})
    with open_database(tmp_path / "new") as database:
        assert database.journal.remembers_since(now_ms=900) == 300
        assert database.journal.contacts() == {"b": 400}
    restore(tmp_path / "copy", tmp_path / "new")
    with open_database(tmp_path / "new") as database:
        assert database.journal.remembers_since(now_ms=900) == 900, "what happened since the backup is not in it"
    with open_database(":memory:") as database:
        database.journal.incarnation = 7  # written by a release that noted nothing
        assert database.journal.remembers_since(now_ms=900) == 0
