"""WebSocket sessions over real sockets, with the fast lane and without."""

import dataclasses
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio_websocket

from artemis.transport.heads import parse_head
from artemis.transport.requests import Caller
from artemis.transport.server import Server
from artemis.transport.sessions import OpenSockets
from artemis.transport.sockets import BinarySocket, PeerRoute, Socket, SocketClosed, SocketRoute
from artemis.transport.upgrades import plain_handshake, serve_socket
from artemis.transport.wire import Wire

from ..pace import paced
from .serving import QUICK, ROOMY, connected, eventually, message, serving

HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def echo(socket: Socket, caller: Caller) -> None:
    while True:
        await socket.send(f"{caller.ip} {await socket.receive()}")


async def echo_frames(socket: BinarySocket, caller: Caller) -> None:
    while True:
        await socket.send(await socket.receive())


async def leave(socket: Socket, caller: Caller) -> None:
    await socket.receive()


async def say_why(socket: Socket, caller: Caller) -> None:
    await socket.close(1013, "too slow; " + "reconnect " * 50)


async def crash(socket: Socket, caller: Caller) -> None:
    raise ZeroDivisionError


async def talk(socket: Socket, caller: Caller) -> None:
    """Two tasks send at once, while nobody stops them."""
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(_babble, socket)
        await socket.receive()


async def _babble(socket: Socket) -> None:
    while True:
        await socket.send("x" * 10_000)


SOCKETS: list[SocketRoute | PeerRoute] = [
    SocketRoute("/ws", echo, "echo"),
    SocketRoute("/leave", leave, "leave"),
    SocketRoute("/why", say_why, "why"),
    SocketRoute("/crash", crash, "crash"),
    SocketRoute("/talk", talk, "talk"),
    SocketRoute("/members", echo, "members", admits=lambda caller: caller.ip != "127.0.0.1"),
    PeerRoute("/peer", echo_frames),
]


@asynccontextmanager
async def socket_to(server: Server, path: str) -> AsyncGenerator[trio_websocket.WebSocketConnection, None]:
    """A client's socket. Its stream is ours, since the library leaves it open when the server closes first."""
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    try:
        async with trio.open_nursery() as nursery:
            yield await trio_websocket.wrap_client_stream(nursery, stream, "registry", path)
            await stream.aclose()
    finally:
        with trio.CancelScope(shield=True):
            await stream.aclose()


async def closed_with(socket: trio_websocket.WebSocketConnection) -> tuple[int, str | None]:
    with pytest.raises(trio_websocket.ConnectionClosed) as closed:
        while True:
            await socket.get_message()
    reason = closed.value.reason
    assert reason is not None
    return reason.code, reason.reason


async def test_a_session_receives_and_sends_text(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/ws") as socket:
        for text in ("a", "", "ü" * 5000):
            await socket.send_message(text)
            assert await socket.get_message() == f"127.0.0.1 {text}"
        assert server.statistics().sockets == 1


async def test_pings_are_answered(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/ws") as socket:
        await socket.ping(b"hello")


async def test_a_session_that_returns_is_closed_normally(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/leave") as socket:
        await socket.send_message("bye")
        assert await closed_with(socket) == (1000, None)
        await eventually(lambda: server.statistics().sockets == server.statistics().connections == 0)


async def test_a_session_may_close_with_a_reason_that_is_cut_to_fit(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/why") as socket:
        code, reason = await closed_with(socket)
        assert (code, str(reason)[:20], len(str(reason))) == (1013, "too slow; reconnect ", 123)


async def test_a_binary_message_closes_with_1003(fast_lane: bool) -> None:
    for frame in (b"binary", b""):
        async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/ws") as socket:
            await socket.send_message(frame)
            assert await closed_with(socket) == (1003, "Binary messages not supported")


async def test_a_message_over_the_limit_closes_with_1009(fast_lane: bool) -> None:
    limits = dataclasses.replace(ROOMY, websocket_text_bytes=1000)
    async with (
        serving(fast_lane=fast_lane, sockets=SOCKETS, limits=limits) as server,
        socket_to(server, "/ws") as socket,
    ):
        await socket.send_message("x" * 900)
        assert len(str(await socket.get_message())) > 900
        await socket.send_message("x" * 1001)
        assert (await closed_with(socket))[0] == 1009


async def test_a_crash_of_a_session_closes_with_1011_and_ends_nothing_else(
    fast_lane: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/ws") as other:
        async with socket_to(server, "/crash") as socket:
            assert (await closed_with(socket))[0] == 1011
        await other.send_message("still here")
        assert await other.get_message() == "127.0.0.1 still here"
    assert "ZeroDivisionError" in caplog.text


async def test_who_is_not_admitted_gets_an_empty_200(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, connected(server) as client:
        answer = await client.ask("GET", "/members", None, **HANDSHAKE)
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"sec_websocket_key": ""}, 400), ({"connection": "keep-alive"}, 400), ({"sec_websocket_version": "8"}, 426)],
)
async def test_a_bad_handshake_is_refused(change: dict[str, str], status: int) -> None:
    async with serving(sockets=SOCKETS) as server, connected(server) as client:
        assert (await client.ask("GET", "/ws", None, **{**HANDSHAKE, **change})).status == status


@pytest.mark.parametrize("path", ["/ws", "/peer"])
@pytest.mark.parametrize(
    "lines",
    [
        b"Host: registry\r\nSec-WebSocket-Protocol: \xff",
        b"Host: registry\r\nSec-WebSocket-Extensions: \xff",
        b"Host: registry\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        b"Host: registry\r\nCookie: \xff",
        b"Host: registry\r\nCookie: " + b"x" * 20_000,
        b"Host: registry\r\nConnection: keep-alive",
        b"Host: registry\r\nSec-WebSocket-Version: 8",
        b"Host: a..b",
        b"Host: " + b"a" * 70,
    ],
)
async def test_what_the_answer_to_a_handshake_does_not_depend_on_cannot_fail_it(
    path: str, lines: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is judged once. The library would judge it again, and what it does not like fail without an answer."""
    caplog.set_level("INFO")
    head = b"GET %b HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n\r\n"
    async with serving(sockets=SOCKETS) as server, connected(server) as client:
        await client.send((head + key) % (path.encode(), lines))
        answer = await client.answer()
        assert answer.status == 101
        assert answer.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.header("sec-websocket-extensions") is None
    assert not caplog.records


@pytest.mark.parametrize("first", [None, "/echo", "/cold"])
@pytest.mark.parametrize("extra", [b"", b"X", b"\x81\x82\x00\x00\x00\x00hi", b"\xff" * 500])
async def test_a_failed_upgrade_is_answered_in_json_and_not_told_to_the_log(
    fast_lane: bool, first: str | None, extra: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the client did not wait for the answer before it went on."""
    failures = [
        ("/ws", {"sec_websocket_version": "8"}, 426),
        ("/ws", {"sec_websocket_key": "no key"}, 400),
        ("/ws", {"connection": "close"}, 400),
        ("/ws", {"content_length": "3"}, 400),
        ("/ws", {"origin": "http://evil.example"}, 403),
        ("/peer", {"origin": "http://evil.example"}, 403),
        ("/nowhere", {}, 404),
        ("/ws", {"upgrade": "nonsense"}, 400),
    ]
    caplog.set_level("INFO")
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server:
        for path, change, status in failures:
            async with connected(server) as client:
                if first is not None:
                    assert (await client.ask("POST", first, b"{}")).status == 200
                await client.send(message("GET", path, None, **{**HANDSHAKE, **change}) + extra)
                answer = await client.answer()
                assert (answer.status, answer.json["status"]) == (status, status), path
    assert not caplog.records


@pytest.mark.parametrize("path", ["/ws", "/peer"])
@pytest.mark.parametrize("first", [None, "/echo", "/cold"])
async def test_a_byte_behind_the_handshake_fails_it_and_is_not_told_to_the_log(
    fast_lane: bool, first: str | None, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server:
        for extra in (b"X", b"\x81\x82\x00\x00\x00\x00hi", b"\xff" * 500):
            async with connected(server) as client:
                if first is not None:
                    assert (await client.ask("POST", first, b"{}")).status == 200
                await client.send(message("GET", path, None, **HANDSHAKE) + extra)
                answer = await client.answer()
                assert (answer.status, answer.json["status"], answer.header("connection")) == (400, 400, "close")
                assert await client.ended()
        await eventually(lambda: not server.statistics().connections)
    assert not caplog.records


async def test_a_plain_get_of_a_socket_path_is_400(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, connected(server) as client:
        answer = await client.ask("GET", "/ws")
        assert (answer.status, answer.json["message"]) == (400, 'Can "Upgrade" only to "WebSocket".')


async def test_an_upgrade_of_an_unknown_path_is_404(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, connected(server) as client:
        assert (await client.ask("GET", "/nowhere", None, **HANDSHAKE)).status == 404


async def test_an_upgrade_may_follow_other_requests(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}")).status == 200
        assert (await client.ask("GET", "/ws", None, **HANDSHAKE)).status == 101
        await client.send(b"\x81\x82\x00\x00\x00\x00hi")
        assert await client.exactly(14) == b"\x81\x0c127.0.0.1 hi"


async def test_a_lost_connection_ends_its_session(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server:
        async with connected(server) as client:
            await client.ask("GET", "/ws", None, **HANDSHAKE)
            await eventually(lambda: server.statistics().sockets == 1)
        await eventually(lambda: server.statistics().sockets == server.statistics().connections == 0)


async def test_a_session_is_not_idle_however_silent(fast_lane: bool) -> None:
    async with (
        serving(fast_lane=fast_lane, sockets=SOCKETS, limits=QUICK) as server,
        socket_to(server, "/ws") as socket,
        connected(server) as idler,
    ):
        assert (await idler.ask("POST", "/echo", b"{}")).status == 200
        assert await idler.ended()
        await socket.send_message("here")
        assert await socket.get_message() == "127.0.0.1 here"


async def test_a_subscriber_that_stops_reading_is_cut_off_and_does_not_hold_up_the_end() -> None:
    limits = dataclasses.replace(ROOMY, send_timeout_s=paced(0.2), websocket_close_s=paced(0.2))
    async with serving(sockets=SOCKETS, limits=limits) as server, connected(server) as client:
        await client.ask("GET", "/talk", None, **HANDSHAKE)
        await eventually(lambda: server.statistics().sockets == 1)
        await eventually(lambda: server.statistics().sockets == server.statistics().connections == 0)


async def test_a_node_that_leaves_tells_its_subscribers(fast_lane: bool) -> None:
    async with (
        serving(fast_lane=fast_lane, sockets=SOCKETS) as server,
        socket_to(server, "/ws") as one,
        socket_to(server, "/ws") as two,
        trio.open_nursery() as nursery,
    ):
        await eventually(lambda: server.statistics().sockets == 2)
        nursery.start_soon(server.aclose, 5.0, "node is shutting down")
        for socket in (one, two):
            assert await closed_with(socket) == (1001, "node is shutting down")


async def test_a_node_that_leaves_does_not_wait_for_subscribers_that_have_stopped_reading(fast_lane: bool) -> None:
    limits = dataclasses.replace(ROOMY, websocket_close_s=paced(0.2))
    async with serving(fast_lane=fast_lane, sockets=SOCKETS, limits=limits) as server, connected(server) as client:
        await client.ask("GET", "/talk", None, **HANDSHAKE)
        await eventually(lambda: server.statistics().sockets == 1)
        started_s = trio.current_time()
        await server.aclose(paced(0.5))
        assert trio.current_time() - started_s < paced(2)


async def test_peers_exchange_binary_frames(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/peer") as socket:
        for frame in (b"\x00\xff" * 9, b"x" * 300_000):
            await socket.send_message(frame)
            assert await socket.get_message() == frame


async def test_a_peer_that_sends_text_is_closed(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, socket_to(server, "/peer") as socket:
        await socket.send_message("text")
        assert (await closed_with(socket))[0] == 1003


async def test_nothing_can_be_sent_or_received_after_closing(fast_lane: bool) -> None:
    outcomes: list[str] = []

    async def session(socket: Socket, caller: Caller) -> None:
        await socket.close()
        await socket.close()
        for call in (lambda: socket.send("late"), socket.receive):
            with pytest.raises(SocketClosed):
                await call()
            outcomes.append("closed")

    routes = [SocketRoute("/ws", session, "late")]
    async with serving(fast_lane=fast_lane, sockets=routes) as server, socket_to(server, "/ws") as socket:
        assert (await closed_with(socket))[0] == 1000
        await eventually(lambda: outcomes == ["closed", "closed"])


class TakesTurns(Wire):
    """A wire that remembers how much it was asked for at once."""

    asked: list[int | None]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self.asked.append(max_bytes)
        return await super().receive_some(max_bytes)


@pytest.mark.parametrize("route", [SocketRoute("/ws", leave, "ws"), PeerRoute("/peer", echo_frames)])
async def test_a_stranger_who_sends_tiny_frames_lets_others_have_their_turn(route: SocketRoute | PeerRoute) -> None:
    """Ten thousand of them arrive in one piece; thirty such clients would keep the node busy for seconds."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wire = TakesTurns(ours, ROOMY)
    wire.asked = []
    wire.unread(plain_handshake(parse_head(message("GET", route.path, None, **HANDSHAKE))))
    pongs = b"\x8a\x80\x00\x00\x00\x00" * 10_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(serve_socket, wire, route, Caller("192.0.2.1"), limits=ROOMY, open_sockets=OpenSockets())
        )
        client = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        assert (await client.receive_some(1000)).startswith(b"HTTP/1.1 101 ")
        await client.send_all(pongs)
        await client.aclose()
    await wire.aclose()
    assert all(size is not None and size <= 4096 for size in wire.asked)
    assert len(wire.asked) > len(pongs) / 4096
