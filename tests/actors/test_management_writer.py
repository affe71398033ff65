"""The management writer: answers after the commit, batches what waits, and ends the node rather than lie."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from artemis.actors.blocking import in_thread, inline
from artemis.actors.clock import SystemClock
from artemis.actors.effects import Effects
from artemis.actors.keeper import RecordKeeper
from artemis.actors.management import ManagementWriter, Overloaded, Stopped, Unavailable
from artemis.actors.supervisor import ActorFailed, Restarts, open_supervisor
from artemis.store.changes import ServiceChange
from artemis.store.database import open_database
from artemis.store.leases import Entry
from artemis.store.management.draft import Draft, Plan
from artemis.store.management.errors import Invalid
from artemis.store.management.management import Management
from artemis.store.management.records import Audit, Record
from artemis.store.management.writes.operations import operate_instance, operate_server
from artemis.store.sqlite import DatabaseUnavailable
from artemis.store.versions import HybridClock, origin_of
from tests.store.building import REGION, instance
from tests.store.managed import OPERATOR, Managed

T = TypeVar("T")


class FakeJournal:
    """Keeps transactions; fails when told to."""

    def __init__(self) -> None:
        self.transactions: list[tuple[list[Record], list[Audit]]] = []
        self.broken = False
        self.full = False
        self.forgotten: list[int] = []

    def write(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        if self.broken:
            raise OSError("input/output error")
        if self.full:
            raise DatabaseUnavailable("artemis.db", "the disk is full", "Make room on that disk")
        self.transactions.append((list(records), list(audits)))

    def forget_audits(self, *, before_ms: int, keep: int, limit: int = 1000) -> int:
        self.forgotten.append(before_ms)
        return limit if len(self.forgotten) % 3 else 0

    def forget_tombstones(self, *, before_version: int) -> int:
        return 0


class Listener:
    """A broadcaster and a peer that write down what they are told, and what was durable by then."""

    def __init__(self, journal: FakeJournal) -> None:
        self._journal = journal
        self.heard: list[tuple[str, int]] = []

    def post(self, changes: Sequence[ServiceChange]) -> None:
        self.heard.append(("changes", len(self._journal.transactions)))

    def offer_states(self, entries: Sequence[Entry]) -> None:
        raise AssertionError

    offer_renewals = offer_states

    def offer_records(self, records: Sequence[Record]) -> None:
        self.heard.append(("records", len(self._journal.transactions)))

    def offer_audits(self, audits: Sequence[Audit]) -> None:
        self.heard.append(("audits", len(self._journal.transactions)))


class Door:
    """Blocking work waits until the door is opened."""

    def __init__(self) -> None:
        self.open = trio.Event()

    async def __call__(self, work: Callable[[], T], /) -> T:
        await self.open.wait()
        return await inline(work)


def pull_out(name: str) -> Plan[None]:
    def plan(draft: Draft) -> None:
        operate_instance(
            draft,
            OPERATOR,
            region_id=REGION,
            service_id="svc.a",
            instance_id=name,
            operation="out",
            complete=False,
        )

    return plan


def refuse(draft: Draft) -> None:
    raise Invalid("no")


def a_writer(node: Managed, journal: FakeJournal, door: Door | None = None, bound: int = 100) -> ManagementWriter:
    effects = Effects()
    listener = Listener(journal)
    effects.broadcasters.append(listener)
    effects.peers["peer"] = listener  # type: ignore[assignment]
    return ManagementWriter(
        node.management,
        node.registry,
        effects,
        journal,
        SystemClock(),
        run_blocking=door or inline,
        mailbox_bound=bound,
    )


async def test_a_write_is_durable_then_in_effect_then_told_then_answered() -> None:
    node, journal = Managed(), FakeJournal()
    node.register(instance("i1"))
    door = Door()
    writer = a_writer(node, journal, door)
    listener = writer._effects.broadcasters[0]
    assert isinstance(listener, Listener)
    answered: list[bool] = []

    async def write() -> None:
        await writer.submit(pull_out("i1"))
        answered.append(node.shown() == set())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        assert (node.shown(), len(node.management.audit), listener.heard, answered) == ({"i1"}, 0, [], [])
        door.open.set()
        await wait_all_tasks_blocked()
        assert answered == [True]
        assert listener.heard == [("changes", 1), ("records", 1), ("audits", 1)]
        nursery.cancel_scope.cancel()


async def test_what_waits_is_stored_in_one_transaction_and_a_refusal_costs_the_others_nothing() -> None:
    node, journal, door = Managed(), FakeJournal(), Door()
    writer = a_writer(node, journal, door)
    refused: list[str] = []

    async def write_badly() -> None:
        try:
            await writer.submit(refuse)
        except Invalid as error:
            refused.append(error.message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        async with trio.open_nursery() as callers:
            callers.start_soon(writer.submit, pull_out("first"))
            await wait_all_tasks_blocked()
            for number in range(50):
                callers.start_soon(writer.submit, pull_out(f"i{number}"))
            callers.start_soon(write_badly)
            await wait_all_tasks_blocked()
            door.open.set()
        assert refused == ["no"]
        assert [len(records) for records, _ in journal.transactions] == [1, 50]
        assert [audit.sequence for _, audits in journal.transactions for audit in audits] == list(range(1, 52))
        writer.close()
    statistics = writer.statistics()
    assert (statistics.writes, statistics.refused, statistics.transactions) == (51, 1, 2)


async def test_a_full_mailbox_refuses_and_a_closed_writer_says_that_it_stopped() -> None:
    node, door = Managed(), Door()
    writer = a_writer(node, FakeJournal(), door, bound=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for number in range(3):
            nursery.start_soon(writer.submit, pull_out(f"i{number}"))
            await wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await writer.submit(pull_out("late"))
        writer.close()
        door.open.set()
    assert writer.statistics().overloaded == 1
    assert writer.statistics().writes == 3, "what waits when the writer is closed is still carried out"
    with pytest.raises(Stopped):
        await writer.submit(pull_out("later"))
    with pytest.raises(Stopped):
        await writer.store((), ())


async def test_a_failed_commit_ends_the_node_and_tells_every_caller() -> None:
    node, journal, door = Managed(), FakeJournal(), Door()
    node.register(instance("i1"))
    journal.broken = True
    writer = a_writer(node, journal, door)
    stopped: list[str] = []

    async def write(name: str) -> None:
        try:
            await writer.submit(pull_out(name))
        except Stopped:
            stopped.append(name)

    async def store() -> None:
        try:
            await writer.store((), ())
        except Stopped:
            stopped.append("news")

    async with trio.open_nursery() as callers:
        with pytest.raises(ActorFailed):
            async with open_supervisor() as supervisor:
                supervisor.start("management", lambda: writer, restarts=Restarts(intensity=0))
                callers.start_soon(write, "i1")
                await wait_all_tasks_blocked()
                callers.start_soon(write, "i2")
                callers.start_soon(store)
                await wait_all_tasks_blocked()
                door.open.set()
                await trio.sleep_forever()
    assert sorted(stopped) == ["i1", "i2", "news"]
    assert node.shown() == {"i1"}, "what is not on disk is not in effect"


async def test_a_full_disk_makes_writes_wait_and_then_refuses_them_with_nothing_changed(
    autojump_clock: MockClock,
) -> None:
    node, journal = Managed(), FakeJournal()
    node.register(instance("i1"), instance("i2"))
    writer = a_writer(node, journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        journal.full = True
        with pytest.raises(Unavailable, match=r"nothing was changed.*artemis.db: the disk is full. Make room"):
            await writer.submit(pull_out("i1"))
        assert 5 <= trio.current_time() <= 7
        assert node.shown() == {"i1", "i2"}
        assert len(node.management.audit) == 0
        nursery.start_soon(writer.submit, pull_out("i2"))
        await trio.sleep(2)
        assert node.shown() == {"i1", "i2"}
        journal.full = False
        await trio.sleep(1.1)
        assert node.shown() == {"i1"}
        await writer.submit(pull_out("i1"))
        writer.close()
    assert [audit.sequence for _, audits in journal.transactions for audit in audits] == [1, 2]


async def test_news_of_peers_waits_for_a_full_disk_without_holding_up_the_link_and_is_stored_when_it_heals(
    autojump_clock: MockClock,
) -> None:
    node, journal = Managed(), FakeJournal()
    other = Managed("node-b")
    writer = a_writer(node, journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        journal.full = True
        newest: list[Record] = []
        for number in range(50):
            other.instance(f"i{number % 10}", operation="out" if number < 40 else "in")
            newest = list(other.management.tables.records())
            await writer.store(newest, [Audit(7, number + 1, number, b"{}")])
        assert trio.current_time() <= 2
        assert writer.unstored() == f"{len(newest)} records of management and 50 audit records"
        assert journal.transactions == []
        await trio.sleep(60)
        journal.full = False
        await trio.sleep(1.1)
        assert writer.unstored() == ""
        ((records, audits),) = journal.transactions
        assert {record.full_key: record.version for record in records} == {
            record.full_key: record.version for record in other.management.tables.records()
        }
        assert len(audits) == 50
        await writer.store([], [Audit(7, 51, 51, b"{}")])
        assert len(journal.transactions) >= 2
        writer.close()


async def test_a_writer_that_is_closed_ends_only_when_the_news_of_peers_is_stored(autojump_clock: MockClock) -> None:
    node, journal = Managed(), FakeJournal()
    writer = a_writer(node, journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        journal.full = True
        await writer.store([], [Audit(7, 1, 1, b"{}")])
        with trio.move_on_after(30) as scope:
            await writer.flush()
        assert scope.cancelled_caught
        assert writer.unstored() == "0 records of management and 1 audit records"
        journal.full = False
        with trio.fail_after(3):
            await writer.flush()
    assert [audits for _, audits in journal.transactions] == [[Audit(7, 1, 1, b"{}")]]


async def test_news_from_a_peer_is_stored_with_the_rest_and_not_told_to_peers() -> None:
    node, journal = Managed(), FakeJournal()
    other = Managed("node-b")
    other.instance("i1")
    (record,) = other.management.tables.records()
    writer = a_writer(node, journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await writer.store([record], [])
        writer.close()
    assert journal.transactions == [([record], [])]
    listener = writer._effects.broadcasters[0]
    assert isinstance(listener, Listener)
    assert listener.heard == []


async def test_news_is_stored_even_if_the_link_that_brought_it_ends_at_that_moment() -> None:
    """The tables hold it already: what is shown must survive a restart."""
    node, journal = Managed(), FakeJournal()
    other = Managed("node-b")
    other.instance("i1")
    (record,) = other.management.tables.records()
    writer = a_writer(node, journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        with trio.CancelScope() as link:
            link.cancel()
            await writer.store([record], [])
        writer.close()
    assert journal.transactions == [([record], [])]


async def test_the_keeper_forgets_in_memory_and_step_by_step_on_disk(autojump_clock: MockClock) -> None:
    node, journal = Managed(), FakeJournal()
    node.now_ms = 1
    node.instance("i1")
    keeper = RecordKeeper(node.management, journal, SystemClock(), run_blocking=inline)
    async with open_supervisor() as supervisor:
        supervisor.start("keeper", lambda: keeper)
        await trio.sleep(61)
        assert len(journal.forgotten) == 6, "three steps a minute: two full ones, and one that finds nothing"
    assert len(node.management.audit) == 0


async def test_writers_share_transactions_and_all_of_it_survives(tmp_path: Path) -> None:
    """On a real disk, synchronous=FULL: a thousand writes of fifty callers cost far fewer than a thousand commits."""
    node = Managed()
    writes, writers = 20, 50
    with open_database(tmp_path / "data") as database:
        writer = ManagementWriter(
            node.management, node.registry, Effects(), database.journal, SystemClock(), run_blocking=in_thread
        )

        async def work(number: int) -> None:
            for turn in range(writes):
                await writer.submit(
                    partial(
                        operate_server,
                        who=OPERATOR,
                        region_id=REGION,
                        server_id=f"10.{number}.0.{turn}",
                        operation="out",
                        complete=False,
                    )
                )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            async with trio.open_nursery() as callers:
                for number in range(writers):
                    callers.start_soon(work, number)
            writer.close()
        assert writer.statistics().transactions <= 2 * writes, "whoever waits for a commit joins the next one"
    origin = origin_of("node-a")
    again = Management(region_id=REGION, clock=HybridClock(origin), origin=origin)
    with open_database(tmp_path / "data") as database:
        again.restore(database.journal.load_records(), database.journal.load_audits())
    assert again.digests() == node.management.digests()
    assert again.audit.vector() == node.management.audit.vector() == {origin: writes * writers}
