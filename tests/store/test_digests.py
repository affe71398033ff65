"""Digests: equal numbers stand for equal states, and the smallest difference shows."""

from artemis.store.digests import Digests, bucket_of
from artemis.store.versions import COUNTER_SHIFT, MILLISECOND_SHIFT, origin_of

KEY = "svc.a\ni1"
STAMP = 1_800_000_000_000 << MILLISECOND_SHIFT | 3 << COUNTER_SHIFT
A, B = origin_of("node-a"), origin_of("node-b")


def digests(*rows: tuple[str, int]) -> list[int]:
    digests = Digests()
    for key, version in rows:
        digests.replace(key, 0, version)
    return digests.values()


def test_every_part_of_a_version_counts() -> None:
    """Two nodes that stamp the same key in the same millisecond differ in nothing but their origin."""
    one = digests((KEY, STAMP | A))
    for other in (STAMP | B, STAMP + (1 << COUNTER_SHIFT) | A, STAMP + (1 << MILLISECOND_SHIFT) | A):
        differing = [bucket for bucket, value in enumerate(digests((KEY, other))) if value != one[bucket]]
        assert differing == [bucket_of(KEY)]


def test_the_order_does_not_count_and_what_is_gone_leaves_nothing() -> None:
    rows = [(f"svc.a\ni{number}", STAMP | A) for number in range(100)]
    assert digests(*rows) == digests(*reversed(rows))
    table = Digests()
    table.replace(KEY, 0, STAMP | A)
    table.replace(KEY, STAMP | A, STAMP | B)
    assert table.values() == digests((KEY, STAMP | B))
    table.replace(KEY, STAMP | B, 0)
    assert table.values() == digests()
