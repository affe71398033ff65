"""Notes: what a restart must know is on disk within a second, and a disk that fails costs nothing but precision."""

from collections.abc import Mapping

import trio
from trio.testing import MockClock

from artemis.actors.blocking import inline
from artemis.actors.notes import RECORDS_S, NoteKeeper
from artemis.store.contacts import Contacts
from artemis.store.database import open_database
from artemis.store.snapshot import Past
from artemis.store.sqlite import DatabaseProblem

from .cluster_world import SkewedClock


class Digests:
    """Records that change when a test says so."""

    def __init__(self) -> None:
        self.value = 1

    def digests(self) -> list[int]:
        return [self.value]


class Disk:
    """Counts what is written, and fails when it is told to."""

    def __init__(self) -> None:
        self.snapshot_notes = 0
        self.journal_notes: list[tuple[int, dict[str, int]]] = []
        self.fails = False


class FakeSnapshot:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def note(self, *, ran_ms: int, alive_ms: int, contacts: Mapping[str, int]) -> None:
        if self._disk.fails:
            raise DatabaseProblem("instances.db", "the disk is full", "Make room")
        self._disk.snapshot_notes += 1


class FakeJournal:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def note(self, *, since_ms: int, contacts: Mapping[str, int]) -> None:
        self._disk.journal_notes.append((since_ms, dict(contacts)))


async def test_a_run_is_noted_on_a_real_disk(autojump_clock: MockClock) -> None:
    clock = SkewedClock()
    with open_database(":memory:") as database:
        database.snapshot.begin_run()
        contacts = Contacts()
        keeper = NoteKeeper(
            instances=contacts,
            records=Contacts(memory_ms=5_000),
            tables=Digests(),
            snapshot=database.snapshot,
            journal=database.journal,
            clock=clock,
            run_blocking=inline,
        )
        began_ms = clock.now_ms()
        contacts.met("b", now_s=clock.now_s(), now_ms=clock.now_ms())
        with trio.move_on_after(3.5):
            await keeper.run()
        assert database.snapshot.begin_run() == Past(began_ms + 3_000, {"b": began_ms})
        assert database.journal.remembers_since(now_ms=0) == began_ms - 5_000


async def test_contacts_about_records_are_noted_after_a_change_and_else_now_and_then(autojump_clock: MockClock) -> None:
    disk, clock, digests, records = Disk(), SkewedClock(), Digests(), Contacts()
    keeper = NoteKeeper(
        instances=Contacts(),
        records=records,
        tables=digests,
        snapshot=FakeSnapshot(disk),
        journal=FakeJournal(disk),
        clock=clock,
        run_blocking=inline,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        for second in range(int(2 * RECORDS_S)):
            records.met("b", now_s=clock.now_s(), now_ms=clock.now_ms())
            if second == 10:
                digests.value += 1
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert disk.snapshot_notes >= 2 * RECORDS_S - 1
    assert 3 <= len(disk.journal_notes) <= 4, "at first, after the change, and once a minute"


async def test_a_disk_that_fails_is_written_to_again_later(autojump_clock: MockClock) -> None:
    disk, clock = Disk(), SkewedClock()
    disk.fails = True
    keeper = NoteKeeper(
        instances=Contacts(),
        records=Contacts(),
        tables=Digests(),
        snapshot=FakeSnapshot(disk),
        journal=FakeJournal(disk),
        clock=clock,
        run_blocking=inline,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await trio.sleep(3.5)
        assert disk.snapshot_notes == 0
        disk.fails = False
        await trio.sleep(1)
        assert disk.snapshot_notes == 1
        assert len(disk.journal_notes) == 1
        nursery.cancel_scope.cancel()
