"""The port itself: how it opens, what it survives, and how it closes, in both lanes."""

import errno
import socket
from typing import ClassVar

import pytest
import trio

from artemis.transport.limits import Limits
from artemis.transport.listener import open_listener
from artemis.transport.requests import Reply, Request, Route

from ..pace import PATIENCE_S, paced
from .serving import ROUTES, connected, eventually, message, serving


async def test_a_free_port_is_taken_and_known(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"


async def test_a_port_in_use_is_an_error_at_once() -> None:
    async with serving() as server:
        with pytest.raises(OSError) as failed:
            open_listener("127.0.0.1", server.port, Limits())
        assert failed.value.errno == errno.EADDRINUSE


async def test_connections_have_no_delay_and_a_limit_for_unacknowledged_data() -> None:
    listener = open_listener("127.0.0.1", 0, Limits(send_timeout_s=7))
    with listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


async def test_ipv6_callers_are_shown_as_what_they_are() -> None:
    try:
        open_listener("::1", 0, Limits()).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with serving(host="::") as server, connected(server) as client:
        assert (await client.ask("GET", "/facts")).json["ip"] == "127.0.0.1"
        assert (await client.ask("GET", "/things/a")).json["ip"] == "127.0.0.1"


class Exhausted(socket.socket):
    """A listening socket of a process that has run out of descriptors, for a while."""

    failures: ClassVar = [errno.EMFILE, errno.ECONNABORTED, errno.ENFILE]

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise OSError(self.failures.pop(), "no more")
        return super().accept()


async def test_running_out_of_descriptors_delays_connections_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = open_listener("127.0.0.1", 0, Limits())
    listener = Exhausted(fileno=plain.detach())
    listener.setblocking(False)
    async with serving(listener=listener) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}")).status == 200
    assert not Exhausted.failures
    assert caplog.text.count("connections wait") == 1


async def test_idle_connections_are_closed_at_once_when_the_node_stops(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as used, connected(server) as fresh:
        assert (await used.ask("POST", "/echo", b"{}")).status == 200
        await eventually(lambda: server.statistics().connections == 2)
        started_s = trio.current_time()
        await server.aclose(2 * PATIENCE_S)
        assert trio.current_time() - started_s < PATIENCE_S / 2
        assert await used.ended()
        assert await fresh.ended()


async def test_closing_the_server_does_not_cancel_who_closes_it(fast_lane: bool) -> None:
    reached = False
    async with serving(fast_lane=fast_lane) as server:
        await server.aclose(1)
        await server.aclose(1)
        await trio.lowlevel.checkpoint()
        reached = True
    assert reached


async def test_open_requests_are_finished_and_new_connections_refused(fast_lane: bool) -> None:
    arrived, finish = trio.Event(), trio.Event()

    async def wait(request: Request) -> Reply:
        arrived.set()
        await finish.wait()
        return Reply(200, b"[]")

    routes = [*ROUTES, Route("POST", "/wait", wait, "wait")]
    async with serving(fast_lane=fast_lane, routes=routes) as server, connected(server) as client:
        await client.send(message("POST", "/wait", b"{}"))
        await arrived.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose, 10)
            await eventually(lambda: _is_refused(server.port))
            finish.set()
            assert (await client.answer()).body == b"[]"
            assert await client.ended()


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_request_that_is_still_arriving_is_answered_as_the_last_one() -> None:
    request = message("POST", "/echo", b"{}")
    async with serving() as server, connected(server) as client:
        await client.send(request[:-1])
        await eventually(lambda: server.statistics().connections == 1)
        async with trio.open_nursery() as nursery:
            await trio.sleep(0.05)
            nursery.start_soon(server.aclose, 10)
            await eventually(lambda: _is_refused(server.port))
            await client.send(request[-1:])
            answer = await client.answer()
            assert (answer.body, answer.header("connection")) == (b"{}", "close")
            assert await client.ended()


async def test_what_does_not_finish_in_time_is_cut(fast_lane: bool) -> None:
    arrived = trio.Event()

    async def hang(request: Request) -> Reply:
        arrived.set()
        await trio.sleep_forever()
        return Reply(200, b"")

    routes = [Route("GET", "/hang", hang, "hang")]
    async with serving(fast_lane=fast_lane, routes=routes) as server, connected(server) as client:
        await client.send(message("GET", "/hang"))
        await arrived.wait()
        started_s = trio.current_time()
        await server.aclose(0.2)
        assert 0.2 <= trio.current_time() - started_s < paced(2)
        try:
            assert await client.ended()
        except trio.BrokenResourceError:
            pass  # reset rather than ended: it was cut
