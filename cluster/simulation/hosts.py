"""The hosts of a simulation: each has a clock, a disk, and a real node that is started, frozen and killed."""

import inspect
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import trio

from artemis.actors.ports import Link
from artemis.actors.supervisor import ActorFailed
from artemis.node.composition import Node, open_node
from artemis.node.config import Config
from artemis.node.neighbours import Network as NodeNetwork
from artemis.store.changes import ServiceChange
from artemis.store.versions import milliseconds
from artemis.transport.errors import ClientError
from artemis.transport.requests import Caller, Reply, Request, Route, error_reply
from artemis.transport.sessions import OpenSockets

from ..faults import Flow
from .clocks import HostClock
from .disks import Disk
from .history import History
from .network import Listener, Network
from .scheduling import HOST, RunQueue
from .sockets import NodeSocket

T = TypeVar("T")

CLIENTS: Final = "clients"
"""The port at which clients open WebSockets."""
WAITING_MAX: Final = 1000
"""Requests that wait for a node. One more is turned away, as by a full backlog."""


async def in_no_time(work: Callable[[], T], /) -> T:
    """Blocking work takes no virtual time; and where it measures processor time, the answer must not depend on it."""
    await trio.lowlevel.checkpoint()
    result = work()
    return 0.0 if isinstance(result, float) else result  # type: ignore[return-value]


@dataclass(slots=True, eq=False)
class Call:
    """A request on a host, and its reply."""

    route: Route
    request: Request
    reply: Reply | None = None
    abandoned: bool = False
    """Nobody waits any more: the connection is gone, and the request with it unless the node has taken it."""
    done: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True)
class _Life:
    """One process: from its start to its end."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)


class Spy:
    """Sees every change that subscribers of a node are told of. Implements ChangeSink."""

    def __init__(self, host: "Host", seen: Callable[["Host", ServiceChange], None]) -> None:
        self._host = host
        self._seen = seen

    def post(self, changes: Sequence[ServiceChange]) -> None:
        for change in changes:
            self._seen(self._host, change)


class Host:
    """One machine of the cluster. Its name is that of its node."""

    def __init__(
        self,
        name: str,
        config: Config,
        *,
        network: Network,
        queue: RunQueue,
        history: History,
        nursery: trio.Nursery,
        clock: HostClock,
        seed: int,
        seen: Callable[["Host", ServiceChange], None],
        opened: Callable[[], None],
    ) -> None:
        """`seen` is told of each change that the node tells its subscribers, `opened` when a node is up."""
        self.name = name
        self.config = config
        self.clock = clock
        self.node: Node | None = None
        """The node that runs here, also while the host is frozen."""
        self.frozen = False
        self.started_s = math.inf
        """When the process that runs now was started."""
        self.up_s = math.inf
        """When it became up."""
        self.misfit_s = math.inf
        """Since when its peers have a reason to refuse it; infinite when they have none."""
        self.crashes: list[str] = []
        """What should never happen: the ways in which nodes, or their actors, failed by themselves."""
        self.ended_s = -math.inf
        """When the last process ended."""
        self.lost_disk_s = -math.inf
        """When its data were last lost, or replaced by older ones."""
        self._network = network
        self._queue = queue
        self._history = history
        self._nursery = nursery
        self._rng = random.Random(seed)
        self._seen = seen
        self._opened = opened
        self._disk = Disk.blank(f"first disk of {self.name}")
        self._image: Disk | None = None
        self.image_s = math.inf
        """When an image of the disk was taken; infinite when there is none."""
        self._life: _Life | None = None
        self._is_dark = False
        self._routes: Mapping[tuple[str, str], Route] = {}
        self._calls: trio.MemorySendChannel[Call] | None = None
        self._waiting: dict[Call, None] = {}

    def __repr__(self) -> str:
        return f"<Host {self.name} [{self.status}{', frozen' if self.frozen else ''}]>"

    @property
    def status(self) -> str:
        """What the node says of itself; `off` when there is none."""
        return "off" if self.node is None else self.node.cluster.membership.status.value

    @property
    def is_running(self) -> bool:
        """Whether there is a process, be it one that has just been started or is being stopped."""
        return self._life is not None

    @property
    def is_serving(self) -> bool:
        """Whether clients that come now are answered."""
        return self.node is not None and not self.frozen and self.status == "up"

    # Life and death

    def start(self) -> None:
        """Start a process on what is on the disk."""
        assert self._life is None, f"{self.name} runs already"
        self._history.add(self.name, "starts")
        if self._is_dark:  # the machine has power again, and knows nothing of its old connections
            self._is_dark = False
            self._network.leave(self.name)
            self._network.heal(self._flows())
        self._life = _Life()
        self.started_s, self.up_s = trio.current_time(), math.inf
        self._nursery.start_soon(self._run, self._life, name=f"host {self.name}")

    async def kill(self, *, silently: bool = False) -> None:
        """End the process between two instructions. `silently`: the machine loses power, and no link is reset."""
        assert self._life is not None
        self._history.add(self.name, "loses power" if silently else "is killed")
        if self.frozen:
            self.thaw()
        if silently:
            self._is_dark = True
            self._network.cut(self._flows())
        else:
            self._network.leave(self.name)
        life = self._life
        life.scope.cancel()
        await life.ended.wait()

    async def stop(self) -> None:
        """End the process in good order, as on SIGTERM."""
        assert self._life is not None
        assert self.node is not None
        self._history.add(self.name, "is stopped")
        life = self._life
        await self.node.say_goodbye("stopped by the simulation")
        await self.node.flush()
        life.scope.cancel()
        await life.ended.wait()
        self._network.hang_up(self.name)

    def replace_disk(self) -> None:
        """The disk is lost; the next process finds an empty one."""
        assert self._life is None
        self._history.add(self.name, "gets a new disk")
        self._disk.scrap()
        self._disk = Disk.blank(f"disk of {self.name} since {trio.current_time()}")
        self.lost_disk_s = trio.current_time()

    def set_secret(self, secret: str) -> None:
        """The next process is configured with this cluster secret."""
        self._history.add(self.name, f"is given the cluster secret: {secret}")
        self.misfit_s = trio.current_time()
        self.config = replace(self.config, cluster=replace(self.config.cluster, secret=secret))

    def set_clock(self, wrong_ms: int) -> None:
        """The clock is wrong from now on. What it dates, and what it takes for dated ahead, loses to all else."""
        self._history.add(self.name, f"has a clock that is wrong by {wrong_ms / 1000:.0f} s")
        self.misfit_s = self.lost_disk_s = trio.current_time()
        self.clock.wrong_ms = wrong_ms

    def mend(self, secret: str) -> None:
        """Secret and clock are right again."""
        self.set_secret(secret)
        self.clock.wrong_ms, self.misfit_s = 0, math.inf

    def newest_ms(self) -> int:
        """The date of the newest thing that its node holds."""
        if self.node is None:
            return 0
        entries = (entry for service in self.node.registry.services.values() for entry in service.entries.values())
        versions = [*(entry.version for entry in entries), *(r.version for r in self.node.management.tables.records())]
        return milliseconds(max(versions, default=0))

    def take_image(self) -> None:
        """Copy the disk, as snapshots of virtual machines do it: whatever the process is doing."""
        self._history.add(self.name, "has an image of its disk taken")
        self._scrap_image()
        self._image, self.image_s = self._disk.copy(), trio.current_time()

    def restore_image(self) -> None:
        """Whoever runs the machine goes back to the image: the next process finds what was on disk then."""
        assert self._life is None
        assert self._image is not None
        self._history.add(self.name, f"gets its disk of {self.image_s:.3f} back")
        self._disk.scrap()
        self._disk, self._image = self._image, None
        self.image_s, self.lost_disk_s = math.inf, trio.current_time()

    def _scrap_image(self) -> None:
        if self._image is not None:
            self._image.scrap()

    def freeze(self) -> None:
        """Stop the process in its tracks."""
        self._history.add(self.name, "is frozen")
        self.frozen = True
        self._queue.freeze(self.name)

    def thaw(self) -> None:
        """Let it go on."""
        self._history.add(self.name, "goes on")
        self.frozen = False
        self._queue.thaw(self.name)

    def scrap(self) -> None:
        """The simulation is over."""
        self._disk.scrap()
        self._scrap_image()

    def holds(self, key: tuple[str, str], text: str) -> bool:
        """Whether the registry has this instance, registered with data that contain a text."""
        entry = None if self.node is None else self.node.registry.find(*key)
        return entry is not None and entry.live and text.encode() in entry.json

    def text_of(self, key: tuple[str, str]) -> str:
        """The data of an instance; empty when there is none."""
        entry = None if self.node is None else self.node.registry.find(*key)
        return "" if entry is None else entry.json.decode()

    def version_of(self, key: tuple[str, str]) -> int:
        """The version of an instance, or of its removal; 0 when nothing is known of it."""
        entry = None if self.node is None else self.node.registry.find(*key)
        return 0 if entry is None else entry.version

    def removal_of(self, key: tuple[str, str]) -> float:
        """The version of the tombstone of an instance; infinite when there is none."""
        entry = None if self.node is None else self.node.registry.find(*key)
        return math.inf if entry is None or entry.live else entry.version

    # For clients

    async def call(self, method: str, path: str, body: bytes, ip: str) -> Reply | None:
        """Ask the node something from next to it; None when nobody listens, or nobody answers any more."""
        route = self._routes.get((method, path))
        if self._calls is None:
            return None
        assert route is not None, f"no route {method} {path}"
        call = Call(route, Request(method, path, b"", body, Caller(ip), loose=route.loose))
        try:
            self._calls.send_nowait(call)
        except trio.WouldBlock:
            return None
        self._waiting[call] = None
        try:
            await call.done.wait()
        finally:
            call.abandoned = True
            self._waiting.pop(call, None)
        return call.reply

    def peek(self, path: str, body: bytes) -> bytes:
        """What the node answers right now, without asking it: for checkers. The handler must not wait."""
        route = self._routes["POST", path]
        reply = route.handler(Request("POST", path, b"", body, Caller("10.9.9.9"), loose=route.loose))
        assert isinstance(reply, Reply)
        return reply.body

    # The process

    async def _run(self, life: _Life) -> None:
        HOST.set(self.name)
        try:
            with life.scope:
                await self._live()
        except ActorFailed as failed:
            self.crashes.append(f"the node ended: {failed} ({failed.__cause__!r})")
        finally:
            if self.node is not None:
                self.crashes += _restarts_of(self.node)
            self.node, self._life, self.started_s, self.up_s = None, None, math.inf, math.inf
            self.ended_s = trio.current_time()
            self._hang_up()
            life.ended.set()

    async def _live(self) -> None:
        peers, clients = self._network.listen(self.name), self._network.listen(self.name, CLIENTS)
        send, receive = trio.open_memory_channel[Call](WAITING_MAX)
        try:
            network = NodeNetwork(self._network.dialer(self.name), self._rng, self._rng.randbytes)
            async with open_node(
                self.config, clock=self.clock, run_blocking=in_no_time, network=network, database=self._disk
            ) as node:
                # It measures the event loop of a machine; here it would be the most frequent of all timers.
                node.supervisor.stop("loop watch")
                # It minds the garbage of a whole process; here are several nodes in one.
                node.supervisor.stop("garbage keeper")
                node.core.effects.broadcasters.append(Spy(self, self._seen))
                self.node, self._routes, self._calls = node, _by_path(node), send
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._take_calls, receive, nursery)
                    nursery.start_soon(self._take_clients, clients, node, nursery)
                    nursery.start_soon(self._note_up, node)
                    async for link, ip in peers:
                        nursery.start_soon(node.cluster.accept, link, ip)
        finally:
            peers.close()
            clients.close()

    async def _note_up(self, node: Node) -> None:
        """The moment from which clients are answered: what the first of them would hear is looked at, too."""
        await node.cluster.up.wait()
        self.up_s = trio.current_time()
        self._opened()

    async def _take_calls(self, calls: trio.MemoryReceiveChannel[Call], nursery: trio.Nursery) -> None:
        async for call in calls:
            if call.abandoned:
                continue
            if inspect.iscoroutinefunction(call.route.handler):
                nursery.start_soon(self._answer_later, call)
            else:
                self._answer(call)

    def _answer(self, call: Call) -> None:
        try:
            reply = call.route.handler(call.request)
        except ClientError as error:
            reply = error_reply(error)
        assert isinstance(reply, Reply)
        call.reply = reply
        call.done.set()

    async def _answer_later(self, call: Call) -> None:
        try:
            reply = call.route.handler(call.request)
            call.reply = reply if isinstance(reply, Reply) else await reply
        except ClientError as error:
            call.reply = error_reply(error)
        call.done.set()

    async def _take_clients(self, listener: Listener, node: Node, nursery: trio.Nursery) -> None:
        sockets = OpenSockets()
        async for link, ip in listener:
            nursery.start_soon(self._attend, sockets, node, link, ip)

    async def _attend(self, sockets: OpenSockets, node: Node, link: Link, ip: str) -> None:
        socket = NodeSocket(link, Caller(ip))

        def session() -> Awaitable[None]:
            return node.sessions.watch(socket, socket.caller)

        await sockets.attend(socket, session)

    def _flows(self) -> list[Flow]:
        return list(self._network.faults.between([self.name], self._network.faults.names))

    def _hang_up(self) -> None:
        self._calls = None
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call.done.set()

    @property
    def overflows(self) -> int:
        """How often the outbox of a peer overflowed, in the process that runs now."""
        if self.node is None:
            return 0
        statistics = self.node.cluster.statistics().replicators.values()
        return sum(each.teller.outbox.overflows for each in statistics)

    def problems(self) -> list[str]:
        """What should never have happened here."""
        return self.crashes + ([] if self.node is None else _restarts_of(self.node))


def _restarts_of(node: Node) -> list[str]:
    return [f"actor {name} crashed" for name, count in node.supervisor.restarts.items() if count]


def _by_path(node: Node) -> Mapping[tuple[str, str], Route]:
    return {(route.method, route.path): route for route in node.routes}
