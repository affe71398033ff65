"""The change broadcaster: everybody hears everything in order, and nobody waits for the slow."""

import logging

import pytest
from trio.testing import wait_all_tasks_blocked

from artemis.actors.broadcaster import (
    EVERYTHING,
    GOING_AWAY,
    TRY_AGAIN,
    Broadcaster,
    Push,
    Subscriber,
    Subscriptions,
)
from artemis.actors.mailbox import Mailbox
from artemis.actors.supervisor import open_supervisor
from artemis.store.changes import InstanceChange, ServiceChange


def change(service: str, revision: int, version: int = 0) -> ServiceChange:
    return ServiceChange(service, service, revision, (), True, 0, version or revision)


def heard(subscriber: Subscriber) -> list[tuple[str, int]]:
    pushes: list[tuple[str, int]] = []
    while len(subscriber.waiting):
        item = subscriber.waiting.receive_nowait()
        assert isinstance(item, Push)
        pushes.append((item.change.service_key, item.change.revision))
    return pushes


def a_subscriber(subscriptions: Subscriptions, *keys: str, backlog: int = 100, floor: int = 0) -> Subscriber:
    subscriber = Subscriber("test", backlog=backlog)
    subscriptions.open(subscriber)
    for key in keys:
        subscriptions.subscribe(subscriber, key, floor=floor)
    return subscriber


async def test_subscribers_hear_of_their_services_in_order_and_once() -> None:
    subscriptions = Subscriptions()
    one = a_subscriber(subscriptions, "svc.a")
    everything = a_subscriber(subscriptions, EVERYTHING, "svc.a")
    broadcaster = Broadcaster(subscriptions)
    async with open_supervisor() as supervisor:
        supervisor.start("broadcaster", lambda: broadcaster)
        broadcaster.post([change("svc.a", 1), change("svc.b", 1)])
        broadcaster.post([change("svc.a", 2)])
        await wait_all_tasks_blocked()
    assert heard(one) == [("svc.a", 1), ("svc.a", 2)]
    assert heard(everything) == [("svc.a", 1), ("svc.b", 1), ("svc.a", 2)]


async def test_what_a_snapshot_held_already_is_not_told_again() -> None:
    """Pitfall 19: a change that waits for the broadcaster may be part of the snapshot taken meanwhile."""
    subscriptions = Subscriptions()
    broadcaster = Broadcaster(subscriptions)
    a_subscriber(subscriptions)
    broadcaster.post([change("svc.a", 1), change("svc.a", 2)])
    late = a_subscriber(subscriptions, "svc.a", floor=2)
    broadcaster.post([change("svc.a", 3)])
    async with open_supervisor() as supervisor:
        supervisor.start("broadcaster", lambda: broadcaster)
        await wait_all_tasks_blocked()
    assert heard(late) == [("svc.a", 3)]


async def test_a_subscriber_that_does_not_keep_up_is_closed_and_the_others_go_on() -> None:
    """Pitfall 18."""
    subscriptions = Subscriptions()
    slow = a_subscriber(subscriptions, "svc.a", backlog=2)
    quick = a_subscriber(subscriptions, "svc.a")
    broadcaster = Broadcaster(subscriptions)
    async with open_supervisor() as supervisor:
        supervisor.start("broadcaster", lambda: broadcaster)
        broadcaster.post([change("svc.a", n) for n in range(1, 6)])
        await wait_all_tasks_blocked()
    assert slow.farewell is not None
    assert slow.farewell.code == TRY_AGAIN
    assert heard(slow) == [("svc.a", 1), ("svc.a", 2)]
    assert len(heard(quick)) == 5
    subscriptions.close(slow)
    assert subscriptions.lagged == 1
    assert subscriptions.listeners("svc.a") == [quick]


async def test_a_broadcaster_that_falls_behind_makes_everybody_resume_and_skips_nothing_in_silence() -> None:
    subscriptions = Subscriptions()
    subscriber = a_subscriber(subscriptions, "svc.a")
    broadcaster = Broadcaster(subscriptions, Mailbox("broadcaster", 2))
    for n in range(1, 5):
        broadcaster.post([change("svc.a", n)])
    assert subscriber.farewell is not None
    assert subscriber.farewell.code == TRY_AGAIN


async def test_a_broadcaster_that_crashed_makes_everybody_resume(caplog: pytest.LogCaptureFixture) -> None:
    subscriptions = Subscriptions()
    subscriber = a_subscriber(subscriptions, "svc.a")
    broadcaster = Broadcaster(subscriptions)
    with caplog.at_level(logging.CRITICAL):
        async with open_supervisor() as supervisor:
            supervisor.start("broadcaster", lambda: broadcaster)
            broadcaster.mailbox.post((None,))  # type: ignore[arg-type]
            await wait_all_tasks_blocked()
            assert supervisor.restarts["broadcaster"] == 1
    assert subscriber.farewell is not None
    assert subscriber.farewell.code == TRY_AGAIN


async def test_everybody_can_be_dismissed_with_a_reason_and_the_first_reason_counts() -> None:
    subscriptions = Subscriptions()
    subscriber = a_subscriber(subscriptions, "svc.a")
    subscriptions.dismiss(GOING_AWAY, "stopping")
    subscriber.leave(TRY_AGAIN, "slow")
    assert subscriber.farewell is not None
    assert (subscriber.farewell.code, subscriber.farewell.reason) == (GOING_AWAY, "stopping")


async def test_a_change_is_encoded_once_for_all_subscribers_of_a_dialect() -> None:
    calls: list[int] = []

    def encode(step: ServiceChange) -> tuple[str, ...]:
        calls.append(step.revision)
        return (str(step.revision),)

    push = Push(change("svc.a", 7))
    assert [push.texts(encode) for _ in range(3)] == [("7",)] * 3
    assert calls == [7]


def large(service: str, revision: int) -> Push:
    told = InstanceChange("new", b"x" * 1000, "i1", 0)
    return Push(ServiceChange(service, service, revision, (told,), False, 0, revision))


async def test_what_waits_for_all_has_a_bound_and_counts_once() -> None:
    """Whoever is furthest behind resumes; who reads is not touched, and what waits for nobody is not counted."""
    subscriptions = Subscriptions(bytes_max=10_000)
    behind, slow, quick = (a_subscriber(subscriptions, "svc.a") for _ in range(3))
    for revision in range(1, 31):
        push = large("svc.a", revision)
        for subscriber in (behind, slow, quick):
            subscriber.offer(push)
        quick.taken(quick.waiting.receive_nowait())
        if revision > 4 and slow.farewell is None:
            slow.taken(slow.waiting.receive_nowait())
        assert subscriptions.bytes <= 10_000
    assert behind.farewell is not None
    assert behind.farewell.code == TRY_AGAIN
    assert "bytes were waiting" in behind.farewell.reason
    assert (quick.farewell, slow.farewell) == (None, None)
    assert len(behind.waiting) == 0
    subscriptions.close(slow)
    assert subscriptions.bytes == 0


async def test_what_waits_for_one_has_a_bound_too() -> None:
    subscriptions = Subscriptions(subscriber_bytes_max=5_000)
    subscriber, other = a_subscriber(subscriptions, "svc.a"), a_subscriber(subscriptions, "svc.a")
    for revision in range(1, 6):
        subscriber.offer(large("svc.a", revision))
    assert subscriber.farewell is not None
    other.say("x" * 5_001)
    assert other.farewell is not None
    assert subscriptions.bytes == 0
