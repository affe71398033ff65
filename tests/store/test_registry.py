"""What clients do to the registry, and what time does."""

from .building import NOW_MS, instance, registry, shown


def test_what_is_registered_is_shown_and_announced_once() -> None:
    table = registry()
    outcome = table.register([instance("i1"), instance("i2")], now_s=0, now_ms=NOW_MS)
    (change,) = outcome.changes
    assert [one.change_type for one in change.changes] == ["new", "new"]
    assert shown(table) == {"i1", "i2"}
    assert table.services["svc.a"].revision == change.revision


def test_registering_the_same_again_makes_a_version_and_tells_no_subscriber() -> None:
    """Another node may have been told something else meanwhile: of two registrations the later one holds."""
    table = registry()
    first = table.register([instance()], now_s=0, now_ms=NOW_MS)
    (entry,) = first.entries
    version, digests, service = entry.version, table.digests(), table.services["svc.a"]
    revision, fragment = service.revision, service.fragment()
    again = table.register([instance()], now_s=15, now_ms=NOW_MS)
    assert (again.entries, again.changes) == ([entry], [])
    assert entry.version > version
    assert table.digests() != digests
    assert (service.revision, service.fragment()) == (revision, fragment)
    assert service.fragment() is fragment, "an answer is not encoded again for nothing"
    assert not table.sweep(now_s=34.9, now_ms=NOW_MS).expired


def test_what_is_pulled_out_may_register_the_same_again_and_stays_out() -> None:
    class Out:
        def is_down(self, service_key: str, instance_key: str, ip: str, zone_key: str, group_key: str) -> bool:
            return True

    table = registry(visibility=Out())
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    again = table.register([instance()], now_s=1, now_ms=NOW_MS)
    assert (len(again.entries), again.changes, shown(table)) == (1, [], set())


def test_metadata_in_another_order_is_the_same_data() -> None:
    table = registry()
    table.register([instance(metadata={"a": "1", "b": "2"})], now_s=0, now_ms=NOW_MS)
    assert not table.register([instance(metadata={"b": "2", "a": "1"})], now_s=0, now_ms=NOW_MS).changes


def test_changed_data_is_a_change_with_the_next_revision_and_a_higher_version() -> None:
    table = registry()
    before = table.register([instance()], now_s=0, now_ms=NOW_MS)
    version = before.entries[0].version
    after = table.register([instance(url="http://elsewhere/")], now_s=0, now_ms=NOW_MS)
    assert [one.change_type for one in after.changes[0].changes] == ["change"]
    assert after.changes[0].revision == before.changes[0].revision + 1
    assert after.entries[0].version > version


def test_revisions_go_on_above_those_of_before_a_restart() -> None:
    """A subscriber that resumes with an old revision must not find it among the new ones."""
    before = registry()
    for number in range(100):
        before.register([instance(url=f"http://{number}/")], now_s=0, now_ms=NOW_MS)
    last = before.services["svc.a"].revision
    after = registry()
    assert after.revision_of("svc.a", now_ms=NOW_MS + 1000) > last
    (first,) = after.register([instance()], now_s=0, now_ms=NOW_MS + 1000).changes
    assert first.revision > last


def test_identity_does_not_depend_on_case_and_the_newest_spelling_is_shown() -> None:
    table = registry()
    table.register([instance("I1", "Svc.A")], now_s=0, now_ms=NOW_MS)
    table.register([instance("i1", "SVC.a")], now_s=0, now_ms=NOW_MS)
    assert table.live_count == 1
    assert table.services["svc.a"].service_id == "SVC.a"
    assert b'"serviceId":"SVC.a"' in table.services["svc.a"].fragment()
    assert table.renew("svc.a", "i1", lease_s=1) is not None


def test_a_lease_ends_one_ttl_after_the_last_renewal_and_not_before() -> None:
    table = registry()
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    assert table.renew("svc.a", "i1", lease_s=10)
    assert not table.sweep(now_s=29.9, now_ms=NOW_MS).expired
    swept = table.sweep(now_s=30.2, now_ms=NOW_MS)
    assert swept.expired == 1
    assert [one.change_type for one in swept.changes[0].changes] == ["delete"]
    assert swept.entries[0].gone
    assert table.services == {}


def test_an_instance_may_ask_for_its_own_lease_within_bounds() -> None:
    table = registry()
    wishes = {"short": "8000", "greedy": "1", "patient": "999999999", "odd": "soon"}
    for name, wish in wishes.items():
        table.register([instance(name, metadata={"artemis.lease-ttl-ms": wish})], now_s=0, now_ms=NOW_MS)
    ttl = {key: entry.ttl_s for key, entry in table.services["svc.a"].entries.items()}
    assert ttl == {"short": 8.0, "greedy": 5.0, "patient": table.settings.lease_ttl_max_s, "odd": 20.0}


def test_legacy_instances_have_the_legacy_lease() -> None:
    table = registry()
    table.register([instance(metadata={"java_registry": "1"})], now_s=0, now_ms=NOW_MS)
    assert table.legacy_count == 1
    assert not table.sweep(now_s=89, now_ms=NOW_MS).expired
    assert table.sweep(now_s=90.2, now_ms=NOW_MS).expired == 1
    assert table.legacy_count == 0


def test_unregistering_removes_at_once_and_remembers() -> None:
    table = registry()
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    outcome = table.unregister([("svc.a", "i1"), ("svc.a", "unknown")], now_s=0, now_ms=NOW_MS)
    assert [one.change_type for one in outcome.changes[0].changes] == ["delete"]
    assert shown(table) == set()
    assert table.renew("svc.a", "i1", lease_s=1) is None
    assert [(entry.key, entry.live, entry.gone) for entry in outcome.entries] == [
        ("i1", False, False),
        ("unknown", False, False),
    ]


def test_a_tombstone_is_forgotten_after_its_time_and_announces_nothing() -> None:
    table = registry()
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    table.unregister([("svc.a", "i1")], now_s=0, now_ms=NOW_MS)
    assert not table.sweep(now_s=599, now_ms=NOW_MS).entries
    swept = table.sweep(now_s=600.2, now_ms=NOW_MS)
    assert swept.entries[0].gone
    assert (swept.changes, swept.expired) == ([], 0)
    assert table.digests() == [0] * 256


def test_registering_over_a_tombstone_begins_a_new_life_that_expires_in_its_own_time() -> None:
    table = registry()
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    table.unregister([("svc.a", "i1")], now_s=1, now_ms=NOW_MS)
    outcome = table.register([instance()], now_s=2, now_ms=NOW_MS)
    assert [one.change_type for one in outcome.changes[0].changes] == ["new"]
    assert table.sweep(now_s=22.2, now_ms=NOW_MS).expired == 1


def test_a_full_registry_takes_nobody_new_keeps_who_is_there_and_has_room_again_after_expiry() -> None:
    table = registry(entries_max=2)
    table.register([instance("i1"), instance("i2")], now_s=0, now_ms=NOW_MS)
    assert not table.has_room("svc.a", "i3")
    assert table.has_room("svc.a", "i1")
    assert table.unregister([("svc.a", "i3")], now_s=0, now_ms=NOW_MS).entries == []
    assert len(table.unregister([("svc.a", "i2")], now_s=0, now_ms=NOW_MS).entries) == 1
    assert table.sweep(now_s=20.2, now_ms=NOW_MS).expired == 1
    assert table.entry_count == 1
    assert table.has_room("svc.a", "i3")


def test_revisions_of_a_service_never_start_over() -> None:
    table = registry()
    revision = table.register([instance()], now_s=0, now_ms=NOW_MS).changes[-1].revision
    table.sweep(now_s=21, now_ms=NOW_MS)
    assert "svc.a" not in table.services
    later = table.register([instance()], now_s=30, now_ms=NOW_MS + 30_000).changes[-1].revision
    assert later > revision
    assert later < 2**53


def test_a_subscriber_of_a_service_to_come_sees_revisions_rise_by_one_through_all_its_lives() -> None:
    table = registry()
    revision = table.revision_of("svc.a", now_ms=NOW_MS)
    assert table.revision_of("svc.a", now_ms=NOW_MS + 5) == revision
    changes = table.register([instance()], now_s=0, now_ms=NOW_MS + 10).changes
    changes += table.sweep(now_s=21, now_ms=NOW_MS + 21_000).changes
    assert "svc.a" not in table.services
    assert table.revision_of("svc.a", now_ms=NOW_MS + 30_000) == revision + 2
    changes += table.register([instance()], now_s=30, now_ms=NOW_MS + 30_000).changes
    changes += table.unregister([("svc.a", "i1")], now_s=31, now_ms=NOW_MS + 31_000).changes
    table.sweep(now_s=700, now_ms=NOW_MS + 700_000)
    changes += table.register([instance()], now_s=701, now_ms=NOW_MS + 701_000).changes
    assert [change.revision - revision for change in changes] == [1, 2, 3, 4, 5]


def test_a_sweep_looks_at_no_more_than_it_may_and_says_so() -> None:
    table = registry()
    table.register([instance(f"i{n}") for n in range(1000)], now_s=0, now_ms=NOW_MS)
    steps = [table.sweep(now_s=20.2, now_ms=NOW_MS, visits=300) for _ in range(8)]
    assert [step.expired for step in steps] == [
        0,
        0,
        0,
        200,
        300,
        300,
        200,
        0,
    ]  # all are looked at before any is judged
    assert [step.more for step in steps] == [True] * 6 + [False] * 2


def test_time_in_which_the_process_did_not_run_is_granted_to_every_lease() -> None:
    table = registry(pause_s=0.5)
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    for tenth in range(50):
        table.sweep(now_s=tenth / 10, now_ms=NOW_MS)
    assert not table.sweep(now_s=120, now_ms=NOW_MS).expired
    assert table.grants.granted_s > 110
    expired_s = next(t / 10 for t in range(1200, 1500) if table.sweep(now_s=t / 10, now_ms=NOW_MS).expired)
    assert 134.9 < expired_s < 136


def test_registering_many_instances_of_one_service_does_not_scan_it_each_time() -> None:
    """Pitfall 22: what a registration of one more instance touches does not grow with the service."""
    table = registry()
    table.register([instance(f"i{n}") for n in range(500)], now_s=0, now_ms=NOW_MS)
    service = table.services["svc.a"]
    fragment = service.fragment()
    table.register([instance(f"j{n}") for n in range(100)], now_s=0, now_ms=NOW_MS)
    assert service._fragment is None
    assert service._visible is None
    assert len(service.fragment()) > len(fragment)


class Switch:
    """Pulls out what it is told to."""

    def __init__(self) -> None:
        self.down: set[str] = set()

    def is_down(self, service_key: str, instance_key: str, ip: str, zone_key: str, group_key: str) -> bool:
        return bool({instance_key, ip, zone_key, group_key} & self.down)


def test_what_is_pulled_out_leaves_and_returns_with_a_push_each() -> None:
    switch = Switch()
    table = registry(visibility=switch)
    table.register([instance("i1"), instance("i2")], now_s=0, now_ms=NOW_MS)
    switch.down = {"i1"}
    (out,) = table.review(["svc.a"], now_ms=NOW_MS)
    assert [(one.change_type, one.key) for one in out.changes] == [("delete", "i1")]
    assert shown(table) == {"i2"}
    switch.down = set()
    (back,) = table.review(None, now_ms=NOW_MS)
    assert [(one.change_type, one.key) for one in back.changes] == [("new", "i1")]
    assert back.revision == out.revision + 1


def test_what_is_pulled_out_stays_out_when_it_registers_again_and_is_not_announced() -> None:
    switch = Switch()
    switch.down = {"default"}
    table = registry(visibility=switch)
    assert table.register([instance()], now_s=0, now_ms=NOW_MS).changes == []
    assert shown(table) == set()
    assert table.renew("svc.a", "i1", lease_s=0) is not None
    assert table.unregister([("svc.a", "i1")], now_s=0, now_ms=NOW_MS).changes == []


def test_changed_data_may_take_an_instance_out() -> None:
    switch = Switch()
    switch.down = {"10.0.0.9"}
    table = registry(visibility=switch)
    table.register([instance()], now_s=0, now_ms=NOW_MS)
    outcome = table.register([instance(ip="10.0.0.9")], now_s=0, now_ms=NOW_MS)
    assert [one.change_type for one in outcome.changes[0].changes] == ["delete"]
