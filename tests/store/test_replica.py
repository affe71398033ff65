"""How two tables become one: versions decide, age counts, silence of a lost peer proves nothing."""

from hypothesis import given
from hypothesis import strategies as st

from artemis.store.contacts import Absence, Contact
from artemis.store.registry import Registry
from artemis.store.versions import origin_of

from .building import NOW_MS, instance, registry, shown


def copy(source: Registry, target: Registry, *, now_s: float, now_ms: int = NOW_MS) -> None:
    keys = [key for bucket in range(256) for key, _ in source.versions(bucket)]
    target.merge(source.states(keys, now_s=now_s), via=source.origin, now_s=now_s, now_ms=now_ms)


def test_equal_digests_mean_equal_tables_and_buckets_tell_where_they_differ() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance(f"i{n}") for n in range(50)], now_s=0, now_ms=NOW_MS)
    assert a.digests() != b.digests()
    copy(a, b, now_s=1)
    assert a.digests() == b.digests()
    a.unregister([("svc.a", "i7")], now_s=2, now_ms=NOW_MS)
    (bucket,) = [n for n in range(256) if a.digests()[n] != b.digests()[n]]
    assert "svc.a\ni7" in dict(a.versions(bucket))


def test_an_older_registration_does_not_undo_an_unregister() -> None:
    """Pitfall 5: whatever the order of arrival."""
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    old = a.states(["svc.a\ni1"], now_s=0)
    a.unregister([("svc.a", "i1")], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    b.merge(old, via=a.origin, now_s=0, now_ms=NOW_MS)
    assert shown(b) == set()


def test_registering_again_after_an_unregister_wins_whatever_the_order_of_arrival() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    a.unregister([("svc.a", "i1")], now_s=0, now_ms=NOW_MS)
    removal = a.states(["svc.a\ni1"], now_s=0)
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    b.merge(removal, via=a.origin, now_s=0, now_ms=NOW_MS)
    assert shown(b) == {"i1"}


def test_an_unregister_holds_also_where_the_instance_was_never_seen() -> None:
    """A client that moved during a partition unregisters at a node that does not know it yet."""
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    b.unregister([("svc.a", "i1")], now_s=1, now_ms=NOW_MS + 1000)
    copy(a, b, now_s=2)
    copy(b, a, now_s=2)
    assert (shown(a), shown(b)) == (set(), set())
    assert a.digests() == b.digests()


def test_the_same_data_under_a_newer_version_is_no_change() -> None:
    """Two of our nodes heard the same registration from a node of the original system."""
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    b.register([instance()], now_s=0, now_ms=NOW_MS + 1)
    outcome = a.merge(b.states(["svc.a\ni1"], now_s=0), via=b.origin, now_s=0, now_ms=NOW_MS)
    assert outcome.changes == []
    assert a.digests() == b.digests()


def test_a_lease_does_not_become_fresh_by_being_copied() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=15)
    assert not b.sweep(now_s=19.9, now_ms=NOW_MS).expired
    assert b.sweep(now_s=20.3, now_ms=NOW_MS).expired == 1
    copy(a, b, now_s=21)
    assert shown(b) == set()


def test_a_heartbeat_that_a_peer_heard_renews_and_the_unknown_is_asked_for() -> None:
    """Pitfall 4."""
    a, b = registry("a"), registry("b")
    a.register([instance("i1"), instance("i2")], now_s=0, now_ms=NOW_MS)
    b.merge(a.states(["svc.a\ni1"], now_s=0), via=a.origin, now_s=0, now_ms=NOW_MS)
    entries = a.services["svc.a"].entries.values()
    renewed, wanted = b.renew_from_peer([(e.full_key, e.version, 0) for e in entries], via=a.origin, now_s=10)
    assert [entry.key for entry in renewed] == ["i1"]
    assert wanted == ["svc.a\ni2"]
    assert not b.sweep(now_s=29.9, now_ms=NOW_MS).expired


def test_a_heartbeat_about_something_newer_renews_and_what_is_newer_is_asked_for() -> None:
    """The peer has heard the registration that we have not: its data are wanted, and the instance lives."""
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    a.register([instance(url="http://elsewhere/")], now_s=1, now_ms=NOW_MS + 1000)
    newer = a.services["svc.a"].entries["i1"]
    renewed, wanted = b.renew_from_peer([(newer.full_key, newer.version, 0)], via=a.origin, now_s=15)
    assert wanted == [newer.full_key]
    assert [entry.key for entry in renewed] == ["i1"]
    copy(a, b, now_s=15)
    assert b.renew_from_peer([(newer.full_key, newer.version, 0)], via=a.origin, now_s=15)[1] == []


def test_a_heartbeat_that_is_told_late_renews_from_when_it_was_heard() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    entry = a.services["svc.a"].entries["i1"]
    b.renew_from_peer([(entry.full_key, entry.version, 8_000)], via=a.origin, now_s=18)
    assert not b.sweep(now_s=29.9, now_ms=NOW_MS).expired
    assert b.sweep(now_s=30.2, now_ms=NOW_MS).expired == 1, "a lease of 20 s, renewed at 10"


def test_a_late_heartbeat_does_not_resurrect_what_was_unregistered() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    version = a.services["svc.a"].entries["i1"].version
    a.unregister([("svc.a", "i1")], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    assert b.renew_from_peer([("svc.a\ni1", version, 0)], via=a.origin, now_s=1) == ([], [])


def test_expiry_leaves_no_tombstone_that_could_delete_it_elsewhere() -> None:
    """Pitfall 1."""
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    assert b.sweep(now_s=21, now_ms=NOW_MS).expired == 1
    a.renew("svc.a", "i1", lease_s=19)
    copy(b, a, now_s=21)
    assert shown(a) == {"i1"}
    copy(a, b, now_s=21)
    assert shown(b) == {"i1"}


def test_leases_of_a_lost_peer_are_kept_and_have_one_lease_to_be_heard_of_once_it_is_back() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    b.peer_lost(a.origin, now_s=5)
    assert b.sweep(now_s=100, now_ms=NOW_MS).protected == 1
    assert shown(b) == {"i1"}
    assert b.overdue_count == 1
    b.peer_found(a.origin, now_s=101)
    for tenth in range(1000, 1210):
        assert not b.sweep(now_s=tenth / 10, now_ms=NOW_MS).expired
    assert sum(b.sweep(now_s=s, now_ms=NOW_MS).expired for s in (121.1, 121.2)) == 1, "one lease, and a sweep"


def test_suspicion_ends_at_its_ceiling() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    b.peer_lost(a.origin, now_s=5)
    assert b.sweep(now_s=600, now_ms=NOW_MS).protected == 1
    assert b.sweep(now_s=606, now_ms=NOW_MS).expired == 1


def test_leases_heard_here_are_no_suspects() -> None:
    b = registry("b")
    b.register([instance()], now_s=0, now_ms=NOW_MS)
    b.peer_lost(origin_of("a"), now_s=0)
    assert b.sweep(now_s=21, now_ms=NOW_MS).expired == 1


def test_a_peer_that_says_goodbye_leaves_no_suspects() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    b.peer_lost(a.origin, now_s=1)
    b.peer_left(a.origin)
    assert b.sweep(now_s=21, now_ms=NOW_MS).expired == 1


def test_a_restart_gives_each_instance_one_fresh_lease_and_keeps_versions_and_tombstones() -> None:
    a = registry("a")
    a.register([instance("i1"), instance("i2")], now_s=0, now_ms=NOW_MS)
    a.unregister([("svc.a", "i2")], now_s=0, now_ms=NOW_MS)
    rows = [
        (e.full_key, e.version, e.json if e.live else None, NOW_MS, 0) for e in a.services["svc.a"].entries.values()
    ]
    again = registry("a", now_s=500)
    assert again.restore(rows, now_s=500, now_ms=NOW_MS) == 1
    assert again.digests() == a.digests()
    assert not again.sweep(now_s=519, now_ms=NOW_MS).expired
    later = again.register([instance("i2")], now_s=519, now_ms=NOW_MS)
    assert later.entries[0].version > max(row[1] for row in rows)


def restarted(source: Registry, *, now_s: float) -> Registry:
    """The same node after a restart, with what it had on disk."""
    rows = [
        (e.full_key, e.version, e.json if e.live else None, NOW_MS, 0)
        for e in source.services["svc.a"].entries.values()
    ]
    again = registry("a", now_s=now_s)
    again.restore(rows, now_s=now_s, now_ms=NOW_MS)
    return again


def test_a_lease_of_grace_does_not_bring_back_what_others_know_to_be_dead() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    assert b.sweep(now_s=21, now_ms=NOW_MS).expired == 1
    again = restarted(a, now_s=30)
    copy(again, b, now_s=30)
    assert shown(b) == set()
    again.renew("svc.a", "i1", lease_s=again.lease_time(31))
    copy(again, b, now_s=31)
    assert shown(b) == {"i1"}


def test_a_lease_of_grace_prolongs_no_lease_that_runs_elsewhere() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    copy(restarted(a, now_s=15), b, now_s=15)
    assert b.sweep(now_s=20.3, now_ms=NOW_MS).expired == 1


def test_a_node_as_new_as_the_restart_takes_leases_of_grace_over_for_what_is_left_of_them() -> None:
    """Pitfall 2: it would be ready with empty lists, next to a node that serves."""
    a = registry("a")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    again, new, newer = restarted(a, now_s=500), registry("b", now_s=505), registry("c", now_s=509)
    copy(again, new, now_s=506)
    copy(new, newer, now_s=510)
    assert shown(new) == shown(newer) == {"i1"}
    assert new.sweep(now_s=520.3, now_ms=NOW_MS).expired == newer.sweep(now_s=520.3, now_ms=NOW_MS).expired == 1


STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["register", "unregister"]), st.sampled_from(["i1", "i2", "i3"])),
    max_size=20,
)


@given(STEPS, st.randoms())
def test_any_order_of_exchange_ends_in_the_same_table(steps: list[tuple[str, str, str]], random: object) -> None:
    tables = {"a": registry("a"), "b": registry("b")}
    for number, (node, action, key) in enumerate(steps):
        table = tables[node]
        if action == "register":
            table.register([instance(key, url=f"http://{number}/")], now_s=0, now_ms=NOW_MS)
        else:
            table.unregister([("svc.a", key)], now_s=0, now_ms=NOW_MS)
    copy(tables["a"], tables["b"], now_s=0)
    copy(tables["b"], tables["a"], now_s=0)
    assert tables["a"].digests() == tables["b"].digests()
    assert shown(tables["a"]) == shown(tables["b"])
    fragments = [sorted(e.json for e in t.services["svc.a"].visible()) if t.services else [] for t in tables.values()]
    assert fragments[0] == fragments[1]


YEAR_MS = 366 * 24 * 3600 * 1000


def test_a_tombstone_dated_in_the_future_is_forgotten_like_any_other() -> None:
    """A clock that was wrong once dates all versions of a cluster; peers must not hand its removals on for ever."""
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS + YEAR_MS)
    a.unregister([("svc.a", "i1")], now_s=0, now_ms=NOW_MS + YEAR_MS)
    for now_s in range(300, 4000, 100):
        copy(a, b, now_s=now_s)
        copy(b, a, now_s=now_s)
        for table in (a, b):
            table.sweep(now_s=now_s, now_ms=NOW_MS + now_s * 1000)
    assert (a.services, b.services) == ({}, {})


def test_a_row_that_makes_no_sense_ends_merging_and_hides_nothing_of_what_was_merged() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance("i1"), instance("i2"), instance("i3")], now_s=0, now_ms=NOW_MS)
    one, two, three = a.states([f"svc.a\ni{number}" for number in (1, 2, 3)], now_s=0)
    for broken in (b'{"serviceId":"\xff"}', b"{", b'{"port":"x"}'):
        outcome = b.merge([one, (*two[:2], broken, *two[3:]), three], via=a.origin, now_s=0, now_ms=NOW_MS)
        assert "not an instance" in outcome.problem
        assert shown(b) == {"i1"}
    first = registry("c").merge([one, (*two[:2], b"{", *two[3:])], via=a.origin, now_s=0, now_ms=NOW_MS)
    assert [change.key for step in first.changes for change in step.changes] == ["i1"]
    assert len(first.entries) == 1


def test_a_link_that_comes_and_goes_keeps_no_lease_beyond_the_ceiling() -> None:
    a, b = registry("a"), registry("b")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    ceiling_s = int(b.settings.preservation.ceiling_s)
    for now_s in range(5, ceiling_s + 15, 10):
        b.peer_lost(a.origin, now_s=now_s)
        b.sweep(now_s=now_s + 4, now_ms=NOW_MS)
        b.peer_found(a.origin, now_s=now_s + 5)
        b.sweep(now_s=now_s + 9, now_ms=NOW_MS)
    assert shown(b) == {"i1"}
    b.peer_lost(a.origin, now_s=ceiling_s + 20)
    b.sweep(now_s=ceiling_s + 25, now_ms=NOW_MS)
    assert shown(b) == set()


def test_a_lease_of_grace_is_used_up_over_several_restarts_and_a_heartbeat_gives_a_new_one() -> None:
    a = registry("a")
    a.register([instance("i1"), instance("i2")], now_s=0, now_ms=NOW_MS)
    rows = [(e.full_key, e.version, e.json, NOW_MS, 15_000) for e in a.services["svc.a"].entries.values()]
    again = registry("a", now_s=500)
    again.restore(rows, now_s=500, now_ms=NOW_MS)
    again.renew("svc.a", "i2", lease_s=501)
    assert [entry.key for entry in again.sweep(now_s=501.1, now_ms=NOW_MS).entries] == ["i2"], "to be stored anew"
    assert again.sweep(now_s=501.2, now_ms=NOW_MS).entries == []
    assert not again.sweep(now_s=504.9, now_ms=NOW_MS).expired
    assert again.sweep(now_s=505.2, now_ms=NOW_MS).expired == 1
    assert shown(again) == {"i2"}
    third = registry("a", now_s=600)
    third.restore([(*row[:4], 20_000) for row in rows], now_s=600, now_ms=NOW_MS)
    assert third.sweep(now_s=600.2, now_ms=NOW_MS).expired == 2
    assert third.unheard_count == again.unheard_count == 0


def test_a_lease_of_grace_is_at_most_the_default_one_of_its_kind() -> None:
    table = registry("a")
    both = [
        instance("long", metadata={"artemis.lease-ttl-ms": "3600000"}),
        instance("old", metadata={"java_registry": "1"}),
    ]
    table.register(both, now_s=0, now_ms=NOW_MS)
    rows = [(e.full_key, e.version, e.json, NOW_MS, 0) for e in table.services["svc.a"].entries.values()]
    again = registry("a", now_s=500)
    again.restore(rows, now_s=500, now_ms=NOW_MS)
    again.sweep(now_s=520.2, now_ms=NOW_MS)
    assert shown(again) == {"old"}, "clients of the original API renew every half minute"
    again.sweep(now_s=590.2, now_ms=NOW_MS)
    assert shown(again) == set()


def outdated(*, wall_ms: int, now_s: float | None = None, lease_s: float = -1.0, conclusive: bool = True) -> Absence:
    return Absence(Contact(wall_ms, now_s, lease_s), conclusive=conclusive)


def test_what_came_here_after_the_last_contact_is_not_dropped_on_the_word_of_a_peer() -> None:
    """That the peer does not know it proves nothing, for it never did. The contact on disk may be some seconds old."""
    a = registry("a")
    a.register([instance("before"), instance("after")], now_s=0, now_ms=NOW_MS)
    before, after = a.states(["svc.a\nbefore", "svc.a\nafter"], now_s=0)
    again = registry("a", now_s=500)
    rows = [(before[0], before[1], before[2], NOW_MS + 4_000, 0), (after[0], after[1], after[2], NOW_MS + 6_000, 0)]
    again.restore(rows, now_s=500, now_ms=NOW_MS)
    outcome = again.abandon([before[0], after[0], "svc.a\nunknown"], outdated(wall_ms=NOW_MS), now_ms=NOW_MS)
    assert [entry.key for entry in outcome.entries] == ["before"]
    assert shown(again) == {"after"}
    assert again.withholds(after[0], outdated(wall_ms=NOW_MS)), "but not offered either, until it is renewed"
    again.renew("svc.a", "after", lease_s=501)
    assert not again.withholds(after[0], outdated(wall_ms=NOW_MS))


def test_silence_since_the_last_contact_counts_only_for_what_both_knew_then() -> None:
    b = registry("b")
    for number, name in enumerate(["early", "late"]):
        b.register([instance(name)], now_s=number, now_ms=NOW_MS + 1_000 * number)
    in_between = outdated(wall_ms=NOW_MS + 500, now_s=100.0, lease_s=2.0)
    assert list(b.uncertain(in_between)) == ["svc.a\nearly"]
    b.renew("svc.a", "early", lease_s=3.0)
    assert list(b.uncertain(in_between)) == []


def test_a_bare_state_tells_of_the_lease_only_and_is_no_instance() -> None:
    a, b, c = registry("a"), registry("b"), registry("c")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    copy(a, b, now_s=0)
    a.renew("svc.a", "i1", lease_s=10)
    (bare,) = a.states(["svc.a\ni1"], now_s=11, bare=True)
    assert bare[2] == b""
    assert b.merge([bare], via=a.origin, now_s=11, now_ms=NOW_MS).entries == []
    assert not b.sweep(now_s=29.5, now_ms=NOW_MS).expired
    assert c.merge([bare], via=a.origin, now_s=11, now_ms=NOW_MS).problem == ""
    assert shown(c) == set()


def test_a_lease_that_ran_out_and_is_not_kept_on_purpose_is_not_offered() -> None:
    a = registry("a")
    a.register([instance()], now_s=0, now_ms=NOW_MS)
    assert a.states(["svc.a\ni1"], now_s=20.05) == []
