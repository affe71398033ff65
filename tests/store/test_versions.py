"""Versions order news across nodes and clocks."""

from hypothesis import given
from hypothesis import strategies as st

from artemis.store.versions import HybridClock, milliseconds, origin, origin_of


@given(st.lists(st.integers(0, 2**43), min_size=1, max_size=50))
def test_versions_of_one_clock_rise_whatever_the_wall_clock_does(times: list[int]) -> None:
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
