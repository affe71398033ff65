"""The network of a simulation: links in memory between named nodes, with delay, loss, cuts and clogging.

It behaves like TCP: frames arrive in order and whole, or not at all. A lost piece holds up everything behind it; a
silent cut holds everything back until it heals or somebody loses patience; a reset ends links at both ends at once.
All chance comes from one generator, and all time from Trio's clock, so a seed repeats everything.
"""

import math
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import trio

from artemis.actors.ports import DialFailed, LinkLost

from ..faults import RETRANSMIT_S, Cut, FaultTable, Flow

BUFFER_BYTES: Final = 256 * 1024
"""Bytes on their way in one direction of a link; a sender waits for room."""
PEERS: Final = "peers"
"""The port of a host at which other nodes call, unless said otherwise."""
BACKLOG: Final = 64
"""Links that wait to be accepted. One more is refused."""
RETRANSMISSIONS_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Weather:
    """What the network is like everywhere, apart from the faults of single flows."""

    delay_min_s: float = 0.0005
    delay_mean_s: float = 0.001
    loss: float = 0.0
    """Probability that a piece has to be sent again."""

    def __post_init__(self) -> None:
        assert 0 < self.delay_min_s <= self.delay_mean_s
        assert 0 <= self.loss < 1


@dataclass(slots=True)
class Traffic:
    """What one flow carried."""

    frames: int = 0
    bytes: int = 0


class Network:
    """Nodes by name, and every link between them."""

    def __init__(
        self,
        names: Iterable[str],
        *,
        rng: random.Random,
        weather: Weather = Weather(),
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        """`hosts` tells the name that belongs to the host of a URL, where that is not the host itself."""
        self.faults = FaultTable(names)
        """Read it; change it through the methods of the network, which also tell the links."""
        self.weather = weather
        self.traffic: dict[Flow, Traffic] = {}
        self.dials: dict[Flow, int] = {}
        self.changed: Callable[[Iterable[Flow]], None] = lambda flows: None
        """Told of the flows whose faults have just changed."""
        self._rng = rng
        self._hosts = hosts or {}
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._pipes: dict[_Pipe, None] = {}

    # For nodes

    def dialer(self, near: str) -> "SimulatedDialer":
        """How a node reaches the others."""
        return SimulatedDialer(self, near)

    def listen(self, name: str, port: str = PEERS) -> "Listener":
        """Take links for a node, until the listener is closed."""
        assert (name, port) not in self._listeners, f"{name} listens already"
        listener = Listener(self, name, port)
        self._listeners[name, port] = listener
        return listener

    # For those who break things

    def cut(self, flows: Iterable[Flow], *, cut: Cut = Cut.SILENT) -> None:
        """Interrupt the flows; `Cut.RESET` also ends the links that use them."""
        flows = list(flows)
        self.faults.cut(flows, cut=cut)
        self._weather_changed(flows)

    def partition(self, *islands: Iterable[str]) -> None:
        """Cut every flow between islands, both ways and silently."""
        groups = [list(island) for island in islands]
        for number, one in enumerate(groups):
            for other in groups[number + 1 :]:
                self.cut(self.faults.between(one, other))

    def slow(self, flows: Iterable[Flow], *, delay_s: float, jitter_s: float = 0.0) -> None:
        """Delay the flows."""
        flows = list(flows)
        self.faults.slow(flows, delay_s=delay_s, jitter_s=jitter_s)
        self.changed(flows)

    def lossy(self, flows: Iterable[Flow], *, loss: float, reset: float = 0.0) -> None:
        """Lose pieces of the flows."""
        flows = list(flows)
        self.faults.lossy(flows, loss=loss, reset=reset)
        self.changed(flows)

    def heal(self, flows: Iterable[Flow] | None = None) -> None:
        """Make the flows, or everything, as good as the weather allows. What was held back arrives."""
        healed = list(self.faults.faults()) if flows is None else list(flows)
        self.faults.heal(healed)
        self._weather_changed(healed)

    def reset(self, one: str, other: str) -> int:
        """End every link between two nodes, at both ends. Returns how many there were."""
        ended = [pipe for pipe in list(self._pipes) if {pipe.source, pipe.target} == {one, other}]
        for pipe in ended:
            pipe.reset()
        return len(ended) // 2

    def leave(self, name: str) -> None:
        """A host is gone: its links end at once, at both ends."""
        for pipe in list(self._pipes):
            if name in (pipe.source, pipe.target):
                pipe.reset()

    def hang_up(self, name: str) -> None:
        """A process has ended in good order: what it sent arrives, and then the end."""
        for pipe in list(self._pipes):
            if pipe.source == name:
                pipe.end()

    async def clog(self, flows: Sequence[Flow], *, seconds: float) -> None:
        """Hold the flows back for a while; then all of it arrives at once."""
        self.cut(flows)
        await trio.sleep(seconds)
        self.heal(flows)

    async def swizzle(self, flows: Sequence[Flow], *, pause_s: float) -> None:
        """Stop flows one after another, and heal them in another order: the nastiest of the usual tricks."""
        order = list(flows)
        self._rng.shuffle(order)
        for flow in order:
            self.cut([flow])
            await trio.sleep(self._rng.uniform(0, 2 * pause_s))
        self._rng.shuffle(order)
        for flow in order:
            self.heal([flow])
            await trio.sleep(self._rng.uniform(0, 2 * pause_s))

    # For links

    def delay_s(self, source: str, target: str) -> float:
        """How long a piece takes that leaves now."""
        fault, weather = self.faults.flow(source, target), self.weather
        delay_s = weather.delay_min_s + fault.delay_s + self._rng.uniform(0, fault.jitter_s)
        spread_s = weather.delay_mean_s - weather.delay_min_s
        if spread_s:
            delay_s += self._rng.expovariate(1 / spread_s)
        loss = max(weather.loss, fault.loss)
        for attempt in range(RETRANSMISSIONS_MAX):
            if not loss or self._rng.random() >= loss:
                break
            delay_s += RETRANSMIT_S * 2**attempt
        return delay_s

    def breaks(self, source: str, target: str) -> bool:
        """Whether the link breaks with this piece."""
        reset = self.faults.flow(source, target).reset
        return bool(reset) and self._rng.random() < reset

    def name_of(self, url: str) -> str:
        """The node that a URL leads to."""
        host = urlsplit(url).hostname
        assert host is not None, url
        return self._hosts.get(host, host)

    async def connect(self, near: str, far: str, port: str = PEERS) -> "SimulatedLink":
        """A link from one node to another. Raises DialFailed; waits for ever when the network is silent."""
        self.dials[(near, far)] = self.dials.get((near, far), 0) + 1
        await trio.sleep(self.delay_s(near, far) + self.delay_s(far, near))
        match self.faults.link(near, far):
            case Cut.SILENT:
                await trio.sleep_forever()
            case Cut.RESET:
                raise DialFailed(f"{far} turned {near} away", refused=True)
            case Cut.NONE:
                pass
        listener = self._listeners.get((far, port))
        if listener is None:
            raise DialFailed(f"nobody listens at {far}", refused=True)
        there, back = _Pipe(self, near, far), _Pipe(self, far, near)
        there.twin, back.twin = back, there
        self._pipes[there] = self._pipes[back] = None
        if not listener.offer(SimulatedLink(incoming=there, outgoing=back), near):
            there.reset()
            raise DialFailed(f"{far} is too busy", refused=True)
        return SimulatedLink(incoming=back, outgoing=there)

    def carried(self, source: str, target: str, size: int) -> None:
        traffic = self.traffic.setdefault((source, target), Traffic())
        traffic.frames += 1
        traffic.bytes += size

    def forget(self, pipe: "_Pipe") -> None:
        self._pipes.pop(pipe, None)

    def stop_listening(self, name: str, port: str) -> None:
        self._listeners.pop((name, port), None)

    def _weather_changed(self, flows: Iterable[Flow]) -> None:
        self.changed(flows)
        for pipe in list(self._pipes):
            if self.faults.link(pipe.source, pipe.target) is Cut.RESET:
                pipe.reset()
            else:
                pipe.wake()


class SimulatedDialer:
    """Dials the other nodes of the simulation."""

    def __init__(self, network: Network, near: str) -> None:
        self._network = network
        self._near = near

    async def dial(self, peer: str, *, answered: Callable[[], None] = lambda: None) -> "SimulatedLink":
        """A link to the node of this URL. Raises DialFailed."""
        link = await self._network.connect(self._near, self._network.name_of(peer))
        answered()
        return link


class Listener:
    """The open door of a node: `async for link, ip in listener`."""

    def __init__(self, network: Network, name: str, port: str) -> None:
        self._network = network
        self._name = name
        self._port = port
        self._send, self._receive = trio.open_memory_channel[tuple[SimulatedLink, str]](BACKLOG)

    def offer(self, link: "SimulatedLink", near: str) -> bool:
        """A link for the node. False when too many wait already."""
        try:
            self._send.send_nowait((link, "127.0.0.1"))
        except trio.WouldBlock:
            return False
        return True

    async def __aiter__(self) -> "AsyncIterator[tuple[SimulatedLink, str]]":
        async for item in self._receive:
            yield item

    def close(self) -> None:
        """Nobody is let in any more; who still waits is turned away."""
        self._network.stop_listening(self._name, self._port)
        self._send.close()
        while True:
            try:
                link, _ = self._receive.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
                return
            link.reset()


class _Pipe:
    """One direction of a link."""

    def __init__(self, network: Network, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.twin: _Pipe = self
        self._network = network
        self._frames: deque[tuple[float, bytes | None]] = deque()
        """When it may arrive, and what; None is the end."""
        self._size = 0
        self._last_s = 0.0
        self._broken = False
        self._ended = False
        self._abandoned = False
        """The receiver has gone; the sender learns that when the way back is open."""
        self._changed = trio.Event()
        self._due = trio.CancelScope()
        """Ends the wait of the reader when the first frame may arrive."""

    async def put(self, frame: bytes) -> None:
        """Send a frame; waits for room."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._size > BUFFER_BYTES and not self._is_closed():
            await self._changed.wait()
        if self._is_closed():
            raise LinkLost(f"the link from {self.source} to {self.target} is closed")
        if self._network.breaks(self.source, self.target):
            self.reset()
            raise LinkLost("reset")
        self._append(frame)

    def _is_closed(self) -> bool:
        """Whether the sender knows that it cannot send any more."""
        if self._abandoned and self._network.faults.flow(self.target, self.source).cut is Cut.NONE:
            return True
        return self._broken or self._ended

    def end(self) -> None:
        """Nothing follows. The other side learns it after everything that was sent."""
        if not self._ended and not self._broken:
            self._append(None)
        self._ended = True
        self.wake()

    async def get(self) -> bytes:
        """The next frame, when its time has come and the flow is not cut."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._broken:
            if self._network.faults.flow(self.source, self.target).cut is not Cut.NONE:
                await self._changed.wait()
                continue
            ready_s, frame = self._frames[0] if self._frames else (math.inf, None)
            if ready_s > trio.current_time():
                with trio.CancelScope(deadline=ready_s) as self._due:
                    await self._changed.wait()
                continue
            if frame is None:
                break
            self._frames.popleft()
            self._size -= len(frame)
            self._network.carried(self.source, self.target, len(frame))
            self.wake()
            return frame
        raise LinkLost("the other side has ended the link")

    def reset(self) -> None:
        """Break both directions at once."""
        for pipe in (self, self.twin):
            pipe._broken = True
            pipe._frames.clear()
            pipe._network.forget(pipe)
            pipe.wake()

    def abandon(self) -> None:
        """Nobody will receive here any more."""
        self._abandoned = True
        self._network.forget(self)
        self.wake()

    def wake(self) -> None:
        """Something about this flow is different now."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def _append(self, frame: bytes | None) -> None:
        ready_s = trio.current_time() + self._network.delay_s(self.source, self.target)
        self._last_s = max(self._last_s, ready_s)
        self._frames.append((self._last_s, frame))
        self._size += len(frame or b"")
        if len(self._frames) == 1:
            self._due.deadline = self._last_s


class SimulatedLink:
    """One end of a link. Implements Link."""

    def __init__(self, *, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def send(self, frame: bytes, /) -> None:
        await self._outgoing.put(frame)

    async def receive(self) -> bytes:
        return await self._incoming.get()

    async def aclose(self) -> None:
        """Tell the other side, and read no more."""
        self._outgoing.end()
        self._incoming.abandon()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Break the link at both ends."""
        self._outgoing.reset()
