"""Versions order news across nodes and clocks."""

from hypothesis import given
from hypothesis import strategies as st

from artemis.store.versions import AHEAD_MAX_MS, HybridClock, discredited, is_ahead, milliseconds, origin, origin_of

YEAR_MS = 365 * 24 * 3600 * 1000
NOW_MS = 1_800_000_000_000


@given(st.lists(st.integers(NOW_MS, NOW_MS + AHEAD_MAX_MS), min_size=1, max_size=50))
def test_versions_of_one_clock_rise_while_the_wall_clock_wavers(times: list[int]) -> None:
    clock = HybridClock(7)
    versions = [clock.next(now_ms) for now_ms in times]
    assert versions == sorted(set(versions))
    assert all(origin(version) == 7 for version in versions)


def test_a_version_is_later_than_what_was_witnessed_even_from_a_clock_ahead() -> None:
    ahead, behind = HybridClock(1), HybridClock(2)
    theirs = ahead.next(10_000)
    behind.witness(theirs)
    assert behind.next(5) > theirs


def test_a_version_can_be_asked_to_be_above_another() -> None:
    assert HybridClock(1).next(5, above=HybridClock(9).next(10_000)) > HybridClock(9).next(10_000)


def test_two_clocks_that_agree_tell_the_order_within_a_millisecond() -> None:
    """Whatever their origins are."""
    for first, second in ((1, 2), (2, 1)):
        assert HybridClock(first).next(10_000.25) < HybridClock(second).next(10_000.251)
        assert HybridClock(first).next(10_000) < HybridClock(second).next(10_000.25)
    assert milliseconds(HybridClock(1).next(10_000.999)) == 10_000


def test_more_versions_than_a_millisecond_holds_flow_into_the_next() -> None:
    clock = HybridClock(1)
    last = [clock.next(1000) for _ in range(70_000)][-1]
    assert milliseconds(last) == 1001


def test_nodes_have_different_origins_and_never_zero() -> None:
    origins = {origin_of(f"node-{n}") for n in range(1000)}
    assert len(origins) == 1000
    assert 0 not in origins


Wall = st.integers(NOW_MS - 10 * YEAR_MS, NOW_MS + 10 * YEAR_MS)


@given(st.lists(st.tuples(Wall, Wall), min_size=1, max_size=50))
def test_whatever_is_witnessed_no_version_is_further_ahead_than_allowed(steps: list[tuple[int, int]]) -> None:
    clock, seen = HybridClock(7), HybridClock(9)
    for now_ms, elsewhere_ms in steps:
        clock.witness(seen.next(elsewhere_ms))
        version = clock.next(now_ms)
        assert now_ms <= milliseconds(version) <= now_ms + AHEAD_MAX_MS + 1


@given(st.lists(Wall, min_size=1, max_size=50))
def test_a_version_of_one_thing_is_above_the_one_before_whatever_the_wall_clock_does(times: list[int]) -> None:
    """Otherwise an acknowledged write would be lost at the node that took it."""
    clock, version = HybridClock(7), 0
    for now_ms in times:
        before, version = version, clock.next(now_ms, above=version)
        assert version > before


def test_one_stamp_from_the_future_hides_nothing_that_is_believed() -> None:
    clock = HybridClock(1)
    first = clock.next(NOW_MS)
    clock.witness(HybridClock(2).next(NOW_MS + YEAR_MS))
    second = clock.next(NOW_MS)
    assert second > first
    above = HybridClock(2).next(NOW_MS + YEAR_MS)
    assert clock.next(NOW_MS, above=above) > above
    assert second < clock.next(NOW_MS) < above


def test_a_node_whose_clock_is_behind_still_writes_above_what_it_witnessed() -> None:
    behind, right = HybridClock(1), HybridClock(2)
    theirs = right.next(NOW_MS)
    behind.witness(theirs)
    assert behind.next(NOW_MS - AHEAD_MAX_MS + 1) > theirs


@given(st.lists(st.integers(NOW_MS + AHEAD_MAX_MS + 1, NOW_MS + 20 * YEAR_MS), min_size=2, max_size=20, unique=True))
def test_what_is_discredited_is_older_than_all_that_is_right_and_keeps_its_order(times: list[int]) -> None:
    clock = HybridClock(3)
    future = [clock.next(now_ms) for now_ms in sorted(times)]
    assert all(is_ahead(version, now_ms=NOW_MS, ahead_max_ms=AHEAD_MAX_MS) for version in future)
    counted_as = [discredited(version) for version in future]
    assert counted_as == sorted(set(counted_as))
    assert counted_as[-1] < HybridClock(1).next(NOW_MS)
    assert all(origin(version) == 3 for version in counted_as)
    assert [discredited(version) for version in counted_as] == counted_as
