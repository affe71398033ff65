"""The composition root: builds a node of its parts, sinks first, and closes it in reverse."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

import trio

from artemis.actors.blocking import RunBlocking, in_thread
from artemis.actors.clock import Clock, SystemClock
from artemis.actors.cluster import Cluster
from artemis.actors.supervisor import Supervisor, open_supervisor
from artemis.store.database import Database
from artemis.store.management.management import Management
from artemis.store.registry import Registry
from artemis.store.sqlite import DatabaseProblem
from artemis.transport.peers.links import WebSocketDialer, peer_route
from artemis.transport.peers.standing import ClusterStanding
from artemis.transport.peers.whereabouts import is_at
from artemis.transport.push import Sessions
from artemis.transport.requests import Route
from artemis.transport.sockets import PeerRoute, SocketRoute

from .cluster_gauges import publish_cluster, publish_rpc_peers
from .config import Config
from .core import Core, build_core, start_core
from .gauges import publish_actors, publish_push, publish_registry
from .health import Health, HealthPages
from .lag import LoopWatch
from .metrics import Metrics
from .neighbours import Network, build_cluster, next_incarnation, own_url, start_rpc_peers
from .routes import CoreApi, build_core_api, collect_facts
from .settings import cluster_settings
from .storage import open_storage

PEERS_S = 2.0
"""How long peers may take to acknowledge what they are owed when the node stops. Anti-entropy tells them the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node that runs, without its port."""

    core: Core
    node_id: str
    url: str
    cluster: Cluster
    standing: ClusterStanding
    sessions: Sessions
    supervisor: Supervisor
    metrics: Metrics
    routes: list[Route]
    sockets: list[SocketRoute | PeerRoute]

    @property
    def config(self) -> Config:
        return self.core.config

    @property
    def registry(self) -> Registry:
        return self.core.registry

    @property
    def management(self) -> Management:
        return self.core.management

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
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.core.management_writer.flush)
            nursery.start_soon(self.core.writer.flush)
        with suppress(DatabaseProblem):  # a note that is old makes the next start more careful, and nothing else
            await self.core.notes.note()

    def unstored(self) -> list[str]:
        """What is not on the disk, and why, for people."""
        instances, management = self.core.writer.statistics().depth, self.core.management_writer.unstored()
        lacking = [f"{instances} changes of instances"] if instances else []
        return [
            *lacking,
            *([f"{management} that peers brought and hold"] if management else []),
            *self.core.storage.problems,
        ]


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
    if database is None:
        database = await run_blocking(lambda: open_storage(config))
    try:
        reach = network or Network(WebSocketDialer(addresses=config.cluster.dial), Random(), is_at=is_at)
        async with open_supervisor() as supervisor:
            core = await build_core(config, database, node_id=config.node_id(port), clock=clock, door=run_blocking)
            yield await _compose(core, supervisor, port=port, network=reach)
    finally:
        with trio.CancelScope(shield=True):
            await run_blocking(database.close)


async def _compose(core: Core, supervisor: Supervisor, *, port: int | None, network: Network) -> Node:
    """Cluster and API around the core, metrics around all of it; then everything starts."""
    config = core.config
    node_id, url = config.node_id(port), config.advertised_url(port)
    settings = cluster_settings(config, node_id=node_id, url=own_url(config, url))
    now_ms = core.clock.now_ms()
    cluster = build_cluster(
        settings,
        network=network,
        registry=core.registry,
        management=core.management,
        writer=core.management_writer,
        effects=core.effects,
        contacts=(core.instance_contacts, core.record_contacts),
        clock=core.clock,
        incarnation=await core.door(lambda: next_incarnation(core.database.journal, now_ms=now_ms)),
    )
    standing = ClusterStanding(cluster)
    facts = await core.door(lambda: collect_facts(config, port))
    api = build_core_api(core, facts, standing=standing, random=network.rng)
    metrics = Metrics(node_id=node_id, region=config.node.region, zone=config.node.zone)
    pages = HealthPages(
        read=lambda: Health(
            cluster.membership.status.value, cluster.membership.reason, problems=tuple(core.storage.problems)
        ),
        metrics=metrics,
        node_id=node_id,
        region=config.node.region,
        zone=config.node.zone,
        storage=config.data.directory,
        now_s=core.clock.now_s,
        started_s=core.clock.now_s(),
    )
    _publish(metrics, core, api, supervisor)
    publish_cluster(metrics, cluster)
    start_core(core, supervisor)
    watch = LoopWatch(metrics)
    supervisor.start("loop watch", lambda: watch)
    cluster.start(supervisor)
    rpc_peers = start_rpc_peers(
        cluster,
        supervisor,
        registry=core.registry,
        effects=core.effects,
        clock=core.clock,
        addresses=config.cluster.dial,
    )
    publish_rpc_peers(metrics, rpc_peers, refused=api.replication.refused)
    return Node(
        core=core,
        node_id=node_id,
        url=url,
        cluster=cluster,
        standing=standing,
        sessions=api.sessions,
        supervisor=supervisor,
        metrics=metrics,
        routes=[*api.routes, *pages.routes()],
        sockets=[*api.sockets, peer_route(cluster)],
    )


def _publish(metrics: Metrics, core: Core, api: CoreApi, supervisor: Supervisor) -> None:
    publish_registry(metrics, core.registry, core.sweeps)
    publish_push(metrics, api.sessions, core.subscriptions, core.broadcaster)
    publish_actors(metrics, supervisor, core.broadcaster, core.writer, core.management_writer, core.storage)
