"""Warnings that strangers can cause."""

from artemis.actors.seldom import SeldomEach


def test_each_cause_is_told_at_once_and_then_counted() -> None:
    seldom = SeldomEach(most=2, every_s=10)
    assert [seldom.due("a", 0), seldom.due("b", 0)] == [1, 1]
    assert [seldom.due("a", now_s) for now_s in (1, 5, 9.9, 10)] == [0, 0, 0, 4]


def test_causes_that_somebody_invents_share_one_count_and_are_forgotten() -> None:
    seldom = SeldomEach(most=2, every_s=10)
    told = [seldom.due(f"invented {number}", number / 1000) for number in range(5000)]
    assert sum(map(bool, told)) == 3
    assert seldom.due("new", 10) == 1
    assert seldom.due("new", 10) == 0
