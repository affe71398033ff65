"""The proxies, over real loopback sockets: what arrives, when, and what the ends of a connection see.

Two ends answer at once when they can; silence is proved by a short wait in which nothing came, and then by
the same bytes arriving after the heal.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import trio

from artemis.cluster.faults import Cut, FaultTable
from artemis.cluster.proxy import Network, Proxy

from ..pace import PATIENCE_S

SILENCE_S = 0.05
"""Long enough for loopback to have delivered, had it been allowed to."""


async def serve_echo(stream: trio.SocketStream) -> None:
    async with stream:
        with suppress(trio.BrokenResourceError):
            async for data in stream:
                await stream.send_all(data)


@dataclass
class Wire:
    network: Network
    proxy: Proxy

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.proxy.port)

    async def connect_eventually(self) -> trio.SocketStream:
        while True:
            try:
                return await self.connect()
            except OSError:
                await trio.sleep(0.01)


@asynccontextmanager
async def open_wire() -> AsyncGenerator[Wire]:
    """A proxy from `a` to `b`, where an echo server listens."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_echo, listeners)
        network = Network(FaultTable(["a", "b"]), seed=1)
        proxy = Proxy(network, "a", "b", listeners[0].socket.getsockname()[:2])
        await nursery.start(proxy.run)
        with trio.fail_after(PATIENCE_S):
            yield Wire(network, proxy)
        nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = await stream.receive_some(size - len(received))
        assert piece, "the connection ended early"
        received += piece
    return bytes(received)


async def hears_nothing(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(SILENCE_S):
        await stream.receive_some()
        return False
    return True


async def is_reset(stream: trio.SocketStream) -> bool:
    try:
        return not await stream.receive_some()
    except trio.BrokenResourceError:
        return True


async def test_bytes_pass_unchanged_and_in_order() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        sent = bytes(range(256)) * 2000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, sent)
            assert await receive_exactly(stream, len(sent)) == sent
        assert wire.proxy.statistics.opened == 1


async def test_the_end_of_a_stream_travels_through() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        await stream.send_all(b"last words")
        await stream.send_eof()
        assert await receive_exactly(stream, 10) == b"last words"
        assert await stream.receive_some() == b""


async def test_a_silent_cut_loses_nothing_once_it_heals() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        await stream.send_all(b"one")
        assert await receive_exactly(stream, 3) == b"one"
        wire.network.apply(lambda table: table.cut(table.select("a|b")))
        await stream.send_all(b"two")
        assert await hears_nothing(stream)
        wire.network.apply(lambda table: table.heal())
        assert await receive_exactly(stream, 3) == b"two"


async def test_a_one_way_cut_stops_the_answers_and_not_the_questions() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        await stream.send_all(b"one")
        assert await receive_exactly(stream, 3) == b"one"
        bytes_before = wire.proxy.statistics.bytes
        wire.network.apply(lambda table: table.cut(table.select("b>a")))
        await stream.send_all(b"two")
        assert await hears_nothing(stream)
        assert wire.proxy.statistics.bytes == bytes_before + 3, "the question arrived"


async def test_a_new_connection_during_a_silent_cut_hangs_until_the_heal() -> None:
    async with open_wire() as wire:
        wire.network.apply(lambda table: table.cut(table.select("a|b")))
        async with await wire.connect() as stream:
            await stream.send_all(b"hello")
            assert await hears_nothing(stream)
            wire.network.apply(lambda table: table.heal())
            assert await receive_exactly(stream, 5) == b"hello"


async def test_a_reset_cut_ends_open_connections_and_turns_new_ones_away() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        await stream.send_all(b"one")
        assert await receive_exactly(stream, 3) == b"one"
        wire.network.apply(lambda table: table.cut(table.select("a|b"), cut=Cut.RESET))
        assert await is_reset(stream)
        await until_refused(wire.proxy.port)
        wire.network.apply(lambda table: table.heal())
        async with await wire.connect_eventually() as healed:
            await healed.send_all(b"two")
            assert await receive_exactly(healed, 3) == b"two"


async def test_delay_counts_once_for_each_direction() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        wire.network.apply(lambda table: table.slow(table.select(""), delay_s=0.06))
        started_s = trio.current_time()
        await stream.send_all(b"ping")
        assert await receive_exactly(stream, 4) == b"ping"
        assert trio.current_time() - started_s >= 0.12


async def test_bandwidth_limits_what_arrives_in_a_while() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        wire.network.apply(lambda table: table.slow(table.select("a>b"), delay_s=0, bytes_per_s=100_000))
        started_s = trio.current_time()
        await stream.send_all(bytes(10_000))
        await receive_exactly(stream, 10_000)
        assert trio.current_time() - started_s >= 0.1


async def test_loss_delays_and_does_not_corrupt() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        wire.network.apply(lambda table: table.lossy(table.select("a>b"), loss=1.0))
        started_s = trio.current_time()
        await stream.send_all(b"ping")
        assert await receive_exactly(stream, 4) == b"ping"
        assert trio.current_time() - started_s >= 0.2


async def test_a_lossy_wire_can_break_a_connection() -> None:
    async with open_wire() as wire, await wire.connect() as stream:
        wire.network.apply(lambda table: table.lossy(table.select("a>b"), loss=0, reset=1.0))
        await stream.send_all(b"ping")
        assert await is_reset(stream)


async def until_accepted(port: int) -> None:
    """Return when a new connection is neither refused nor reset."""
    while True:
        with suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                if await hears_nothing(stream):
                    return
        await trio.sleep(0.01)


async def until_refused(port: int) -> None:
    """Return when connections are refused, as by a port on which nobody listens."""
    while True:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await is_reset(stream)
        except OSError:
            return


async def test_a_node_that_is_not_there_is_refused_until_it_is() -> None:
    """Refusal tells a starting node that there is nobody to ask: a proxy must not turn it into something else."""
    async with trio.open_nursery() as nursery:
        probe = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = probe[0].socket.getsockname()[1]
        await probe[0].aclose()
        proxy = Proxy(Network(FaultTable(["a", "b"])), "a", "b", ("127.0.0.1", port))
        await nursery.start(proxy.run)
        with trio.fail_after(PATIENCE_S):
            await until_refused(proxy.port)
            listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve_echo, listeners)
            await until_accepted(proxy.port)
            async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
                await stream.send_all(b"hello")
                assert await receive_exactly(stream, 5) == b"hello"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("cut", [Cut.SILENT, Cut.RESET])
async def test_shutting_down_waits_for_nobody(cut: Cut) -> None:
    async with open_wire() as wire:
        stream = await wire.connect()
        await stream.send_all(b"one")
        wire.network.apply(lambda table: table.cut(table.select(""), cut=cut))
    with trio.fail_after(PATIENCE_S):
        assert await is_reset(stream)
    await stream.aclose()
