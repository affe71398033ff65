"""A small cluster for tests: real registries and real actors over links in memory, on a clock that jumps."""

import random
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import trio

from artemis.actors.claims import IsAt, anywhere
from artemis.actors.cluster import Cluster
from artemis.actors.cluster_settings import ClusterSettings
from artemis.actors.effects import Effects
from artemis.actors.ports import Dialer, Link
from artemis.actors.replicas import InstanceReplica, ManagementAudits, RecordReplica
from artemis.actors.supervisor import open_supervisor
from artemis.actors.sweeper import LeaseSweeper
from artemis.actors.tables import Tables
from artemis.cluster.simulation.network import Network, Weather
from artemis.cluster.simulation.scheduling import HOST, RunQueue, take_over_queue
from artemis.store.changes import ServiceChange
from artemis.store.contacts import Contacts
from artemis.store.instances import Instance
from artemis.store.management.audit import AuditEntry
from artemis.store.management.draft import Plan
from artemis.store.management.management import Management
from artemis.store.management.records import Audit, Record
from artemis.store.preservation import PreservationSettings
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.replica import Restored
from artemis.store.versions import HybridClock, origin_of

FAIR = Weather()
ORDINARY = PreservationSettings()
DEFAULTS = RegistrySettings("lab")
EPOCH_MS = 1_800_000_000_000


class SkewedClock:
    """Trio's clock, and a wall clock that may be wrong."""

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms

    def now_s(self) -> float:
        return trio.current_time()

    def now_ms(self) -> int:
        return EPOCH_MS + self.skew_ms + int(trio.current_time() * 1000)

    def stamp_ms(self) -> float:
        return EPOCH_MS + self.skew_ms + trio.current_time() * 1000


class Changes:
    """Remembers what subscribers would be told."""

    def __init__(self) -> None:
        self.told: list[ServiceChange] = []

    def post(self, changes: Sequence[ServiceChange]) -> None:
        self.told.extend(changes)

    def kinds(self, service_key: str) -> list[str]:
        return [c.change_type for s in self.told if s.service_key == service_key for c in s.changes]


def instance(service: str, name: str, **fields: object) -> Instance:
    base = Instance(
        region_id="lab", zone_id="zone1", service_id=service, instance_id=name, ip="10.0.0.1", url=f"http://{name}:80"
    )
    return msgspec.structs.replace(base, **fields)


@dataclass
class Remains:
    """What a node that was killed had on its disk."""

    instances: list[Restored] = field(default_factory=list[Restored])
    records: list[Record] = field(default_factory=list[Record])
    instance_contacts: dict[str, int] = field(default_factory=dict[str, int])
    record_contacts: dict[str, int] = field(default_factory=dict[str, int])
    records_since_ms: int | None = None
    """None: since now."""


class Node:
    """One node without its outside: registry, management, cluster."""

    def __init__(
        self,
        name: str,
        settings: ClusterSettings,
        *,
        dialer: Dialer,
        seed: int,
        clock: SkewedClock,
        registry: RegistrySettings = DEFAULTS,
        remains: Remains | None = None,
        is_at: IsAt = anywhere,
    ) -> None:
        remains = remains or Remains()
        self.name = name
        self.settings = settings
        self.clock = clock
        origin = origin_of(settings.node_id)
        hybrid = HybridClock(origin)
        now_s, now_ms = clock.now_s(), clock.now_ms()
        self.management = Management(region_id="lab", clock=hybrid, origin=origin, node_id=settings.node_id)
        self.registry = Registry(
            registry,
            clock=hybrid,
            origin=origin,
            now_s=now_s,
            now_ms=now_ms,
            visibility=self.management,
        )
        self.management.restore(remains.records, ())
        self.registry.restore(remains.instances, now_s=now_s, now_ms=now_ms)
        self.instance_contacts = Contacts(remains.instance_contacts, now_s=now_s)
        since_ms = now_ms if remains.records_since_ms is None else remains.records_since_ms
        self.record_contacts = Contacts(remains.record_contacts, memory_ms=now_ms - since_ms, now_s=now_s)
        self.effects = Effects()
        self.changes = Changes()
        self.effects.broadcasters.append(self.changes)
        self.stored: list[Record | Audit] = []
        rng = random.Random(seed)
        instances = InstanceReplica(self.registry, self.effects, self.instance_contacts)
        self.tables = Tables(
            [
                instances,
                RecordReplica(self.management, self.registry, self.effects, self._store, self.record_contacts),
            ],
            instances=instances,
            audits=ManagementAudits(self.management, self._store),
            origin=origin,
            clock=clock,
        )
        self.cluster = Cluster(
            settings,
            tables=self.tables,
            sinks=self.effects.peers,
            clock=clock,
            dialer=dialer,
            rng=rng,
            entropy=rng.randbytes,
            incarnation=now_ms,
            live_count=lambda: self.registry.live_count,
            is_at=is_at,
        )

    def remains(self, *, spent_ms: int = 0) -> Remains:
        """What its disk holds now, of instances of which it has not heard since it ran for `spent_ms`."""
        now_s, now_ms = self.clock.now_s(), self.clock.now_ms()
        return Remains(
            [
                (entry.full_key, entry.version, entry.json if entry.live else None, entry.registered_ms, spent_ms)
                for service in self.registry.services.values()
                for entry in service.entries.values()
            ],
            list(self.management.tables.records()),
            self.instance_contacts.stored(),
            self.record_contacts.stored(),
            now_ms - self.record_contacts.remembers_ms(now_s=now_s),
        )

    def sweeper(self) -> LeaseSweeper:
        return LeaseSweeper(self.registry, self.effects, self.clock, interval_s=0.1)

    async def _store(self, records: Sequence[Record], audits: Sequence[Audit]) -> None:
        await trio.lowlevel.checkpoint()
        self.stored += [*records, *audits]

    def register(self, *instances: Instance) -> None:
        outcome = self.registry.register(instances, now_s=self.clock.now_s(), now_ms=self.clock.stamp_ms())
        self.effects.written(outcome.entries, outcome.changes)

    def unregister(self, *keys: tuple[str, str]) -> None:
        outcome = self.registry.unregister(keys, now_s=self.clock.now_s(), now_ms=self.clock.stamp_ms())
        self.effects.written(outcome.entries, outcome.changes)

    def heartbeat(self, service: str, name: str) -> bool:
        lease_s = self.registry.lease_time(self.clock.now_s())
        entry = self.registry.renew(service, name, lease_s=lease_s)
        if entry is None:
            return False
        self.effects.renewed([entry])
        return True

    def decide(self, record: Record) -> None:
        """An operator writes a record here."""
        applied = self.management.apply([record])
        audits = self.management.seal([AuditEntry(kind=record.kind, target=record.key)], now_ms=self.clock.now_ms())
        self.management.audit.add(audits)
        self.effects.recorded(applied.records, audits)

    def plan(self, plan: Plan[object]) -> None:
        """An operator's write is carried out here."""
        draft = self.management.draft(now_ms=self.clock.stamp_ms())
        draft.attempt(plan)
        for record in draft.records():
            self.decide(record)

    def names(self, service: str) -> list[str]:
        """What discovery would answer, by instance."""
        table = self.registry.services.get(service)
        return [] if table is None else sorted(entry.key for entry in table.visible())

    @property
    def status(self) -> str:
        return self.cluster.membership.status.value


class World:
    """Nodes and the network between them. Nodes are called a, b, c."""

    def __init__(self, nursery: trio.Nursery, names: Sequence[str], *, seed: int, weather: Weather) -> None:
        self.network = Network([*names, "x"], rng=random.Random(seed), weather=weather)
        self.nodes: dict[str, Node] = {}
        self.names = list(names)
        self._nursery = nursery
        self._seed = seed
        self._scopes: dict[str, trio.CancelScope] = {}
        self._gone: dict[str, trio.Event] = {}
        self._queue: RunQueue | None = None

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def settings(self, name: str, **fields: object) -> ClusterSettings:
        base = ClusterSettings(
            cluster="test",
            region="lab",
            zone="zone1",
            node_id=name,
            url=url_of(name),
            nodes={"zone1": [url_of(other) for other in self.names]},
            secrets=("a secret of the tests",),
        )
        return replace(base, **fields)  # type: ignore[arg-type]

    def start(
        self,
        name: str,
        *,
        clock: SkewedClock | None = None,
        dialer: Callable[[Dialer], Dialer] = lambda dialer: dialer,
        registry: RegistrySettings = DEFAULTS,
        preservation: PreservationSettings = ORDINARY,
        remains: Remains | None = None,
        **fields: object,
    ) -> Node:
        """Start a node, empty or with what remains of its predecessor."""
        self._seed += 1
        node = Node(
            name,
            self.settings(name, **fields),
            dialer=dialer(self.network.dialer(name)),
            seed=self._seed,
            clock=clock or SkewedClock(),
            registry=replace(registry, preservation=preservation),
            remains=remains,
        )
        self.nodes[name] = node
        self._scopes[name], self._gone[name] = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._run, node)
        return node

    async def kill(self, name: str, *, silently: bool = False) -> None:
        """End a node at once; `silently`, as when its machine loses power."""
        if silently:
            self.network.cut(self.network.faults.between([name], self.names))
        self._scopes[name].cancel()
        await self._gone[name].wait()

    def freeze(self, name: str) -> None:
        """Do to a node what SIGSTOP does to a process."""
        if self._queue is None:
            self._queue = take_over_queue()
        self._queue.freeze(name)

    def thaw(self, name: str) -> None:
        assert self._queue is not None
        self._queue.thaw(name)

    def thaw_all(self) -> None:
        for name in self.nodes:
            if self._queue is not None and self._queue.is_frozen(name):
                self._queue.thaw(name)

    async def _run(self, node: Node) -> None:
        HOST.set(node.name)
        listener = self.network.listen(node.name)
        try:
            with self._scopes[node.name]:
                async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
                    supervisor.start("sweeper", node.sweeper)
                    node.cluster.start(supervisor)
                    async for link, ip in listener:
                        nursery.start_soon(self._serve, node, link, ip)
        finally:
            listener.close()
            self._gone[node.name].set()

    async def _serve(self, node: Node, link: Link, ip: str) -> None:
        await node.cluster.accept(link, ip)

    def is_meshed(self) -> bool:
        """Whether every node has a link of its own to every other."""
        count = len(self.nodes) - 1
        return all(
            sum(conversation.dialled for conversation in node.cluster.conversations()) == count
            for node in self.nodes.values()
        )

    def agree(self, *names: str) -> bool:
        """Whether these nodes (all, if none is named) hold the same."""
        digests = [self.nodes[name].tables.digests() for name in names or self.nodes]
        return all(digest == digests[0] for digest in digests)


def url_of(name: str) -> str:
    return f"http://{name}:8080"


@asynccontextmanager
async def open_world(
    *names: str, seed: int = 1, start: bool = True, weather: Weather = FAIR, **fields: Any
) -> AsyncGenerator[World, None]:
    """A world whose nodes are up and linked, or in which none is started."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, names, seed=seed, weather=weather)
        if start:
            for name in names:
                world.start(name, **fields)
            await all_up(world)
            await eventually(world.is_meshed)
        try:
            yield world
        finally:
            world.thaw_all()  # what is frozen could not even be cancelled
        nursery.cancel_scope.cancel()


async def all_up(world: World, names: Iterable[str] = ()) -> None:
    """Wait until these nodes (all, if none is named) are up."""
    with trio.fail_after(60):
        for name in names or world.nodes:
            await world[name].cluster.up.wait()


async def eventually(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait until a condition holds, in virtual time."""
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 (any condition at all, and the clock is virtual)
            await trio.sleep(0.01)
