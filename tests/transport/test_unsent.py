"""What clients that do not read may cost: one body for all who are sent it, and a bound on all bodies together."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count

import pytest
import trio
import trio.testing

from artemis.transport.operations.shared import Shared
from artemis.transport.requests import Reply, Request, Route
from artemis.transport.server import Server
from artemis.transport.unsent import Unsent

from .serving import ROOMY, Client, connected, eventually, serving

MIB = 1024 * 1024
SAME = b"s" * 12 * MIB


async def same(request: Request) -> Reply:
    await trio.lowlevel.checkpoint()
    return Reply(200, SAME)


async def another(request: Request) -> Reply:
    """A body of its own for each caller."""
    await trio.lowlevel.checkpoint()
    return Reply(200, bytes(12 * MIB))


def hot(request: Request) -> Reply:
    return Reply(200, bytes(12 * MIB))


ROUTES = [
    Route("GET", "/same", same, "same"),
    Route("GET", "/another", another, "another"),
    Route("GET", "/hot", hot, "hot", hot=True),
]


class Reader:
    """A connection that is behind since some time."""

    def __init__(self, took_s: float) -> None:
        self.took_s = took_s
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_a_body_counts_once_however_many_read_it() -> None:
    unsent, readers = Unsent(100, reader_bytes_max=100), [Reader(n) for n in range(3)]
    for reader in readers:
        unsent.hold(reader, SAME, 60)
    assert unsent.bytes == 60
    for reader in readers:
        assert unsent.bytes == 60
        unsent.release(reader)
    assert unsent.bytes == 0
    assert not any(reader.aborted for reader in readers)


def test_beyond_the_bound_who_took_nothing_for_longest_is_cut_off() -> None:
    unsent, readers = Unsent(100, reader_bytes_max=100), [Reader(5.0), Reader(3.0), Reader(4.0)]
    for number, reader in enumerate(readers):
        unsent.hold(reader, bytes([number]), 45)
    assert [reader.aborted for reader in readers] == [False, True, False]
    assert (unsent.bytes, unsent.cut) == (90, 1)
    unsent.release(readers[1])
    assert unsent.bytes == 90


def test_one_reader_has_a_bound_of_its_own() -> None:
    unsent, reader = Unsent(100, reader_bytes_max=50), Reader(1.0)
    unsent.hold(reader, SAME, 51)
    assert reader.aborted
    assert unsent.bytes == 0


@asynccontextmanager
async def ask_and_never_read(server: Server, path: str, times: int) -> AsyncGenerator[list[Client], None]:
    async with trio.open_nursery() as nursery:
        clients: list[Client] = []

        async def hold(task_status: trio.TaskStatus[None]) -> None:
            async with connected(server) as client:
                clients.append(client)
                await client.send(b"GET %b HTTP/1.1\r\nHost: registry\r\n\r\n" % path.encode())
                task_status.started()
                await trio.sleep_forever()

        for _ in range(times):
            await nursery.start(hold)
        yield clients
        nursery.cancel_scope.cancel()


async def test_all_who_are_sent_the_same_are_sent_one_body(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, routes=ROUTES) as server, ask_and_never_read(server, "/same", 30):
        await eventually(lambda: server.statistics().unsent_bytes > 0)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert server.statistics().unsent_bytes == len(SAME)
        assert server.statistics().cut == 0
    assert server.statistics().unsent_bytes == 0


@pytest.mark.parametrize("path", ["/another", "/hot"])
async def test_the_sum_of_unsent_bytes_has_a_bound_and_readers_are_served(fast_lane: bool, path: str) -> None:
    limits = replace(ROOMY, unsent_bytes=40 * MIB)
    async with (
        serving(fast_lane=fast_lane, routes=ROUTES, limits=limits) as server,
        ask_and_never_read(server, path, 8),
        connected(server) as reader,
    ):
        await eventually(lambda: server.statistics().cut >= 5)
        assert server.statistics().unsent_bytes <= 40 * MIB
        answer = await reader.ask("GET", path)
        assert (answer.status, len(answer.body)) == (200, 12 * MIB)


async def test_an_answer_that_is_too_large_for_one_connection_is_a_503(fast_lane: bool) -> None:
    limits = replace(ROOMY, unsent_bytes_per_connection=10 * MIB)
    async with serving(fast_lane=fast_lane, routes=ROUTES, limits=limits) as server, connected(server) as client:
        answer = await client.ask("GET", "/same")
        assert answer.status == 503
        assert "limits.unsent_bytes_per_connection" in answer.json["message"]


async def test_the_kernel_keeps_little_for_who_does_not_read(fast_lane: bool) -> None:
    """Its own default is megabytes for each connection."""
    async with serving(fast_lane=fast_lane, routes=ROUTES) as server, ask_and_never_read(server, "/same", 1):
        await eventually(lambda: server.statistics().unsent_bytes > 0)
        (conversation,) = server._conversations
        lowat = conversation.wire.socket.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT)
        assert lowat == 128 * 1024


# One answer for everybody


class Making:
    """Makes answers that are numbered, when it is let."""

    def __init__(self) -> None:
        self.stamp = 0
        self.may = trio.Event()
        self.made = count(1)

    async def make(self) -> Reply:
        number = next(self.made)
        await self.may.wait()
        return Reply(200, b"%d" % number)


@contextmanager
def shared() -> Generator[tuple[Making, Shared, list[bytes]], None, None]:
    making = Making()
    yield making, Shared(making.make, lambda: making.stamp), []


async def test_who_asks_at_once_gets_the_same_object() -> None:
    with shared() as (making, answers, got):

        async def ask() -> None:
            got.append((await answers.reply()).body)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            making.may.set()
        await ask()
        assert got == [b"1"] * 6
        assert len({id(body) for body in got}) == 1


async def test_nobody_gets_an_answer_that_was_begun_before_something_changed_that_he_knows_of() -> None:
    with shared() as (making, answers, got):

        async def ask() -> None:
            got.append((await answers.reply()).body)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            making.stamp = 1
            for _ in range(3):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            making.stamp = 2  # while those three wait: the one that begins after they asked is good enough for all
            making.may.set()
        assert got == [b"1", b"2", b"2", b"2"]
