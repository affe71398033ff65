"""The API of a node: every route and socket, made of the parts that answer them."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from artemis.store.addresses import canonical_ip
from artemis.store.routing import Router
from artemis.transport.operations import management, rest
from artemis.transport.operations.callers import CallerGuard
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
from .core import Core
from .keys import shown_values
from .settings import (
    client_address,
    instance_rules,
    limit_of,
    may_replicate,
    peer_addresses,
    peer_rules,
    session_settings,
)

RPC = "/artemis/api"
REST = "/api"


@dataclass(frozen=True, slots=True)
class CoreApi:
    """Registry, discovery, cluster, status and push, in both dialects."""

    routes: list[Route]
    sockets: list[SocketRoute]
    sessions: Sessions
    replication: ReplicationOperations


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known only once the port is open, or needs a look at the machine."""

    peer_addresses: frozenset[str]
    properties: Mapping[str, str]
    deployment: Mapping[str, object]


def collect_facts(config: Config, port: int | None) -> Facts:
    """Look around. Blocks: names of peers are looked up."""
    deployment: dict[str, object] = {
        "regionId": config.node.region,
        "zoneId": config.node.zone,
        "appId": "artemis",
        "machineName": socket.gethostname(),
        "ip": config.node.host,
        "port": config.node.port if port is None else port,
        "protocol": "http",
        "path": None,
        "sources": {"artemis": 1},
        "properties": {},
    }
    return Facts(peer_addresses(config), shown_values(config), deployment)


def build_core_api(core: Core, facts: Facts, *, standing: Standing, random: Random) -> CoreApi:
    """Everything that is answered, except the pages of the operator."""
    config, registry, clock = core.config, core.registry, core.clock
    registrations = _registrations(core, standing)
    router = Router(core.management) if config.management.enabled else None
    discovery = _discovery(core, standing, random, router)
    guard = _guard(core)
    sessions = Sessions(
        registry,
        core.subscriptions,
        clock,
        heartbeat=registrations.heartbeat if guard is None else guard.heartbeats(registrations.heartbeat),
        snapshots=discovery,
        serves=standing.serves_discovery,
        settings=session_settings(config),
    )
    cluster = ClusterOperations(clock, standing=standing, limit_of=limit_of(config, "cluster"))
    replication = ReplicationOperations(
        registry,
        core.effects,
        clock,
        rules=peer_rules(config),
        limit_of=limit_of(config, "replication"),
        admits=may_replicate(config, facts.peer_addresses),
        secrets=config.cluster.known_secrets,
    )
    status = StatusOperations(
        registry,
        clock,
        standing=standing,
        connections=sessions,
        limit_of=limit_of(config, "status"),
        properties=facts.properties,
        deployment=facts.deployment,
        problems=lambda: core.storage.problems,
    )
    routes = [
        route
        for part in (registrations, discovery, cluster, replication, status)
        for prefix, loose in ((RPC, False), (REST, True))
        for route in part.routes(prefix, loose=loose)
    ]
    if router is not None:
        routes += _management_routes(core, standing, router)
    if guard is not None:
        routes = [guard.guarded(route) for route in routes]
    return CoreApi(routes, _sockets(config, sessions), sessions, replication)


def _guard(core: Core) -> CallerGuard | None:
    config = core.config
    if not config.rate_limits.enabled or not config.rate_limits.per_client:
        return None
    address_of = client_address(config.node.trusted_proxies)
    return CallerGuard(config.rate_limits.per_client, core.clock, address_of=address_of)


def _registrations(core: Core, standing: Standing) -> RegistryOperations:
    config = core.config
    return RegistryOperations(
        core.registry,
        core.effects,
        core.clock,
        standing=standing,
        rules=instance_rules(config, allow_other_zones=config.registry.allow_other_zones),
        limit_of=limit_of(config, "registry"),
    )


def _discovery(core: Core, standing: Standing, random: Random, router: Router | None) -> DiscoveryOperations:
    """Without a router management is switched off."""
    config = core.config
    return DiscoveryOperations(
        core.registry,
        core.clock,
        standing=standing,
        rules=instance_rules(config, allow_other_zones=config.discovery.allow_other_zones),
        decorator=core.management if router is not None else None,
        router=router,
        random=random,
        address_of=client_address(config.node.trusted_proxies),
    )


def _management_routes(core: Core, standing: Standing, router: Router) -> list[Route]:
    """Management in both dialects; `router` is the one that discovery asks, so that it can be explained."""
    desk = management.Desk(
        core.management,
        core.registry,
        core.management_writer,
        core.clock,
        standing=standing,
        limit_of=limit_of(core.config, "management"),
        address_of=client_address(core.config.node.trusted_proxies),
    )
    askers = instance_rules(core.config, allow_other_zones=core.config.discovery.allow_other_zones)
    return [*management.routes(desk), *rest.routes(desk, router, askers=askers)]


def _sockets(config: Config, sessions: Sessions) -> list[SocketRoute]:
    """The WebSockets of clients; who is black-listed is told so at the handshake."""
    lists = config.websocket

    def not_in(addresses: tuple[str, ...]) -> "Admission":
        return Admission(frozenset(canonical_ip(address).lower() for address in addresses))

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
        return canonical_ip(caller.ip).lower() not in self.refused
