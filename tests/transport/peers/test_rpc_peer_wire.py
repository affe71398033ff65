"""A burst for a node of the original system, over real HTTP: slow, overloaded, failing, gone for a while, and back."""

import gzip
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from artemis.actors.supervisor import open_supervisor
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock, origin_of
from artemis.transport.peers.rpc_peer import RpcPeer

from ...actors.cluster_world import SkewedClock, instance
from ...contract.waiting import eventually
from .test_rpc_peer import SUCCESS, Hub

COUNT = 1000


class JavaNode:
    """Holds what it is told. `troubles` are the statuses of its next answers to writes."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.troubles: list[int] = []
        self.writes = 0
        self.pause = trio.Event()
        self.pause.set()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None, None]:
        """Up as long as the block lasts, each time on the same port."""
        listeners = await trio.open_tcp_listeners(self._port, host="127.0.0.1")
        self._port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, listeners)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        buffer = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = await stream.receive_some()
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                while len(buffer) < int(headers["content-length"]):
                    buffer += await stream.receive_some()
                body, buffer = buffer[: int(headers["content-length"])], buffer[int(headers["content-length"]) :]
                status, answer = await self._answer(first.split()[1], json.loads(gzip.decompress(body)))
                content = json.dumps(answer).encode()
                await stream.send_all(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )

    async def _answer(self, path: str, body: dict[str, list[dict[str, str]]]) -> tuple[int, object]:
        operation = path.rpartition("/")[2].removesuffix(".json")
        if operation == "node":
            return 200, {"nodeStatus": {"status": "up"}, "responseStatus": SUCCESS}
        self.writes += 1
        await self.pause.wait()
        if self.troubles:
            return self.troubles.pop(), {"error": "in trouble"}
        ids = {each["instanceId"] for each in body["instances"]}
        if operation == "unregister":
            self.held -= ids
        else:
            self.held |= ids
        return 200, {"failedInstances": None, "responseStatus": SUCCESS}


async def test_a_burst_reaches_a_node_that_is_slow_failing_down_and_up_again() -> None:
    clock, origin, java = SkewedClock(), origin_of("new"), JavaNode()
    registry = Registry(
        RegistrySettings("lab"), clock=HybridClock(origin), origin=origin, now_s=clock.now_s(), now_ms=clock.now_ms()
    )
    names = [f"i{number}" for number in range(COUNT)]

    def register() -> None:
        outcome = registry.register(
            [instance("svc", name) for name in names], now_s=clock.now_s(), now_ms=clock.now_ms()
        )
        peer.offer_states(outcome.entries)

    def unregister() -> None:
        keys = [("svc", name) for name in names]
        peer.offer_states(registry.unregister(keys, now_s=clock.now_s(), now_ms=clock.now_ms()).entries)

    async with open_supervisor() as supervisor:
        async with java.listening():
            peer = RpcPeer(
                java.url,
                region_id="lab",
                zone_id="zone1",
                hub=Hub(synchronised=True),
                clock=clock,
                take_over=lambda instances: None,
            )
            supervisor.start("java", lambda: peer)
            java.troubles = [503, 429, 500]
            register()
            await eventually(lambda: len(java.held) == COUNT)
            java.pause = trio.Event()
            java.writes = 0
            unregister()
            await eventually(lambda: java.writes > 0)
        # It went down in the middle of the first call, which is lost.
        assert len(java.held) == COUNT
        java.pause.set()
        java.troubles = [503]
        async with java.listening():
            await eventually(lambda: not java.held)
            await eventually(lambda: peer.statistics().waiting == 0)
            assert peer.statistics().dropped == 0
