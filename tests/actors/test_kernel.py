"""The actor kernel: bounded mailboxes, and actors that are rebuilt until the budget is spent."""

import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from artemis.actors.mailbox import Mailbox
from artemis.actors.supervisor import ActorFailed, Restarts, open_supervisor


async def test_posting_to_a_full_mailbox_is_refused_and_counted() -> None:
    mailbox = Mailbox[int]("numbers", 2)
    assert [mailbox.post(n) for n in range(3)] == [True, True, False]
    statistics = mailbox.statistics()
    assert (statistics.depth, statistics.bound, statistics.refused) == (2, 2, 1)


async def test_a_closed_mailbox_gives_what_it_holds_and_then_ends() -> None:
    mailbox = Mailbox[int]("numbers", 5)
    mailbox.post(1)
    mailbox.post(2)
    mailbox.close()
    assert [n async for n in mailbox] == [1, 2]
    assert not mailbox.post(3)


async def test_sending_waits_for_room() -> None:
    mailbox = Mailbox[int]("numbers", 1)
    mailbox.post(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.send, 2)
        await wait_all_tasks_blocked()
        assert len(mailbox) == 1
        assert await mailbox.receive() == 1
        assert await mailbox.receive() == 2


class Fragile:
    """Crashes as often as it is told to, then works."""

    def __init__(self, lives: list[str]) -> None:
        self._lives = lives

    async def run(self) -> None:
        if self._lives:
            raise ValueError(self._lives.pop())
        await trio.sleep_forever()


async def test_an_actor_that_crashes_is_rebuilt_and_the_cause_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    lives = ["first", "second"]
    with caplog.at_level(logging.ERROR):
        async with open_supervisor() as supervisor:
            supervisor.start("fragile", lambda: Fragile(lives))
            await wait_all_tasks_blocked()
            assert supervisor.restarts["fragile"] == 2
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("second",),
        ("first",),
    ]


async def test_beyond_its_budget_an_actor_ends_the_node(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ActorFailed, match="fragile") as failed:
        async with open_supervisor() as supervisor:
            supervisor.start("fragile", lambda: Fragile(["x"] * 9), Restarts(intensity=2))
            await trio.sleep_forever()
    assert isinstance(failed.value.__cause__, ValueError)


async def test_an_actor_can_be_given_time_before_it_is_rebuilt(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble that comes from elsewhere and stays cannot use up the budget: it is met once per pause."""
    async with open_supervisor() as supervisor:
        supervisor.start("patient", lambda: Fragile(["x"] * 1000), Restarts(intensity=13, period_s=60, pause_s=5))
        with trio.move_on_after(301):
            await trio.sleep_forever()
        assert supervisor.restarts["patient"] == 61


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with open_supervisor() as supervisor:
            supervisor.start("one", lambda: Fragile([]))
            raise KeyError("mine")


class Periodic:
    """Crashes once in a while."""

    async def run(self) -> None:
        await trio.sleep(40)
        raise ValueError("again")


async def test_crashes_that_lie_far_apart_do_not_add_up(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_supervisor() as supervisor:
        supervisor.start("periodic", Periodic, Restarts(intensity=1, period_s=60))
        with trio.move_on_after(39):
            await trio.sleep_forever()
        assert supervisor.restarts["periodic"] == 0
        supervisor.stop("periodic")


async def test_a_stopped_actor_is_cancelled_and_the_others_go_on() -> None:
    async with open_supervisor() as supervisor:
        supervisor.start("one", lambda: Fragile([]))
        supervisor.start("two", lambda: Fragile([]))
        supervisor.stop("one")
        await wait_all_tasks_blocked()
