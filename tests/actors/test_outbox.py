"""The outbox: newest news only, bounded, and nothing is forgotten that was not acknowledged."""

import pytest

from artemis.actors.outbox import Outbox
from artemis.store.leases import Entry, ServiceTable

SERVICE = ServiceTable("svc", "svc", revision=1)


def leave(outbox: Outbox, limit: int = 10) -> tuple[int, list[str]]:
    waiting = outbox.peek(limit)
    assert waiting is not None
    flight = outbox.depart(*waiting, now_s=0.0)
    return flight.sequence, flight.keys


def test_news_of_one_key_is_told_once_with_the_time_of_the_oldest() -> None:
    outbox = Outbox(keys_max=10)
    outbox.offer("t", ["a"], now_ms=5)
    outbox.offer("t", ["a", "b"], now_ms=9)
    assert outbox.peek(10) == ("t", ["a", "b"])
    assert outbox.depart("t", ["a", "b"], now_s=0.0).stamp_ms == 5
    assert not outbox.has_news()
    assert not outbox.is_empty()


def test_what_is_acknowledged_is_forgotten() -> None:
    outbox = Outbox(keys_max=10)
    outbox.offer("t", ["a"], now_ms=1)
    first, _ = leave(outbox)
    outbox.offer("t", ["b"], now_ms=2)
    second, _ = leave(outbox)
    outbox.acknowledged(first)
    assert outbox.flights == 1
    outbox.acknowledged(second)
    assert outbox.is_empty()
    outbox.rewind()
    assert outbox.is_empty()


def test_what_was_not_acknowledged_waits_again_first_in_line() -> None:
    outbox = Outbox(keys_max=10)
    outbox.offer("t", ["a", "b"], now_ms=1)
    leave(outbox, 1)
    leave(outbox, 1)
    outbox.offer("t", ["c", "a"], now_ms=9)
    outbox.rewind()
    assert outbox.flights == 0
    assert outbox.peek(10) == ("t", ["a", "b", "c"])
    assert outbox.depart("t", ["a", "b", "c"], now_s=0.0).stamp_ms == 1
    assert outbox.statistics().waiting == 0


def test_news_that_comes_while_a_frame_is_under_way_leaves_in_another_one() -> None:
    outbox = Outbox(keys_max=10)
    outbox.offer("t", ["a"], now_ms=1)
    first, _ = leave(outbox)
    outbox.offer("t", ["a"], now_ms=2)
    outbox.acknowledged(first)
    assert leave(outbox)[1] == ["a"]


def test_an_acknowledgement_from_an_older_link_takes_nothing_away() -> None:
    outbox = Outbox(keys_max=10)
    outbox.offer("t", ["a"], now_ms=1)
    old, _ = leave(outbox)
    outbox.rewind()
    leave(outbox)
    outbox.acknowledged(old)
    assert outbox.flights == 1


@pytest.mark.parametrize("way", ["offered", "rewound"])
def test_too_many_keys_are_dropped_in_favour_of_a_reconciliation(way: str) -> None:
    outbox = Outbox(keys_max=3)
    outbox.offer("t", ["a", "b", "c"], now_ms=1)
    assert not outbox.reconcile
    if way == "rewound":
        leave(outbox)
        outbox.offer("t", ["d"], now_ms=1)
        outbox.rewind()
    else:
        outbox.offer("t", ["d"], now_ms=1)
    assert outbox.reconcile
    assert not outbox.has_news()
    assert outbox.statistics().overflows == 1
    outbox.offer("t", ["e"], now_ms=1)
    assert outbox.peek(10) == ("t", ["e"])


def test_renewals_are_collected_once_per_instance_and_leave_in_parts() -> None:
    outbox = Outbox(keys_max=10)
    entries = [Entry(SERVICE, f"i{n}") for n in range(5)]
    outbox.offer_renewals(entries)
    outbox.offer_renewals(entries[:2])
    assert (outbox.renewals, outbox.renewal_frames(2)) == (5, 3)
    flight = outbox.depart_renewals(2, bytes_max=1000, now_s=0.0)
    assert flight.renewals == entries[:2]
    assert outbox.depart_renewals(10, bytes_max=1000, now_s=0.0).renewals == entries[2:]
    outbox.rewind()
    assert outbox.renewals == 5


def test_keys_of_which_nothing_is_known_any_more_can_be_discarded() -> None:
    outbox = Outbox(keys_max=10)
    outbox.offer("t", ["a", "b"], now_ms=1)
    outbox.discard("t", ["a"])
    assert outbox.peek(10) == ("t", ["b"])
    outbox.discard("t", ["b", "never-heard-of"])
    assert outbox.is_empty()
