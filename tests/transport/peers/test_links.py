"""Peer links over real sockets on loopback: both lanes, and what becomes of links that fail."""

import random
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from wsproto.events import TextMessage

from artemis.actors.cluster_settings import ClusterSettings, LinkSettings
from artemis.actors.frames import FRAME_BYTES_MAX
from artemis.actors.handshake import is_loopback
from artemis.actors.ports import DialFailed, Link, LinkLost
from artemis.actors.supervisor import open_supervisor
from artemis.transport.peers.links import WebSocketDialer, peer_route
from artemis.transport.peers.standing import ClusterStanding
from artemis.transport.server import open_server

from ...actors.cluster_world import Node, SkewedClock, eventually, instance
from ...pace import PATIENCE_S

pytestmark = pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "quart"])


class Echo:
    """Accepts links, and sends back what comes."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.ips: list[str] = []

    async def accept(self, link: Link, peer_ip: str) -> None:
        self.ips.append(peer_ip)
        try:
            while True:
                await link.send(await link.receive())
        except LinkLost:
            pass
        finally:
            self.ended.set()


@asynccontextmanager
async def open_echo(*, fast_lane: bool) -> AsyncGenerator[tuple[Echo, str], None]:
    echo = Echo()
    async with open_server([], sockets=[peer_route(echo)], fast_lane=fast_lane) as server:
        yield echo, server.url


async def test_frames_travel_both_ways_whole_and_in_order(fast_lane: bool) -> None:
    frames = [b"x", bytes(70_000), bytes(1_000_000), *([bytes(FRAME_BYTES_MAX)] if fast_lane else [])]
    with trio.fail_after(PATIENCE_S):
        async with open_echo(fast_lane=fast_lane) as (echo, url):
            link = await WebSocketDialer().dial(url)
            for frame in frames:
                await link.send(frame)
                assert await link.receive() == frame
            assert echo.ips == ["127.0.0.1"]
            await link.aclose()
            await echo.ended.wait()


async def test_the_end_of_a_link_is_seen_by_both_sides(fast_lane: bool) -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_echo(fast_lane=fast_lane) as (echo, url):
            link = await WebSocketDialer().dial(url)
            await link.aclose()
            await echo.ended.wait()
            with pytest.raises(LinkLost):
                await link.receive()
            with pytest.raises(LinkLost):
                await link.send(b"x")


async def test_a_port_where_nobody_listens_refuses(fast_lane: bool) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(DialFailed) as failed:
            await WebSocketDialer().dial(f"http://127.0.0.1:{held.getsockname()[1]}")
    assert failed.value.refused


async def test_a_server_that_has_no_such_path_is_a_failed_dial(fast_lane: bool) -> None:
    async with open_server([], fast_lane=fast_lane) as server:
        with trio.fail_after(PATIENCE_S), pytest.raises(DialFailed, match="answers 404") as failed:
            await WebSocketDialer().dial(server.url)
        assert not failed.value.refused


async def test_a_text_message_ends_the_link(fast_lane: bool) -> None:
    async with open_echo(fast_lane=fast_lane) as (echo, url):
        with trio.fail_after(PATIENCE_S):
            link = await WebSocketDialer().dial(url)
            await link._say(TextMessage(data="hello"))
            await echo.ended.wait()
            with pytest.raises(LinkLost):
                await link.receive()
            await link.aclose()


async def test_a_dial_leads_to_another_address_where_the_configuration_says_so(fast_lane: bool) -> None:
    async with open_echo(fast_lane=fast_lane) as (_, url):
        with trio.fail_after(PATIENCE_S):
            link = await WebSocketDialer(addresses={"http://node-a:1": url}).dial("http://node-a:1")
            await link.send(b"x")
            assert await link.receive() == b"x"
            await link.aclose()


async def test_two_nodes_converge_over_real_sockets(fast_lane: bool) -> None:
    """The whole way: WebSocket, handshake with a secret, anti-entropy, replication, goodbye."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            urls = [_free_url(), _free_url()]
            nodes = [_node(url, urls) for url in urls]
            nodes[0].register(*[instance("svc", f"i{n}") for n in range(500)])
            for node in nodes:
                nursery.start_soon(_serve, node, fast_lane)
            for node in nodes:
                await node.cluster.up.wait()
            await eventually(lambda: len(nodes[1].names("svc")) == 500)
            nodes[1].register(instance("svc", "of-b"))
            await eventually(lambda: "of-b" in nodes[0].names("svc"), within_s=PATIENCE_S)
            standing = ClusterStanding(nodes[0].cluster)
            await eventually(lambda: [view.status for view in standing.everybody()] == ["up", "up"])
            await eventually(lambda: standing.convergence()["peers"][urls[1]]["equal"] is True)  # type: ignore[index]
            await nodes[1].cluster.goodbye("test")
            await eventually(lambda: [view.status for view in standing.everybody()] == ["up", "down"])
            nursery.cancel_scope.cancel()


def _node(url: str, urls: list[str]) -> Node:
    settings = ClusterSettings(
        cluster="test",
        region="lab",
        zone="zone1",
        node_id=url.removeprefix("http://"),
        url=url,
        nodes={"zone1": urls},
        secrets=("a secret of the tests",),
        links=LinkSettings(ping_s=0.1),
    )
    return Node(url, settings, dialer=WebSocketDialer(), seed=random.randrange(1 << 30), clock=SkewedClock())


async def _serve(node: Node, fast_lane: bool) -> None:
    port = int(node.settings.url.rpartition(":")[2])
    routes = [peer_route(node.cluster)]
    async with open_supervisor() as supervisor, open_server([], sockets=routes, port=port, fast_lane=fast_lane):
        node.cluster.start(supervisor)
        await trio.sleep_forever()


def _free_url() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


HANDSHAKE = (
    "GET /artemis/peer HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


async def _first_line(url: str, more: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(HANDSHAKE.format(more=more).encode())
        return bytes(await stream.receive_some()).split(b"\r\n", 1)[0]


async def test_a_page_in_a_browser_is_no_peer(fast_lane: bool) -> None:
    """It would connect from the loopback, where a cluster without a secret believes everybody."""
    with trio.fail_after(PATIENCE_S):
        async with open_echo(fast_lane=fast_lane) as (echo, url):
            for origin in ("http://evil.example", "http://node", "null"):
                assert b" 403 " in await _first_line(url, f"Origin: {origin}\r\n")
            assert echo.ips == []
            assert b" 101 " in await _first_line(url, "")


async def test_who_comes_through_a_proxy_on_this_machine_is_not_on_this_machine(fast_lane: bool) -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_echo(fast_lane=fast_lane) as (echo, url):
            assert b" 101 " in await _first_line(url, "X-Forwarded-For: 192.0.2.7\r\n")
            await echo.ended.wait()
            assert echo.ips == ["192.0.2.7 by way of 127.0.0.1"]
            assert not is_loopback(echo.ips[0])
