"""The persistence writer over real SQLite; in simulated time where time matters."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from artemis.actors.blocking import inline
from artemis.actors.clock import SystemClock
from artemis.actors.storage import Storage, StorageKeeper
from artemis.actors.supervisor import Actor, ActorFailed, Restarts, open_supervisor
from artemis.actors.writer import GATHER_S, SLICE_ENTRIES, PersistenceWriter
from artemis.store.database import INSTANCES_NAME, Database, open_database
from artemis.store.leases import Entry, ServiceTable
from artemis.store.sqlite import DatabaseProblem

from ..pace import PATIENCE_S

T = TypeVar("T")


@pytest.fixture
def database() -> Iterator[Database]:
    with open_database(":memory:") as database:
        yield database


def make_entries(count: int, *, service: ServiceTable | None = None) -> list[Entry]:
    service = service or ServiceTable("billing", "Billing", revision=1)
    entries = [Entry(service, f"instance-{number}") for number in range(count)]
    for number, entry in enumerate(entries):
        entry.live, entry.version, entry.json = True, number + 1, b'{"n":%d}' % number
    return entries


def stored(database: Database) -> dict[str, tuple[int, bytes | None]]:
    return {full_key: (version, json) for full_key, version, json, _, _ in database.snapshot.load_instances()}


def writer_of(database: Database) -> PersistenceWriter:
    return PersistenceWriter(database.snapshot, SystemClock(), run_blocking=inline)


async def test_what_is_marked_is_stored_soon_after(database: Database, autojump_clock: MockClock) -> None:
    writer = writer_of(database)
    entries = make_entries(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.mark(entries)
        await trio.sleep(GATHER_S + 0.01)
        assert stored(database) == {entry.full_key: (entry.version, entry.json) for entry in entries}
        nursery.cancel_scope.cancel()


async def test_many_changes_of_an_instance_cost_one_row(database: Database, autojump_clock: MockClock) -> None:
    writer = writer_of(database)
    (entry,) = make_entries(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for version in range(2, 1_000):
            entry.version = version
            writer.mark([entry])
        assert writer.statistics().depth == 1
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stored(database) == {entry.full_key: (999, entry.json)}
    assert writer.statistics().rows == 1


async def test_a_tombstone_is_stored_without_json_and_a_dropped_entry_not_at_all(database: Database) -> None:
    writer = writer_of(database)
    kept, buried, dropped = make_entries(3)
    writer.mark([kept, buried, dropped])
    await writer.flush()
    buried.live, buried.version, buried.json = False, 77, b""
    dropped.live, dropped.gone = False, True
    writer.mark([buried, dropped])
    await writer.flush()
    assert stored(database) == {kept.full_key: (kept.version, kept.json), buried.full_key: (77, None)}


async def test_an_identity_that_returns_at_once_after_it_was_dropped_stays_stored(database: Database) -> None:
    writer = writer_of(database)
    (old,) = make_entries(1)
    writer.mark([old])
    await writer.flush()
    old.live, old.gone = False, True
    writer.mark([old])
    (new,) = make_entries(1)
    new.version = 50
    writer.mark([new])
    await writer.flush()
    assert stored(database) == {new.full_key: (50, new.json)}


async def test_a_backlog_is_stored_slice_by_slice_while_others_run(
    database: Database, autojump_clock: MockClock
) -> None:
    writer = writer_of(database)
    entries = make_entries(10 * SLICE_ENTRIES + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.mark(entries)
        depths: list[int] = []
        while writer.statistics().depth:
            depths.append(writer.statistics().depth)
            await trio.sleep(0.0001)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len(set(depths)) >= 10, "the loop had its turn between any two slices"
    assert writer.statistics().slices == 11
    assert len(stored(database)) == len(entries)


async def test_what_changes_while_it_is_being_written_is_written_again(database: Database) -> None:
    (entry,) = make_entries(1)

    async def changing(work: Callable[[], T], /) -> T:
        result = await inline(work)
        if entry.version == 1:
            entry.version = 2
            writer.mark([entry])
        return result

    writer = PersistenceWriter(database.snapshot, SystemClock(), run_blocking=changing)
    writer.mark([entry])
    await writer.flush()
    assert stored(database) == {entry.full_key: (2, entry.json)}


async def test_a_flush_waits_for_the_slice_in_flight(database: Database) -> None:
    release = trio.Event()

    async def slow(work: Callable[[], T], /) -> T:
        await release.wait()
        return await inline(work)

    writer = PersistenceWriter(database.snapshot, SystemClock(), run_blocking=slow)
    entries = make_entries(SLICE_ENTRIES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.mark(entries)
        await trio.testing.wait_all_tasks_blocked()
        assert writer.statistics().depth == 0
        nursery.start_soon(writer.flush)
        await trio.testing.wait_all_tasks_blocked()
        assert stored(database) == {}
        release.set()
        with trio.fail_after(PATIENCE_S):
            await writer.flush()
        assert len(stored(database)) == SLICE_ENTRIES
        nursery.cancel_scope.cancel()


async def test_a_cancelled_writer_loses_nothing_and_a_flush_stores_the_rest(database: Database) -> None:
    writer = writer_of(database)
    entries = make_entries(5 * SLICE_ENTRIES)
    with trio.CancelScope() as scope:
        writer.mark(entries)
        scope.cancel()
        await writer.flush()
    assert writer.statistics().depth == len(entries)
    await writer.flush()
    assert len(stored(database)) == len(entries)


async def test_what_a_full_disk_does_not_take_is_kept_and_stored_when_there_is_room(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SystemClock()
    storage = Storage(clock)
    with open_database(tmp_path) as database:
        with database.snapshot._file.use() as connection:
            connection.pragma("max_page_count", connection.pragma("page_count"))
        writer = PersistenceWriter(database.snapshot, clock, run_blocking=inline, storage=storage)
        entries = make_entries(3 * SLICE_ENTRIES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            writer.mark(entries)
            await trio.sleep(100)
            assert writer.statistics().depth == len(entries), "nothing was forgotten"
            (problem,) = storage.problems
            assert "instances.db: the disk is full" in problem
            assert "Make room on that disk" in problem
            assert storage.failures >= 90
            assert len(caplog.records) == 2, "it is said when it begins, and once a minute"
            with database.snapshot._file.use() as connection:
                connection.pragma("max_page_count", 1_000_000)
            await trio.sleep(3)
            assert (storage.problems, writer.statistics().depth) == ([], 0)
            nursery.cancel_scope.cancel()
        assert stored(database) == {entry.full_key: (entry.version, entry.json) for entry in entries}
    assert "stored again" in caplog.records[-1].getMessage()


async def test_a_snapshot_that_is_removed_ends_the_node_with_the_reason(tmp_path: Path) -> None:
    """SQLite would go on writing into a file that nobody will ever find."""
    with open_database(tmp_path) as database:
        writer = PersistenceWriter(database.snapshot, SystemClock())
        keeper = StorageKeeper(database.snapshot, interval_s=0.01)
        entries = make_entries(SLICE_ENTRIES)
        (tmp_path / INSTANCES_NAME).unlink()
        for actor in (writer, keeper):
            with trio.fail_after(PATIENCE_S), pytest.raises(ActorFailed) as caught:
                async with open_supervisor() as supervisor:
                    supervisor.start("actor", partial(_same, actor), restarts=Restarts(intensity=0))
                    writer.mark(entries)
                    await trio.sleep_forever()
            assert "instances.db: the file was removed or replaced" in reason(caught.value)
        assert writer.statistics().depth == SLICE_ENTRIES, "nothing was forgotten"


def _same(actor: Actor) -> Actor:
    return actor


def reason(error: BaseException) -> str:
    """The text of the `DatabaseProblem` behind an error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DatabaseProblem):
            return str(seen)
        if isinstance(seen, BaseExceptionGroup):
            causes: Sequence[BaseException] = seen.exceptions
            seen = causes[0]
        else:
            seen = seen.__cause__
    raise AssertionError(error)


async def test_marking_again_adds_nothing_and_needs_no_running_writer(database: Database) -> None:
    writer = writer_of(database)
    entries = make_entries(10_000)
    for _ in range(10):
        writer.mark(entries)
    assert writer.statistics().depth == 10_000
