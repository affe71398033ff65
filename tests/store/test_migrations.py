"""Migrations: every file that a release ever wrote is opened by this one, with everything in it."""

from hashlib import sha256
from pathlib import Path

import apsw
import pytest

from artemis.store.database import INSTANCES_NAME, MANAGEMENT_NAME, open_database
from artemis.store.management.records import Audit, Record
from artemis.store.migrations import INSTANCES, MANAGEMENT, Schema, migrate, version_of
from artemis.store.sqlite import DatabaseProblem, connect

RELEASED = {
    "management": ["ffa4e11b52ef4cb8", "bedb6478c426c4e3"],
    "instances": ["5493a2fa240f7e61", "1fcbd6db80da4592"],
}
"""The beginning of the digest of each released step. A step is added with its digest; none is ever edited."""

MANAGEMENT_1 = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE record (kind TEXT NOT NULL, key TEXT NOT NULL,
        version BLOB NOT NULL CHECK (length(version) = 12), value BLOB, PRIMARY KEY (kind, key)) STRICT;
    CREATE TABLE audit (origin INTEGER NOT NULL, sequence INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        payload BLOB NOT NULL, PRIMARY KEY (origin, sequence)) STRICT;
    INSERT INTO meta VALUES ('identity', 'as it was');
    INSERT INTO record VALUES ('group', 'one', x'000000000000000000000007', CAST('{"a":1}' AS BLOB));
    INSERT INTO record VALUES ('group', 'two', x'000000010000000000000000', NULL);
    INSERT INTO audit VALUES (4294967295, 1, 1760000000000, CAST('{"who":"me"}' AS BLOB));
    PRAGMA application_id = 0x41525401;
    PRAGMA user_version = 1;
"""
"""A management file of schema 1 with something of each kind in it, written out."""

MANAGEMENT_2 = MANAGEMENT_1 + "CREATE INDEX audit_by_time ON audit (time_ms); PRAGMA user_version = 2;"

INSTANCES_1 = """
    CREATE TABLE instance (full_key TEXT NOT NULL PRIMARY KEY,
        version BLOB NOT NULL CHECK (length(version) = 12), json BLOB, changed_ms INTEGER NOT NULL) STRICT;
    INSERT INTO instance VALUES ('svc' || char(10) || 'a', x'000000000000000000000007', CAST('{}' AS BLOB), 5);
    INSERT INTO instance VALUES ('svc' || char(10) || 'b', x'000000000000000000000008', NULL, 5);
    PRAGMA application_id = 0x41525402;
    PRAGMA user_version = 1;
"""

INSTANCES_2 = (
    INSTANCES_1
    + """
    ALTER TABLE instance ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE run (number INTEGER PRIMARY KEY, ran_ms INTEGER NOT NULL, alive_ms INTEGER) STRICT;
    CREATE TABLE contact (peer TEXT PRIMARY KEY, met_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 2;
"""
)


def make(file: Path, text: str) -> None:
    connection = apsw.Connection(str(file))
    connection.execute(text)
    connection.close()


def tables(connection: apsw.Connection) -> list[object]:
    """The schema as SQLite understands it, whatever the spelling of its text."""
    names = connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    return [
        (
            name,
            connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall(),
            connection.execute("SELECT * FROM pragma_index_xinfo(?)", (name,)).fetchall(),
            connection.execute("SELECT * FROM pragma_table_list(?)", (name,)).fetchall(),
        )
        for (name,) in names
    ]


@pytest.mark.parametrize("text", [MANAGEMENT_1, MANAGEMENT_2], ids=["1", "2"])
def test_a_management_file_of_every_earlier_version_is_opened_with_all_that_is_in_it(tmp_path: Path, text: str) -> None:
    make(tmp_path / MANAGEMENT_NAME, text)
    with open_database(tmp_path) as database:
        assert list(database.journal.load_records()) == [
            Record("group", "one", 7, b'{"a":1}'),
            Record("group", "two", 1 << 64, None),
        ]
        assert list(database.journal.load_audits()) == [Audit(4294967295, 1, 1760000000000, b'{"who":"me"}')]
        assert (database.journal.identity, database.journal.incarnation) == ("as it was", 1)
        with database.journal._file.use() as connection:
            assert version_of(connection) == len(MANAGEMENT.migrations)


@pytest.mark.parametrize("text", [INSTANCES_1], ids=["1"])
def test_an_instances_file_of_every_earlier_version_is_opened_with_all_that_is_in_it(tmp_path: Path, text: str) -> None:
    make(tmp_path / MANAGEMENT_NAME, MANAGEMENT_2)
    make(tmp_path / INSTANCES_NAME, text)
    with open_database(tmp_path) as database:
        assert list(database.snapshot.load_instances()) == [("svc\na", 7, b"{}", 5, 0), ("svc\nb", 8, None, 5, 0)]


@pytest.mark.parametrize(
    ("schema", "texts"), [(MANAGEMENT, [MANAGEMENT_1, MANAGEMENT_2]), (INSTANCES, [INSTANCES_1, INSTANCES_2])]
)
def test_old_files_end_up_exactly_like_new_ones(tmp_path: Path, schema: Schema, texts: list[str]) -> None:
    assert len(texts) == len(schema.migrations), "a fixture for every version"
    new = connect(tmp_path / "new", synchronous="FULL")
    assert migrate(new, schema) == len(schema.migrations)
    for number, text in enumerate(texts, start=1):
        make(tmp_path / f"old-{number}", text)
        old = connect(tmp_path / f"old-{number}", synchronous="FULL")
        assert migrate(old, schema) == len(schema.migrations) - number
        assert migrate(old, schema) == 0
        assert tables(old) == tables(new)
        old.close()
    new.close()


@pytest.mark.parametrize("schema", [MANAGEMENT, INSTANCES], ids=lambda schema: schema.title)
def test_released_steps_are_never_edited(schema: Schema) -> None:
    digests = [sha256(step.encode()).hexdigest()[:16] for step in schema.migrations]
    assert digests == RELEASED[schema.title]


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    steps = ("CREATE TABLE a (n INTEGER) STRICT", "CREATE TABLE b (n INTEGER) STRICT; INSERT INTO nowhere VALUES (1)")
    schema = Schema(title="test", application_id=7, migrations=steps)
    connection = connect(tmp_path / "file", synchronous="FULL")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        migrate(connection, schema)
    assert version_of(connection) == 1
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("a",)]
    repaired = Schema(title="test", application_id=7, migrations=(steps[0], "CREATE TABLE b (n INTEGER) STRICT"))
    assert migrate(connection, repaired) == 1
    assert connection.pragma("application_id") == 7
    connection.close()


def test_a_newer_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make(tmp_path / MANAGEMENT_NAME, MANAGEMENT_2 + "PRAGMA user_version = 3; CREATE TABLE news (n INTEGER) STRICT;")
    with pytest.raises(DatabaseProblem, match=r"schema 3, this one knows 2"):
        open_database(tmp_path)
