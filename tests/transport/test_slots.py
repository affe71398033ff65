"""Who may have a place: idle WebSockets, and one address, shut nobody else out; and nobody is kept who is not there."""

from dataclasses import replace

import pytest
import trio
import trio_websocket

from artemis.transport.limits import Limits
from artemis.transport.requests import Caller
from artemis.transport.slots import Slots, is_this_machine, nearest
from artemis.transport.sockets import BinarySocket, PeerRoute, Socket, SocketRoute

from ..pace import PATIENCE_S, paced
from .serving import ROOMY, connected, eventually, serving

HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}
DEFLATE = {"sec_websocket_extensions": "permessage-deflate; client_max_window_bits"}


async def listen(socket: Socket, caller: Caller) -> None:
    while True:
        await socket.receive()


async def echo_frames(socket: BinarySocket, caller: Caller) -> None:
    while True:
        await socket.send(await socket.receive())


class Busy:
    """A session that hears nothing until it is let."""

    def __init__(self) -> None:
        self.may = trio.Event()

    async def session(self, socket: Socket, caller: Caller) -> None:
        await self.may.wait()
        await listen(socket, caller)


SOCKETS: list[SocketRoute | PeerRoute] = [SocketRoute("/ws", listen, "ws"), PeerRoute("/peer", echo_frames)]


def slots(**fields: int) -> Slots:
    limits = replace(Limits(connections=100, connections_per_address=10), **fields)
    return Slots(limits, is_near=is_this_machine, address_of=nearest)


def test_one_address_has_a_bound_and_others_have_places() -> None:
    places = slots()
    assert [places.take("10.0.0.1") for _ in range(10)] == [None] * 10
    assert "limits.connections_per_address" in str(places.take("10.0.0.1"))
    assert places.take("10.0.0.2") is None
    places.leave("10.0.0.1")
    assert places.take("10.0.0.1") is None


def test_the_last_places_are_for_this_machine_peers_and_proxies() -> None:
    places = slots(reserved_connections=10, connections_per_address=1000)
    assert [places.take(f"10.0.0.{n}") for n in range(90)] == [None] * 90
    assert places.take("10.0.1.1") == "this node has too many connections (limits.connections)"
    assert [places.take("127.0.0.1") for _ in range(10)] == [None] * 10
    assert places.take("127.0.0.1") == "this node has too many connections (limits.connections)"


def test_many_come_from_where_many_stand() -> None:
    places = slots(connections=10_000)
    assert not any(places.take("127.0.0.1") for _ in range(100))
    assert not any(places.take_socket(Caller("127.0.0.1")) for _ in range(100))


def test_behind_a_proxy_each_client_counts_for_itself() -> None:
    limits = Limits(connections_per_address=2)
    places = Slots(limits, is_near=is_this_machine, address_of=lambda caller: caller.forwarded_for or caller.ip)
    one, other = Caller("127.0.0.1", "10.0.0.1"), Caller("127.0.0.1", "10.0.0.2")
    assert [places.take_socket(one), places.take_socket(one)] == [None, None]
    assert "10.0.0.1" in str(places.take_socket(one))
    assert places.take_socket(other) is None
    places.leave_socket(one)
    assert places.take_socket(one) is None


async def test_idle_websockets_leave_places_for_requests_and_peers(fast_lane: bool) -> None:
    limits = replace(ROOMY, connections=10)
    async with serving(fast_lane=fast_lane, sockets=SOCKETS, limits=limits) as server, trio.open_nursery() as nursery:

        async def idle(task_status: trio.TaskStatus[int]) -> None:
            async with connected(server) as client:
                task_status.started((await client.ask("GET", "/ws", None, **HANDSHAKE)).status)
                await trio.sleep_forever()

        answers = [await nursery.start(idle) for _ in range(9)]
        assert answers == [101] * 8 + [503]
        async with connected(server) as client:
            assert (await client.ask("POST", "/echo", b"{}")).status == 200
            assert (await client.ask("GET", "/peer", None, **HANDSHAKE)).status == 101
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", ["/ws", "/peer"])
async def test_no_socket_is_compressed(fast_lane: bool, path: str) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server, connected(server) as client:
        answer = await client.ask("GET", path, None, **HANDSHAKE, **DEFLATE)
        assert answer.status == 101
        assert answer.header("sec-websocket-extensions") is None


async def test_a_silent_client_is_pinged_and_then_cut(fast_lane: bool) -> None:
    limits = replace(ROOMY, websocket_ping_s=paced(0.2), websocket_pong_s=paced(0.3))
    async with serving(fast_lane=fast_lane, sockets=SOCKETS, limits=limits) as server, connected(server) as client:
        assert (await client.ask("GET", "/ws", None, **HANDSHAKE)).status == 101
        assert await client.exactly(2) == b"\x89\x00"
        assert await client.ended()
        await eventually(lambda: server.statistics().sockets == server.statistics().connections == 0)
        assert server.statistics().silent == 1


async def test_a_client_that_answers_pings_stays(fast_lane: bool) -> None:
    limits = replace(ROOMY, websocket_ping_s=paced(0.05), websocket_pong_s=PATIENCE_S)
    async with serving(fast_lane=fast_lane, sockets=SOCKETS, limits=limits) as server, connected(server) as client:
        assert (await client.ask("GET", "/ws", None, **HANDSHAKE)).status == 101
        for _ in range(5):
            assert await client.exactly(2) == b"\x89\x00"
            await client.send(b"\x8a\x80\x00\x00\x00\x00")
        assert server.statistics().sockets == 1


async def test_who_is_not_listened_to_is_not_silent(fast_lane: bool) -> None:
    """A session that does not read on, because its client does not take its answers, hears no pongs either."""
    busy = Busy()
    limits = replace(ROOMY, websocket_ping_s=paced(0.05), websocket_pong_s=paced(0.05), websocket_queue=1)
    routes = [SocketRoute("/ws", busy.session, "ws")]
    async with serving(fast_lane=fast_lane, sockets=routes, limits=limits) as server, connected(server) as client:
        assert (await client.ask("GET", "/ws", None, **HANDSHAKE)).status == 101
        for _ in range(4):
            await client.send(b"\x81\x82\x00\x00\x00\x00hi")
        assert await client.exactly(2) == b"\x89\x00"
        await eventually(lambda: all(not conversation.wire.listens for conversation in server._conversations))
        opened_s = trio.current_time()
        await eventually(lambda: trio.current_time() > opened_s + paced(0.5))
        assert server.statistics().silent == 0
        busy.may.set()  # now it is, and what it said before is heard; then it is silent
        await eventually(lambda: server.statistics().silent == 1)


async def test_the_first_message_of_a_peer_is_short_and_later_ones_are_not(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, sockets=SOCKETS) as server:
        for first, later in ((8 * 1024, 1_000_000), (8 * 1024 + 1, 0)):
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            async with stream, trio.open_nursery() as nursery:
                peer = await trio_websocket.wrap_client_stream(
                    nursery, stream, "registry", "/peer", max_message_size=2_000_000
                )
                await peer.send_message(bytes(first))
                if later:
                    assert await peer.get_message() == bytes(first)
                    await peer.send_message(bytes(later))
                    assert len(await peer.get_message()) == later
                else:
                    with pytest.raises(trio_websocket.ConnectionClosed) as closed:
                        await peer.get_message()
                    assert closed.value.reason is not None
                    assert closed.value.reason.code == 1009
                nursery.cancel_scope.cancel()
