"""The composition root: builds a node of its parts, sinks first, and closes it in reverse."""

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import trio

from artemis.actors.blocking import RunBlocking, in_thread
from artemis.actors.broadcaster import Broadcaster, Subscriptions
from artemis.actors.clock import Clock, SystemClock
from artemis.actors.cluster import Cluster
from artemis.actors.effects import Effects
from artemis.actors.management import ManagementWriter, RecordKeeper
from artemis.actors.supervisor import Restarts, Supervisor, open_supervisor
from artemis.actors.sweeper import LeaseSweeper, SweepStatistics
from artemis.actors.writer import PersistenceWriter
from artemis.store.database import Database
from artemis.store.management.management import Management
from artemis.store.registry import Registry
from artemis.store.routing import Router
from artemis.store.versions import HybridClock, origin_of
from artemis.transport.push import Sessions
from artemis.transport.requests import Route
from artemis.transport.sockets import PeerRoute, SocketRoute

from .config import Config
from .garbage import GarbageKeeper
from .gauges import publish_actors, publish_push, publish_registry
from .health import Health, HealthPages
from .keys import shown_values
from .lag import LoopWatch
from .metrics import Metrics
from .neighbours import Network, NoDialer, build_cluster, next_incarnation, own_url
from .routes import Facts, build_core_api
from .settings import audit_limits, cluster_settings, peer_addresses, registry_settings
from .standing import MembershipStanding
from .storage import open_storage, restore

logger = logging.getLogger(__name__)

NEVER_RESTARTED = Restarts(intensity=0)
"""For actors that own the disk: when they fail, the node cannot keep its promises any more."""


PEERS_S = 2.0
"""How long peers may take to acknowledge what they are owed when the node stops. Anti-entropy tells them the rest."""


@dataclass(slots=True, eq=False)
class Node:
    """A node that runs, without its port."""

    config: Config
    node_id: str
    url: str
    clock: Clock
    registry: Registry
    management: Management
    effects: Effects
    cluster: Cluster
    standing: MembershipStanding
    management_writer: ManagementWriter
    writer: PersistenceWriter
    subscriptions: Subscriptions
    sessions: Sessions
    supervisor: Supervisor
    metrics: Metrics
    routes: list[Route]
    sockets: list[SocketRoute | PeerRoute]

    async def say_goodbye(self, reason: str) -> None:
        """Tell everybody that this node stops: it takes no traffic, and its subscribers go elsewhere."""
        self.cluster.drain()
        self.sessions.dismiss(reason)
        await trio.lowlevel.checkpoint()

    async def flush(self) -> None:
        """Bring what is still on its way to peers and disk there, and take leave of the peers."""
        with trio.move_on_after(PEERS_S):
            await self.cluster.flush()
        await self.cluster.goodbye("this node is stopping")
        self.management_writer.close()
        await self.writer.flush()


@asynccontextmanager
async def open_node(
    config: Config,
    *,
    port: int | None = None,
    clock: Clock | None = None,
    run_blocking: RunBlocking = in_thread,
    network: Network | None = None,
    database: Database | None = None,
) -> AsyncGenerator[Node, None]:
    """A node as long as the block lasts. `port` is the one it will be reached at.

    Raises `DatabaseProblem` when the data directory cannot be used, and `ActorFailed` when a part keeps failing.
    Simulations bring a `clock`, a door for blocking work, a network and a database of their own.
    """
    clock = clock or SystemClock()
    network = network or Network(NoDialer(), Random())
    if database is None:
        database = await run_blocking(lambda: open_storage(config))
    try:
        async with open_supervisor() as supervisor:
            node = await _compose(
                config, database, supervisor, port=port, clock=clock, door=run_blocking, network=network
            )
            yield node
    finally:
        with trio.CancelScope(shield=True):
            await run_blocking(database.close)


async def _compose(
    config: Config,
    database: Database,
    supervisor: Supervisor,
    *,
    port: int | None,
    clock: Clock,
    door: RunBlocking,
    network: Network,
) -> Node:
    node_id, url = config.node_id(port), config.advertised_url(port)
    origin = origin_of(node_id)
    versions = HybridClock(origin)
    now_s, now_ms = clock.now_s(), clock.now_ms()
    management = Management(
        region_id=config.node.region,
        clock=versions,
        origin=origin,
        node_id=node_id,
        audit_limits=audit_limits(config),
    )
    registry = Registry(
        registry_settings(config),
        clock=versions,
        origin=origin,
        now_s=now_s,
        now_ms=now_ms,
        visibility=management if config.management.enabled else None,
    )
    await door(lambda: restore(database, registry, management, now_s=now_s, now_ms=now_ms))

    effects, subscriptions, sweeps = Effects(), Subscriptions(), SweepStatistics()
    writer = PersistenceWriter(database.snapshot, clock, run_blocking=door)
    broadcaster = Broadcaster(subscriptions)
    effects.writers.append(writer)
    effects.broadcasters.append(broadcaster)
    management_writer = ManagementWriter(management, registry, effects, database.journal, clock, run_blocking=door)
    settings = cluster_settings(config, node_id=node_id, url=own_url(config, url))
    cluster = build_cluster(
        settings,
        network=network,
        registry=registry,
        management=management,
        writer=management_writer,
        effects=effects,
        clock=clock,
        incarnation=await door(lambda: next_incarnation(database.journal)),
    )
    membership = cluster.membership
    standing = MembershipStanding(membership, settings, registry=registry, management=management)
    metrics = Metrics(node_id=node_id, region=config.node.region, zone=config.node.zone)
    facts = Facts(
        node_url=url,
        peer_addresses=await door(lambda: peer_addresses(config)),
        properties=shown_values(config),
        deployment=deployment_of(config, port),
    )
    core = build_core_api(
        config,
        facts,
        registry=registry,
        management=management,
        router=Router(management),
        effects=effects,
        clock=clock,
        standing=standing,
        subscriptions=subscriptions,
        random=network.rng,
    )
    pages = HealthPages(
        read=lambda: Health(membership.status.value),
        metrics=metrics,
        node_id=node_id,
        region=config.node.region,
        zone=config.node.zone,
        storage=config.data.directory,
        now_s=clock.now_s,
        started_s=now_s,
    )
    publish_registry(metrics, registry, sweeps)
    publish_push(metrics, core.sessions, subscriptions, broadcaster)
    publish_actors(metrics, supervisor, broadcaster, writer, management_writer)

    supervisor.start("persistence writer", lambda: writer, NEVER_RESTARTED)
    supervisor.start("management writer", lambda: management_writer, NEVER_RESTARTED)
    supervisor.start("record keeper", lambda: RecordKeeper(management, database.journal, clock, run_blocking=door))
    supervisor.start("broadcaster", lambda: broadcaster)
    supervisor.start(
        "lease sweeper",
        lambda: LeaseSweeper(registry, effects, clock, interval_s=config.registry.sweep_interval_s, statistics=sweeps),
    )
    watch = LoopWatch(metrics)
    supervisor.start("loop watch", lambda: watch)
    supervisor.start("garbage keeper", lambda: GarbageKeeper(lambda: registry.live_count))
    cluster.start(supervisor)
    return Node(
        config=config,
        node_id=node_id,
        url=url,
        clock=clock,
        registry=registry,
        management=management,
        effects=effects,
        cluster=cluster,
        standing=standing,
        management_writer=management_writer,
        writer=writer,
        subscriptions=subscriptions,
        sessions=core.sessions,
        supervisor=supervisor,
        metrics=metrics,
        routes=[*core.routes, *pages.routes()],
        sockets=[*core.sockets],
    )


def deployment_of(config: Config, port: int | None) -> dict[str, object]:
    """Where this node runs, as the RPC contract asks for it."""
    host = socket.gethostname()
    return {
        "regionId": config.node.region,
        "zoneId": config.node.zone,
        "appId": "artemis",
        "machineName": host,
        "ip": config.node.host,
        "port": port if port is not None else config.node.port,
        "protocol": "http",
        "path": None,
        "sources": {"artemis": 1},
        "properties": {},
    }
