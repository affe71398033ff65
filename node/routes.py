"""The API of a node: every route and socket, made of the parts that answer them."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from artemis.actors.broadcaster import Subscriptions
from artemis.actors.clock import Clock
from artemis.actors.effects import Effects
from artemis.store.management.management import Management
from artemis.store.registry import Registry
from artemis.store.routing import Router
from artemis.transport.operations.cluster import ClusterOperations
from artemis.transport.operations.discovery import DiscoveryOperations
from artemis.transport.operations.registry import RegistryOperations
from artemis.transport.operations.replication import ReplicationOperations
from artemis.transport.operations.standing import Standing
from artemis.transport.operations.status import StatusOperations
from artemis.transport.push import HEARTBEAT_PATH, Sessions
from artemis.transport.requests import Caller, Route
from artemis.transport.sockets import SocketRoute

from .config import Config
from .settings import client_address, instance_rules, limit_of, may_replicate, session_settings

RPC = "/artemis/api"
REST = "/api"


@dataclass(frozen=True, slots=True)
class CoreApi:
    """Registry, discovery, cluster, status and push, in both dialects."""

    routes: list[Route]
    sockets: list[SocketRoute]
    sessions: Sessions


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known only once the port is open, or needs a look at the machine."""

    node_url: str
    peer_addresses: frozenset[str]
    properties: Mapping[str, str]
    deployment: Mapping[str, object]


def build_core_api(
    config: Config,
    facts: Facts,
    *,
    registry: Registry,
    management: Management,
    router: Router,
    effects: Effects,
    clock: Clock,
    standing: Standing,
    subscriptions: Subscriptions,
    random: Random,
) -> CoreApi:
    """Everything but management and the pages of the operator."""
    address_of = client_address(config.node.trusted_proxies)
    registry_rules = instance_rules(config, allow_other_zones=config.registry.allow_other_zones)
    discovery_rules = instance_rules(config, allow_other_zones=config.discovery.allow_other_zones)
    registrations = RegistryOperations(
        registry,
        effects,
        clock,
        standing=standing,
        rules=registry_rules,
        limit_of=limit_of(config, "registry"),
        per_client=config.rate_limits.per_client if config.rate_limits.enabled else 0,
        address_of=address_of,
    )
    discovery = DiscoveryOperations(
        registry,
        clock,
        standing=standing,
        rules=discovery_rules,
        decorator=management if config.management.enabled else None,
        router=router if config.management.enabled else None,
        random=random,
        address_of=address_of,
    )
    sessions = Sessions(
        registry,
        subscriptions,
        heartbeat=registrations.heartbeat,
        snapshots=discovery,
        settings=session_settings(config),
    )
    cluster = ClusterOperations(clock, standing=standing, limit_of=limit_of(config, "cluster"))
    replication = ReplicationOperations(
        registry,
        effects,
        clock,
        rules=registry_rules,
        limit_of=limit_of(config, "replication"),
        admits=may_replicate(config, facts.peer_addresses),
        secret=config.cluster.secret,
    )
    status = StatusOperations(
        registry,
        clock,
        standing=standing,
        connections=sessions,
        limit_of=limit_of(config, "status"),
        properties=facts.properties,
        deployment=facts.deployment,
    )
    routes = [
        route
        for part in (registrations, discovery, cluster, replication, status)
        for prefix, loose in ((RPC, False), (REST, True))
        for route in part.routes(prefix, loose=loose)
    ]
    return CoreApi(routes, _sockets(config, sessions), sessions)


def _sockets(config: Config, sessions: Sessions) -> list[SocketRoute]:
    """The WebSockets of clients; who is black-listed is told so at the handshake."""
    lists = config.websocket

    def not_in(addresses: tuple[str, ...]) -> "Admission":
        return Admission(frozenset(address.lower() for address in addresses))

    return [
        SocketRoute(HEARTBEAT_PATH, sessions.heartbeats, "ws-heartbeat", not_in(lists.black_list_heartbeat)),
        SocketRoute(
            "/artemis/websocket/discovery/instance-change",
            sessions.changes,
            "ws-instance-change",
            not_in(lists.black_list_discovery),
        ),
        SocketRoute(
            "/artemis/websocket/discovery/all-instance-change",
            sessions.all_changes,
            "ws-all-instance-change",
            not_in(lists.black_list_discoveries),
        ),
        SocketRoute("/ws", sessions.watch, "ws"),
    ]


@dataclass(frozen=True, slots=True)
class Admission:
    """Everybody but these addresses. It is the address of the connection that counts, not what a header claims."""

    refused: frozenset[str]

    def __call__(self, caller: Caller) -> bool:
        return caller.ip.lower() not in self.refused
