"""Rate limits: a sliding window of ten seconds; what is refused is not counted."""

from hypothesis import given
from hypothesis import strategies as st

from artemis.store.ratelimit import CallerLimits, RateLimiter


def test_one_call_too_many_is_refused_until_the_window_has_moved_on() -> None:
    limiter = RateLimiter(3)
    assert [limiter.allow(0.5), limiter.allow(1), limiter.allow(2), limiter.allow(9.9)] == [True, True, True, False]
    assert limiter.allow(10.0)
    assert not limiter.allow(10.5)
    assert limiter.allow(11.0)


def test_a_long_silence_empties_the_window() -> None:
    limiter = RateLimiter(1)
    assert limiter.allow(0)
    assert limiter.allow(1000)


def test_zero_is_no_limit() -> None:
    assert all(RateLimiter(0).allow(0) for _ in range(1000))


@given(st.lists(st.floats(0, 60), max_size=60), st.integers(1, 5))
def test_no_window_of_ten_whole_seconds_holds_more_than_the_limit(times: list[float], limit: int) -> None:
    limiter = RateLimiter(limit)
    allowed = [int(now_s) for now_s in sorted(times) if limiter.allow(now_s)]
    assert all(sum(1 for t in allowed if start <= t < start + 10) <= limit for start in range(61))


def test_each_address_has_its_own_limit_and_the_quietest_is_forgotten_first() -> None:
    limits = CallerLimits(1, addresses_max=2)
    assert limits.allow("a", 0)
    assert not limits.allow("a", 1)
    assert limits.allow("b", 1)
    assert not limits.allow("a", 2)
    assert limits.allow("c", 2)
    assert limits.allow("b", 3)
