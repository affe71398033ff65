"""Clients of a real cluster, as the tests of its failures need them: services that stay registered, one who
looks all the time, and one who listens to pushes."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import trio
from trio_websocket import ConnectionClosed, HandshakeError, wrap_client_stream

from artemis.cluster.launcher import Cluster

REGISTER = "/artemis/api/registry/register.json"
HEARTBEAT = "/artemis/api/registry/heartbeat.json"
UNREGISTER = "/artemis/api/registry/unregister.json"
LOOKUP = "/artemis/api/discovery/lookup.json"
SERVICE = "fleet.service"
ANSWER_S = 1.0


class NoAnswer(Exception):
    """A node did not answer, or not with success."""


async def post(address: str, path: str, body: object) -> dict[str, object]:
    """One POST on a connection of its own. Raises NoAnswer."""
    content = json.dumps(body).encode()
    host, _, port = address.partition(":")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    received = bytearray()
    with trio.move_on_after(ANSWER_S) as patience:
        try:
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(head.encode() + content)
                async for piece in stream:
                    received += piece
        except (OSError, trio.BrokenResourceError) as error:
            raise NoAnswer(str(error)) from None
    if patience.cancelled_caught or not received.startswith(b"HTTP/1.1 200"):
        raise NoAnswer(f"{address}: {bytes(received[:100])!r}")
    answer: dict[str, Any] = json.loads(bytes(received).partition(b"\r\n\r\n")[2])
    if answer["responseStatus"]["status"] == "fail":
        raise NoAnswer(f"{address}: {answer['responseStatus']}")
    return answer


def instance(number: int) -> dict[str, object]:
    return {
        "regionId": "default",
        "zoneId": "zone1",
        "serviceId": SERVICE,
        "instanceId": f"i{number}",
        "ip": "10.0.0.1",
        "port": number,
        "url": f"http://10.0.0.1:{number}/",
        "status": "up",
    }


@dataclass
class Fleet:
    """Services that heartbeat, each to a node of its own and to another one when that is silent."""

    cluster: Cluster
    count: int
    interval_s: float
    per_request: int = 10
    missing: list[str] = field(default_factory=list[str])
    """What somebody who looked did not find: instances that were alive all along."""
    deletes: list[str] = field(default_factory=list[str])
    """Instances whose end was pushed."""
    looks: int = 0
    gone: set[str] = field(default_factory=set[str])
    """Instances that may be missing: somebody unregistered them."""

    def address(self, name: str) -> str:
        plan = self.cluster.topology.node(name)
        return f"{plan.host}:{plan.port}"

    @property
    def ids(self) -> set[str]:
        return {f"i{number}" for number in range(self.count)}

    async def register(self) -> None:
        for first in range(0, self.count, self.per_request):
            await post(self.address("a"), REGISTER, {"instances": self._batch(first)})

    async def heartbeat(self) -> None:
        """Every batch on its own clock, so that requests are spread over the interval."""
        async with trio.open_nursery() as nursery:
            for first in range(0, self.count, self.per_request):
                nursery.start_soon(self._keep_alive, first, name=f"batch {first}")

    async def _keep_alive(self, first: int) -> None:
        names = self.cluster.topology.names
        preferred = first // self.per_request % len(names)
        await trio.sleep(self.interval_s * first / self.count)
        while True:
            next_s = trio.current_time() + self.interval_s
            for attempt in range(len(names)):
                name = names[(preferred + attempt) % len(names)]
                try:
                    await self._beat(name, first)
                    break
                except NoAnswer:
                    continue
            await trio.sleep_until(next_s)

    async def _beat(self, name: str, first: int) -> None:
        batch = [one for one in self._batch(first) if one["instanceId"] not in self.gone]
        answer = await post(self.address(name), HEARTBEAT, {"instances": batch})
        failed = answer["failedInstances"]
        if failed:
            assert isinstance(failed, list)
            await post(self.address(name), REGISTER, {"instances": [one["instance"] for one in failed]})

    def _batch(self, first: int) -> list[dict[str, object]]:
        return [instance(number) for number in range(first, min(self.count, first + self.per_request))]

    async def found(self, name: str) -> set[str]:
        """The instances in the answer of a node. Raises NoAnswer."""
        config = {"serviceId": SERVICE}
        answer = await post(
            self.address(name),
            LOOKUP,
            {"discoveryConfigs": [config], "regionId": "default", "zoneId": "zone1"},
        )
        services = answer["services"]
        assert isinstance(services, list)
        return {one["instanceId"] for one in services[0]["instances"] or []}

    async def look(self, names: Sequence[str]) -> None:
        """Look again and again; a node that does not answer is no node that answers wrongly."""
        while True:
            for name in names:
                try:
                    found = await self.found(name)
                except NoAnswer:
                    continue
                self.looks += 1
                lost = self.ids - self.gone - found
                if lost:
                    self.missing.append(f"{name} at {trio.current_time():.2f}: {len(lost)} missing, {sorted(lost)[:3]}")
            await trio.sleep(0.05)

    async def listen(self, name: str) -> None:
        """Subscribe, again after every end of the connection, and note every `delete`."""
        while True:
            with suppress(OSError, trio.TooSlowError):
                plan = self.cluster.topology.node(name)
                async with await trio.open_tcp_stream(plan.host, plan.port) as stream:
                    await self._subscribe(stream)
            await trio.sleep(0.1)

    async def _subscribe(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(ANSWER_S):
                    socket = await wrap_client_stream(nursery, stream, "node", "/ws")
                    await socket.send_message(json.dumps({"type": "subscribe", "serviceId": SERVICE}))
                while True:
                    self._note(json.loads(await socket.get_message()))
        except* (ConnectionClosed, HandshakeError, trio.TooSlowError, trio.BrokenResourceError):
            pass

    def _note(self, message: dict[str, object]) -> None:
        changes = message.get("changes")
        for change in changes if isinstance(changes, list) else []:
            if change["changeType"] == "delete":
                self.deletes.append(change["instance"]["instanceId"])

    async def settle(self, names: Sequence[str], timeout_s: float) -> None:
        """Wait until every node answers with exactly what is alive."""
        with trio.fail_after(timeout_s):
            for name in names:
                while True:
                    try:
                        if await self.found(name) == self.ids - self.gone:
                            break
                    except NoAnswer:
                        pass
                    await trio.sleep(0.05)


@asynccontextmanager
async def open_fleet(
    cluster: Cluster, *, count: int, interval_s: float, look_at: Sequence[str], listen_to: str
) -> AsyncGenerator[Fleet]:
    """A fleet that is registered everywhere before it is watched; all of it runs until the block ends."""
    fleet = Fleet(cluster, count, interval_s)
    await fleet.register()
    await fleet.settle(cluster.topology.names, 10.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fleet.heartbeat, name="heartbeats")
        nursery.start_soon(fleet.look, look_at, name="looks")
        nursery.start_soon(fleet.listen, listen_to, name="subscriber")
        yield fleet
        nursery.cancel_scope.cancel()
