"""Clocks that are wrong: a date from the future is worth nothing, and nobody keeps it alive."""

import pytest
import trio
from trio.testing import MockClock

from artemis.actors.conversation import Conversation
from artemis.actors.frames import OfferAudits, States
from artemis.store.instances import encode_instance
from artemis.store.management.audit import AuditEntry
from artemis.store.management.kinds import GROUP
from artemis.store.management.records import Audit, Record
from artemis.store.versions import AHEAD_MAX_MS, milliseconds

from .cluster_world import Node, SkewedClock, all_up, eventually, instance, open_world

YEARS_MS = 10 * 366 * 24 * 3600 * 1000
B = "http://b:8080"


def dialled_by(node: Node) -> Conversation:
    """A link over which this node speaks to its peer."""
    return next(conversation for conversation in node.cluster.conversations() if conversation.dialled)


def version_at(node: Node, ahead_ms: int) -> int:
    """A version that a clock made that was so far ahead."""
    return (node.clock.now_ms() + ahead_ms) << 48 | 7


def states(table: str, *rows: tuple[str, int, bytes | None]) -> States:
    keys, versions, values = (list(column) for column in zip(*rows, strict=True))
    nothing = [0] * len(keys)
    return States(table, keys, versions, values, nothing, [1] * len(keys), sequence=1, stamp_ms=0)


@pytest.mark.parametrize("ahead_ms", [AHEAD_MAX_MS + 1000, YEARS_MS])
async def test_a_row_from_the_future_is_left_out_and_the_others_of_its_frame_are_taken(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, ahead_ms: int
) -> None:
    async with open_world("a", "b") as world:
        a, b = world["a"], world["b"]
        a.register(instance("svc", "known"))
        await eventually(lambda: b.names("svc") == ["known"])
        future, now = version_at(b, ahead_ms), version_at(b, 0)
        link = dialled_by(a)
        rows = [
            ("svc\nfuture", future, encode_instance(instance("svc", "future"))),
            ("svc\nknown", future, None),
            ("svc\nright", now, encode_instance(instance("svc", "right"))),
        ]
        await link.send(states("instances", *rows))
        await link.send(states("records", (f"{GROUP.name}\nfuture", future, None), (f"{GROUP.name}\nright", now, None)))
        latest_ms, entry = b.clock.now_ms(), b'{"kind":"group","target":"svc"}'
        await link.send(OfferAudits([(77, 1, latest_ms + ahead_ms, entry), (77, 2, latest_ms, entry)], request=1))
        await eventually(lambda: b.names("svc") == ["known", "right"])
        await eventually(lambda: b.management.audit.vector().get(77) == 2)
        assert b.tables.replica("records").version_of(f"{GROUP.name}\nfuture") == 0
        assert b.tables.replica("records").version_of(f"{GROUP.name}\nright") == now
        assert sum(each.statistics.rows_refused for each in b.cluster.conversations()) == 4
        assert link.reason is None
        assert b.registry.clock.next(b.clock.now_ms()) < version_at(b, 1000)
        assert any("in the future" in record.getMessage() for record in caplog.records)


async def test_a_row_from_the_future_is_neither_asked_for_nor_passed_on(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", "c") as world:
        a, b = world["a"], world["b"]
        a.register(instance("svc", "i1"))
        await eventually(lambda: b.names("svc") == ["i1"])
        entry = a.registry.find("svc", "i1")
        assert entry is not None
        kept = entry.version
        entry.version = version_at(a, YEARS_MS)  # as a node of an older release might have it
        a.registry._digests.replace(entry.full_key, kept, entry.version)
        for _ in range(20):
            await trio.sleep(5)
            assert a.heartbeat("svc", "i1")
        for other in (b, world["c"]):
            assert other.names("svc") == ["i1"], "that it lives is believed"
            assert other.tables.replica("instances").version_of("svc\ni1") == kept
            assert sum(link.statistics.wanted for link in other.cluster.conversations()) == 0


async def test_a_clock_that_runs_away_costs_the_link_and_dates_nobody(autojump_clock: MockClock) -> None:
    """At a ping, not only at the handshake."""
    async with open_world("a", "b", "c", start=False) as world:
        clock = SkewedClock()
        for name, own in (("a", None), ("b", clock), ("c", None)):
            world.start(name, clock=own)
        await all_up(world)
        await eventually(world.is_meshed)
        clock.skew_ms = AHEAD_MAX_MS + 1000
        world["b"].register(instance("svc", "dated"))
        await trio.sleep(2)
        a, b = world["a"], world["b"]
        assert {c.peer.node_id for c in a.cluster.conversations()} == {"c"}
        assert b.cluster.conversations() == []
        for node, peer in ((a, B), (b, "http://a:8080")):
            problem = node.cluster.membership.members[peer].problem
            assert "clock" in problem
            assert "31.0 s" in problem
        assert a.names("svc") == []
        a.register(instance("svc", "i1"))
        entry = a.registry.find("svc", "i1")
        assert entry is not None
        assert milliseconds(entry.version) <= a.clock.now_ms()
        clock.skew_ms = 0
        await eventually(world.is_meshed)
        # Its own date is nearly here, and then it is one like others.
        await eventually(lambda: "dated" in b.names("svc"), within_s=0.1)
        for _ in range(20):
            await trio.sleep(5)
            b.heartbeat("svc", "dated")
            a.heartbeat("svc", "i1")
        assert a.names("svc") == b.names("svc") == ["dated", "i1"]
        assert world.agree()


async def test_a_node_whose_clock_is_set_back_follows_it_and_still_wins_what_it_writes(
    autojump_clock: MockClock,
) -> None:
    async with open_world("a", "b", start=False) as world:
        clock = SkewedClock(25_000)
        world.start("a", clock=clock)
        world.start("b")
        await all_up(world)
        world["a"].register(instance("svc", "i1", status="up"))
        await eventually(lambda: world["b"].names("svc") == ["i1"])
        clock.skew_ms = -4_000
        world["a"].register(instance("svc", "i1", status="down"))
        assert b"down" in shown(world["a"])
        await eventually(lambda: b"down" in shown(world["b"]), within_s=1)
        world["b"].register(instance("svc", "i1", status="starting"))
        await eventually(lambda: b"starting" in shown(world["a"]), within_s=1)


def shown(node: Node) -> bytes:
    entry = node.registry.find("svc", "i1")
    return b"" if entry is None else entry.json


async def test_the_drift_of_each_peer_is_known_as_of_now(autojump_clock: MockClock) -> None:
    async with open_world("a", "b", start=False) as world:
        clock = SkewedClock(4_000)
        world.start("a")
        world.start("b", clock=clock)
        await all_up(world)
        await eventually(world.is_meshed)

        def drift_ms() -> object:
            peers = world["a"].cluster.convergence()["peers"]
            assert isinstance(peers, dict)
            return peers[B]["clockDriftMs"]

        assert drift_ms() == pytest.approx(4_000, abs=20)
        clock.skew_ms = -7_000
        await trio.sleep(1.5)
        assert drift_ms() == pytest.approx(-7_000, abs=20)


async def test_an_audit_has_the_time_of_the_wall_whatever_versions_say(autojump_clock: MockClock) -> None:
    async with open_world("a") as world:
        a = world["a"]
        ahead = version_at(a, AHEAD_MAX_MS - 1000)
        a.decide(Record("kind", "key", ahead, b"{}"))
        later = a.registry.clock.next(a.clock.now_ms())
        assert later > ahead
        (audit, *_) = a.management.seal([AuditEntry(kind=GROUP.name, target="svc")], now_ms=a.clock.now_ms())
        assert isinstance(audit, Audit)
        assert audit.time_ms == a.clock.now_ms() < milliseconds(later)


async def test_a_node_whose_clock_was_set_back_says_that_it_must_be_restarted(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Peers see a row from the future and cannot tell why. Only its node can, and only its restart helps."""

    def complaints() -> list[str]:
        return [record.getMessage() for record in caplog.records if "was set back" in record.getMessage()]

    async with open_world("a", "b") as world:
        a, b = world["a"], world["b"]
        a.clock.skew_ms += AHEAD_MAX_MS * 4
        await trio.sleep(10)
        a.register(instance("svc", "meanwhile"))
        a.clock.skew_ms -= AHEAD_MAX_MS // 2
        await trio.sleep(10)
        assert complaints() == [], "set back by less than clocks may differ: peers take what is dated so"
        a.clock.skew_ms -= AHEAD_MAX_MS * 7 // 2
        await trio.sleep(60)
        assert b.names("svc") == []
        (complaint,) = complaints()
        assert complaint.startswith("the clock of this machine was set back by 120.0 s.")
        assert complaint.endswith("Restart this node: they take it after that")
