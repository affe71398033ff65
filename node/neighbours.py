"""The cluster part of a node: its tables as peers see them, and the links to them."""

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from artemis.actors.claims import IsAt, anywhere
from artemis.actors.clock import Clock
from artemis.actors.cluster import PATIENT, Cluster
from artemis.actors.cluster_settings import ClusterSettings
from artemis.actors.effects import Effects
from artemis.actors.handshake import Entropy
from artemis.actors.management import ManagementWriter
from artemis.actors.membership import find_self
from artemis.actors.ports import Dialer
from artemis.actors.replicas import InstanceReplica, ManagementAudits, RecordReplica
from artemis.actors.supervisor import Supervisor
from artemis.actors.tables import Tables
from artemis.store.contacts import Contacts
from artemis.store.instances import Instance
from artemis.store.journal import Journal
from artemis.store.management.management import Management
from artemis.store.registry import Registry

from .config import Config

if TYPE_CHECKING:
    from artemis.transport.peers.rpc_peer import RpcPeer

INCARNATION = "cluster_incarnation"


@dataclass(frozen=True, slots=True)
class Network:
    """How a node reaches others, and where its surprises come from. Simulations bring their own."""

    dialer: Dialer
    rng: random.Random
    entropy: Entropy = secrets.token_bytes
    is_at: IsAt = anywhere


def own_url(config: Config, advertised: str) -> str:
    """What the list of nodes calls this node: its advertised URL, or the entry that means the same address."""
    listed: Sequence[str] = [url for urls in config.cluster.nodes.values() for url in urls]
    if advertised in listed:
        return advertised
    parts = urlsplit(advertised)
    return find_self(listed, host=parts.hostname or "", port=parts.port or 80) or advertised


def next_incarnation(journal: Journal, *, now_ms: int) -> int:
    """A number that rises with each start of this node, also after its data were restored from a backup. Blocks."""
    incarnation = max(int(journal.meta(INCARNATION) or 0) + 1, now_ms)
    journal.set_meta(INCARNATION, str(incarnation))
    return incarnation


def build_cluster(
    settings: ClusterSettings,
    *,
    network: Network,
    registry: Registry,
    management: Management,
    writer: ManagementWriter,
    effects: Effects,
    contacts: tuple[Contacts, Contacts],
    clock: Clock,
    incarnation: int,
) -> Cluster:
    """The cluster as this node lives it; not yet started. `contacts` are those about instances, and about records."""
    instances = InstanceReplica(registry, effects, contacts[0])
    tables = Tables(
        [RecordReplica(management, registry, effects, writer.store, contacts[1]), instances],
        instances=instances,
        audits=ManagementAudits(management, writer.store),
        origin=management.audit_origin,
        clock=clock,
        ahead_max_ms=round(settings.links.drift_max_s * 1000),
    )
    return Cluster(
        settings,
        tables=tables,
        sinks=effects.peers,
        clock=clock,
        dialer=network.dialer,
        rng=network.rng,
        entropy=network.entropy,
        incarnation=incarnation,
        live_count=lambda: registry.live_count,
        is_at=network.is_at,
    )


def start_rpc_peers(
    cluster: Cluster,
    supervisor: Supervisor,
    *,
    registry: Registry,
    effects: Effects,
    clock: Clock,
    addresses: Mapping[str, str],
) -> "Mapping[str, RpcPeer]":
    """Replicate to those peers that are nodes of the original system, and learn from them at a cold start.

    `addresses`: where to reach nodes to which their own URL does not lead from here. Returns the peers by URL; a peer
    whose actor is rebuilt is replaced in it.
    """
    settings = cluster.settings
    peers: dict[str, RpcPeer] = {}

    def take_over(instances: Sequence[Instance]) -> None:
        outcome = registry.register(instances, now_s=clock.now_s(), now_ms=clock.now_ms())
        effects.merged(outcome.entries, outcome.changes)

    def build(url: str) -> "RpcPeer":
        # Its HTTP client takes a tenth of the time that a node needs to start, and few clusters have such peers.
        from artemis.transport.peers.rpc_peer import RpcPeer

        peer = RpcPeer(
            url,
            region_id=settings.region,
            zone_id=settings.zone,
            hub=cluster,
            clock=clock,
            take_over=take_over,
            address=addresses.get(url),
        )
        effects.peers[url] = peers[url] = peer
        return peer

    for url, member in cluster.membership.members.items():
        if member.dialect == "rpc":
            supervisor.start(f"replicator {url}", partial(build, url), PATIENT)
    return peers
