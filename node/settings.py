"""From the configuration to the settings of the parts: each part is told what it must know, and nothing else."""

import re
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from artemis.actors.cluster_settings import ClusterSettings, Forced, LinkSettings
from artemis.store.addresses import address_of, canonical_ip, network_of
from artemis.store.management.audit import AuditLimits
from artemis.store.preservation import PreservationSettings
from artemis.store.registry import RegistrySettings
from artemis.transport.limits import Limits
from artemis.transport.operations.rules import PEER_LIMITS, InstanceLimits, InstanceRules
from artemis.transport.origins import Cors
from artemis.transport.push import SessionSettings
from artemis.transport.requests import Caller
from artemis.transport.slots import is_this_machine

from .config import Config, RateLimitedArea

DAY_MS = 24 * 3600 * 1000
SUSPECT_S = 2.5
"""Silence after which a peer is suspect; sooner where leases are short."""
PING_S = 1.0

_HOP = re.compile(r"([0-9.]+)(?::[0-9]{1,5})?|\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")


def ahead_max_ms(config: Config) -> int:
    """How far ahead of the wall clock the date of a row may be."""
    return round(config.cluster.clock_drift_max_s * 1000)


def registry_settings(config: Config) -> RegistrySettings:
    registry = config.registry
    return RegistrySettings(
        region_id=config.node.region,
        zone_id=config.node.zone,
        lease_ttl_s=registry.lease_ttl_s,
        legacy_ttl_s=registry.legacy_ttl_s,
        lease_ttl_min_s=registry.lease_ttl_min_s,
        lease_ttl_max_s=registry.lease_ttl_max_s,
        tombstone_ttl_s=registry.tombstone_ttl_s,
        entries_max=config.limits.instances,
        pause_s=max(0.5, 3 * registry.sweep_interval_s),
        granted_hourly_s=registry.lag_grant_max_s,
        preservation=PreservationSettings(
            enabled=registry.self_preservation,
            threshold=registry.preservation_threshold,
            leases_min=registry.preservation_min_leases,
            ceiling_s=registry.preservation_ceiling_s,
            farewell_s=registry.lease_ttl_s,
        ),
    )


def audit_limits(config: Config) -> AuditLimits:
    management = config.management
    return AuditLimits(age_ms=management.audit_retention_days * DAY_MS, count=management.audit_retention_records)


def instance_rules(config: Config, *, allow_other_zones: bool) -> InstanceRules:
    """For what clients register, and who may ask."""
    limits = config.limits
    return InstanceRules(
        region_id=config.node.region,
        zone_id=config.node.zone,
        allow_other_zones=allow_other_zones,
        instances_max=limits.instances_per_request,
        limits=InstanceLimits(
            id_characters=limits.id_characters,
            url_characters=limits.url_characters,
            metadata_entries=limits.metadata_entries,
            metadata_bytes=limits.metadata_bytes,
        ),
    )


def peer_rules(config: Config) -> InstanceRules:
    """For what nodes of the original system replicate."""
    return InstanceRules(region_id=config.node.region, zone_id=config.node.zone, limits=PEER_LIMITS)


def server_limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        connections=limits.connections,
        header_bytes=limits.header_bytes,
        body_bytes=limits.body_bytes,
        header_timeout_s=limits.header_timeout_s,
        body_timeout_s=limits.body_timeout_s,
        idle_timeout_s=limits.idle_timeout_s,
        connections_per_address=limits.connections_per_address,
        reserved_connections=limits.reserved_connections,
        websockets=limits.websockets,
        websocket_ping_s=config.websocket.ping_interval_s,
        websocket_pong_s=config.websocket.pong_timeout_s,
        arriving_bytes=limits.arriving_bytes,
        unsent_bytes=limits.unsent_bytes,
        unsent_bytes_per_connection=limits.unsent_bytes_per_connection,
        websocket_text_bytes=limits.websocket_text_bytes,
    )


def cors(config: Config) -> Cors:
    """Which pages may use this node: its own, by the names that it is told or can see, and those that are listed."""
    url = urlsplit(config.advertised_url()).hostname or ""
    return Cors(
        origins=config.cors.origins,
        credentials=config.cors.credentials,
        names=frozenset(name.lower() for name in (url, config.node.host, socket.gethostname())),
        trusts=trusted(config.node.trusted_proxies),
    )


def session_settings(config: Config) -> SessionSettings:
    return SessionSettings(
        ttl_s=config.websocket.session_ttl_s,
        backlog=config.websocket.backlog,
        id_characters=config.limits.id_characters,
        subscribe_s=config.websocket.subscribe_timeout_s,
    )


def limit_of(config: Config, area: RateLimitedArea) -> Callable[[str], int]:
    """Calls per ten seconds that an operation of this area may take; 0 when nothing is limited."""
    if not config.rate_limits.enabled:
        return lambda _operation: 0
    return lambda operation: config.rate_limits.limit_of(area, operation)


def trusted(proxies: Iterable[str]) -> Callable[[str], bool]:
    """Whether an address is that of a proxy which is believed."""
    networks = [network for network in map(network_of, proxies) if network is not None]

    def is_trusted(text: str) -> bool:
        address = address_of(text) if networks else None
        return address is not None and any(address in network for network in networks)

    return is_trusted


def client_address(proxies: Iterable[str]) -> Callable[[Caller], str]:
    """Who really calls: the address of the connection, or what a trusted proxy says of the one before it."""
    is_trusted = trusted(proxies)

    def resolve(caller: Caller) -> str:
        address = caller.ip
        if caller.forwarded_for is None:
            return address
        for hop in reversed(caller.forwarded_for.split(",")):
            if not is_trusted(address):
                break
            found = forwarded_address(hop)
            if found is None:
                break
            address = found
        return address

    return resolve


def forwarded_address(hop: str) -> str | None:
    """The address in an entry of X-Forwarded-For: 10.1.1.1, 10.1.1.1:4711, ::1, [::1] or [::1]:443."""
    parts = _HOP.fullmatch(hop.strip())
    found = None if parts is None else address_of(next(filter(None, parts.groups())))
    return None if found is None else str(found)


def peer_addresses(config: Config) -> frozenset[str]:
    """Addresses of the nodes that may replicate without the secret: of all when there is none; otherwise of those that
    speak the RPC dialect, which has no place for one. Looks names up, so it may block."""
    cluster = config.cluster
    listed = [url for urls in cluster.nodes.values() for url in urls]
    if cluster.known_secrets:
        listed = [url for url in listed if cluster.dialects.get(url) == "rpc"]
    # A node to which its own url does not lead from here comes from where it is dialled.
    return _addresses([*listed, *(cluster.dial[url] for url in listed if url in cluster.dial)])


def near_addresses(config: Config) -> Callable[[str], bool]:
    """Whether many come from an address: this machine, trusted proxies, all nodes. Looks names up, so it may block."""
    cluster = config.cluster
    nodes = _addresses([*(url for urls in cluster.nodes.values() for url in urls), *cluster.dial.values()])
    is_trusted = trusted(config.node.trusted_proxies)
    return lambda ip: is_this_machine(ip) or canonical_ip(ip) in nodes or is_trusted(ip)


def _addresses(listed: Iterable[str]) -> frozenset[str]:
    addresses: set[str] = set()
    for url in listed:
        host = urlsplit(url).hostname or ""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        addresses.update(canonical_ip(str(entry[4][0])) for entry in found)
    return frozenset(addresses)


def may_replicate(config: Config, addresses: frozenset[str]) -> Callable[[str], bool]:
    """Whether an address may use the replication endpoints without the secret. `addresses` are those of the nodes that
    cannot send one, see `peer_addresses`; with no cluster and no secret at all, this machine may, too."""
    alone = not config.cluster.known_secrets and not config.cluster.nodes

    def admits(ip: str) -> bool:
        if canonical_ip(ip) in addresses:
            return True
        address = address_of(ip)
        return alone and address is not None and address.is_loopback

    return admits


def cluster_settings(config: Config, *, node_id: str, url: str) -> ClusterSettings:
    """`url` is what this node is called in the list of nodes, or its advertised one when it is not listed."""
    cluster = config.cluster
    # A peer must be suspect before a lease that was heard of through it can run out.
    suspect_s = min(SUSPECT_S, min(config.registry.lease_ttl_s, config.registry.lease_ttl_min_s) / 2)
    return ClusterSettings(
        cluster=config.node.region,
        region=config.node.region,
        zone=config.node.zone,
        node_id=node_id,
        url=url,
        nodes=cluster.nodes,
        dialects=cluster.dialects,
        secrets=cluster.known_secrets,
        forced=Forced(up=cluster.force_up, down=cluster.force_down),
        allow_other_zones_registry=config.registry.allow_other_zones,
        allow_other_zones_discovery=config.discovery.allow_other_zones,
        suspect_s=suspect_s,
        links=LinkSettings(
            ping_s=min(PING_S, suspect_s * PING_S / SUSPECT_S),
            renewals_s=cluster.heartbeat_batch_s,
            anti_entropy_s=cluster.anti_entropy_interval_s,
            drift_max_s=cluster.clock_drift_max_s,
            outbox_keys=cluster.outbox_keys,
        ),
    )
