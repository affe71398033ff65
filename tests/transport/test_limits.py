"""What a stranger may cost: slow, oversized, endless, silent and greedy clients, in both lanes."""

import dataclasses
import gzip
from contextlib import AsyncExitStack

import pytest
import trio

from artemis.transport import wire
from artemis.transport.requests import Route

from ..pace import paced
from .serving import (
    QUICK,
    ROOMY,
    ROUTES,
    SHORT_S,
    Client,
    bomb,
    chunked,
    connected,
    eventually,
    large,
    message,
    serving,
)

SMALL = dataclasses.replace(ROOMY, body_bytes=10_000, header_bytes=4096)


async def test_headers_that_do_not_come_to_an_end_in_time_are_408(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, limits=QUICK) as server, connected(server) as client:
        await client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\n")
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (408, "close")
        assert await client.ended()


async def test_headers_that_drip_are_408_all_the_same(fast_lane: bool) -> None:
    """Each byte is progress, but the deadline is for the whole."""
    async with (
        serving(fast_lane=fast_lane, limits=QUICK) as server,
        connected(server) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_drip, client)
        assert (await client.answer()).status == 408
        nursery.cancel_scope.cancel()


async def _drip(client: Client) -> None:
    await client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nx: ")
    while True:
        await client.send(b"y")
        await trio.sleep(0.01)


async def test_slow_headers_of_a_later_request_are_408_too() -> None:
    async with serving(limits=QUICK) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}")).status == 200
        await client.send(b"POST /echo HTTP/1.1\r\nHost")
        assert (await client.answer()).status == 408


async def test_a_connection_without_a_single_byte_is_closed_in_silence(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, limits=QUICK) as server, connected(server) as client:
        assert await client.ended()


async def test_an_idle_connection_is_closed_in_silence(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, limits=QUICK) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}")).status == 200
        assert await client.ended()


@pytest.mark.parametrize("framing", [{"content_length": "100"}, {"transfer_encoding": "chunked"}])
async def test_a_body_without_end_is_408(fast_lane: bool, framing: dict[str, str]) -> None:
    async with serving(fast_lane=fast_lane, limits=QUICK) as server, connected(server) as client:
        await client.send(message("POST", "/echo", None, content_type="application/json", **framing) + b"5\r\n{")
        assert (await client.answer()).status == 408
        assert await client.ended()


async def test_a_header_section_over_the_limit_is_431(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, limits=SMALL) as server, connected(server) as client:
        await client.send(message("POST", "/echo", b"{}", x="y" * SMALL.header_bytes))
        answer = await client.answer()
        assert (answer.status, answer.json["status"]) == (431, 431)


async def test_headers_without_end_are_431(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, limits=SMALL) as server, connected(server) as client:
        await client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 1000)
        assert (await client.answer()).status == 431


async def test_a_body_at_the_limit_passes(fast_lane: bool) -> None:
    body = b"x" * SMALL.body_bytes
    async with serving(fast_lane=fast_lane, limits=SMALL) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", body)).body == body
        assert (await client.ask("POST", "/echo", gzip.compress(body), content_encoding="gzip")).body == body
        head = message("POST", "/echo", content_type="application/json", transfer_encoding="chunked")
        await client.send(head + chunked(body, 999))
        assert (await client.answer()).body == body


async def test_a_declared_body_over_the_limit_is_413_before_it_is_sent(fast_lane: bool) -> None:
    length = str(SMALL.body_bytes + 1)
    async with serving(fast_lane=fast_lane, limits=SMALL) as server, connected(server) as client:
        await client.send(message("POST", "/echo", content_type="application/json", content_length=length))
        answer = await client.answer()
        assert (answer.status, answer.json["status"]) == (413, 413)


async def test_a_client_that_sends_a_huge_body_regardless_still_reads_its_413(fast_lane: bool) -> None:
    """Closing under a client that is still sending would reset the connection, and the answer with it."""
    body = b"x" * 5_000_000
    async with serving(fast_lane=fast_lane, limits=SMALL) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", body)).status == 413


async def test_chunks_that_add_up_over_the_limit_are_413(fast_lane: bool) -> None:
    head = message("POST", "/echo", content_type="application/json", transfer_encoding="chunked")
    async with serving(fast_lane=fast_lane, limits=SMALL) as server, connected(server) as client:
        await client.send(head + chunked(b"x" * (SMALL.body_bytes + 1), 1000))
        assert (await client.answer()).status == 413


async def test_a_gzip_bomb_is_413_and_the_connection_lives_on(fast_lane: bool) -> None:
    body = bomb(50_000_000)
    limits = dataclasses.replace(SMALL, body_bytes=100_000)
    assert len(body) < limits.body_bytes
    async with serving(fast_lane=fast_lane, limits=limits) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", body, content_encoding="gzip")).status == 413
        assert (await client.ask("POST", "/echo", b"{}")).status == 200


async def test_a_connection_too_many_is_503_and_closed(fast_lane: bool) -> None:
    limits = dataclasses.replace(ROOMY, connections=2)
    async with serving(fast_lane=fast_lane, limits=limits) as server:
        async with connected(server) as first, connected(server) as second:
            for client in (first, second):
                assert (await client.ask("POST", "/echo", b"{}")).status == 200
            async with connected(server) as third:
                answer = await third.answer()
                assert (answer.status, answer.header("retry-after")) == (503, "1")
                assert await third.ended()
            assert server.statistics().refused == 1
        async with connected(server) as fourth:
            await eventually(lambda: server.statistics().connections <= 1)
            assert (await fourth.ask("POST", "/echo", b"{}")).status in (200, 503)


async def test_idle_connections_beyond_the_bound_do_not_keep_others_out_for_long() -> None:
    """A crowd that connects and says nothing is gone after the header timeout."""
    limits = dataclasses.replace(QUICK, connections=100, header_timeout_s=paced(1.0))
    async with serving(limits=limits) as server, AsyncExitStack() as crowd:
        for _ in range(150):
            await crowd.enter_async_context(connected(server))
        await eventually(lambda: server.statistics().refused >= 50)
        assert server.statistics().connections == 100
        await eventually(lambda: not server.statistics().connections)
        async with connected(server) as client:
            assert (await client.ask("POST", "/echo", b"{}")).status == 200


@pytest.mark.parametrize("path", ["/large", "/large-and-cold"])
async def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(wire, "SEND_BYTES_PER_S_MIN", 1_000_000_000)
    cold = Route("GET", "/large-and-cold", large, "large-and-cold")
    limits = dataclasses.replace(ROOMY, send_timeout_s=SHORT_S)
    async with serving(limits=limits, routes=[*ROUTES, cold]) as server, connected(server) as client:
        await client.send(message("GET", path))
        await eventually(lambda: server.statistics().connections > 0)
        await eventually(lambda: not server.statistics().connections)


async def test_a_client_that_hangs_up_in_the_middle_harms_nobody(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server:
        for cut in (b"", b"POST", b"POST /echo HTTP/1.1\r\nHost: a\r\n", message("POST", "/echo", b"{}" * 9)[:-3]):
            async with connected(server) as client:
                await client.send(cut or b"\r\n")
        await eventually(lambda: not server.statistics().connections)
        async with connected(server) as client:
            assert (await client.ask("POST", "/echo", b"{}")).status == 200


async def test_a_client_may_close_its_half_and_still_read_the_answer() -> None:
    async with serving() as server, connected(server) as client:
        await client.send(message("POST", "/echo", b"{}"))
        await client.stream.send_eof()
        assert (await client.answer()).body == b"{}"
        assert await client.ended()
