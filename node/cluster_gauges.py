"""Which numbers of the cluster are published: links, frames, outboxes, replication lag, anti-entropy."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from artemis.actors.cluster import Cluster
from artemis.actors.cluster_views import ClusterStatistics
from artemis.actors.exchange import LinkStatistics
from artemis.actors.replicator import ReplicatorStatistics

from .metrics import Labels, Metrics

if TYPE_CHECKING:
    from artemis.transport.peers.rpc_peer import RpcPeer, RpcStatistics


def publish_cluster(metrics: Metrics, cluster: Cluster) -> None:
    """Everything that tells how this node and its peers get along."""
    _publish_links(metrics, cluster.statistics)
    _publish_replication(metrics, cluster.statistics)
    _publish_anti_entropy(metrics, cluster.statistics)


def _publish_links(metrics: Metrics, read: Callable[[], ClusterStatistics]) -> None:
    def frames(
        closed: Callable[[ClusterStatistics], Mapping[str, int]], own: Callable[[LinkStatistics], Mapping[str, int]]
    ) -> Callable[[], Mapping[Labels, float]]:
        def collect() -> Mapping[Labels, float]:
            statistics = read()
            counts: dict[Labels, float] = {}
            counts.update(closed(statistics))
            for link in statistics.links:
                for kind, count in own(link.statistics).items():
                    counts[kind] = counts.get(kind, 0) + count
            return counts

        return collect

    def total(closed: Callable[[ClusterStatistics], int], own: Callable[[LinkStatistics], int]) -> Callable[[], float]:
        def collect() -> float:
            statistics = read()
            return closed(statistics) + sum(own(link.statistics) for link in statistics.links)

        return collect

    def states() -> Mapping[Labels, float]:
        counts: dict[Labels, float] = {}
        for peer, state in read().peer_states.items():
            counts[peer, state] = 1
        return counts

    def open_links() -> Mapping[Labels, float]:
        counts: dict[Labels, float] = {}
        for link in read().links:
            key = (link.peer, "to" if link.dialled else "from")
            counts[key] = counts.get(key, 0) + 1
        return counts

    metrics.gauges("artemis_peer_state", "1 for the state that each peer is in.", ("peer", "state"), states)
    metrics.gauges("artemis_peer_links", "Open links, by who dialled.", ("peer", "direction"), open_links)
    metrics.counters(
        "artemis_peer_frames_sent",
        "Frames sent to peers.",
        ("kind",),
        frames(lambda s: s.closed_frames_sent, lambda link: link.frames_sent),
    )
    metrics.counters(
        "artemis_peer_frames_received",
        "Frames received from peers.",
        ("kind",),
        frames(lambda s: s.closed_frames_received, lambda link: link.frames_received),
    )
    metrics.counter(
        "artemis_peer_bytes_sent", "To peers.", total(lambda s: s.closed_bytes_sent, lambda link: link.bytes_sent)
    )
    metrics.counter(
        "artemis_peer_bytes_received",
        "From peers.",
        total(lambda s: s.closed_bytes_received, lambda link: link.bytes_received),
    )
    metrics.counter(
        "artemis_peer_rows_refused",
        "Rows of peers that were not taken over, because they cannot be what they say.",
        total(lambda s: s.closed_rows_refused, lambda link: link.rows_refused),
    )
    metrics.counter("artemis_peer_links_ended", "Links that have ended.", lambda: read().links_closed)


def _publish_replication(metrics: Metrics, read: Callable[[], ClusterStatistics]) -> None:
    def lag(choose: Callable[[list[int]], float]) -> Callable[[], Mapping[Labels, float]]:
        def collect() -> Mapping[Labels, float]:
            found: dict[Labels, float] = {}
            for link in read().links:
                samples = sorted(link.statistics.lag_ms)
                if samples:
                    found[link.peer] = max(found.get(link.peer, 0.0), choose(samples) / 1000)
            return found

        return collect

    def drift() -> Mapping[Labels, float]:
        return {link.peer: link.drift_ms / 1000 for link in read().links}

    each = _by_peer(read)
    metrics.gauges("artemis_peer_clock_drift_seconds", "How far ahead a peer's clock is.", ("peer",), drift)
    metrics.gauges(
        "artemis_replication_lag_seconds",
        "From a change at its origin to its arrival here: median of the last frames.",
        ("peer",),
        lag(lambda samples: samples[len(samples) // 2]),
    )
    metrics.gauges(
        "artemis_replication_lag_max_seconds",
        "The largest lag among the last frames.",
        ("peer",),
        lag(lambda samples: samples[-1]),
    )
    metrics.gauges(
        "artemis_outbox_depth", "Keys that wait for a peer.", ("peer",), each(lambda s: s.teller.outbox.waiting)
    )
    metrics.counters("artemis_replicated_states", "States sent to a peer.", ("peer",), each(lambda s: s.teller.states))
    metrics.counters(
        "artemis_replicated_renewals", "Heartbeats sent to a peer.", ("peer",), each(lambda s: s.teller.renewals)
    )
    metrics.counters(
        "artemis_renewal_frames", "Frames that carried them.", ("peer",), each(lambda s: s.teller.renewal_frames)
    )
    metrics.gauges(
        "artemis_renewal_batch_largest", "Most in one frame.", ("peer",), each(lambda s: s.teller.largest_batch)
    )


def _publish_anti_entropy(metrics: Metrics, read: Callable[[], ClusterStatistics]) -> None:
    each = _by_peer(read)
    metrics.counters("artemis_anti_entropy_rounds", "Rounds completed.", ("peer",), each(lambda s: s.rounds.done))
    metrics.counters("artemis_anti_entropy_failed", "Rounds cut short.", ("peer",), each(lambda s: s.rounds.failed))
    metrics.counters("artemis_anti_entropy_repaired", "Rows that moved.", ("peer",), each(lambda s: s.rounds.repaired))
    metrics.gauges(
        "artemis_anti_entropy_last_seconds", "How long the last round took.", ("peer",), each(lambda s: s.rounds.last_s)
    )


def _by_peer(
    read: Callable[[], ClusterStatistics],
) -> Callable[[Callable[[ReplicatorStatistics], float]], Callable[[], Mapping[Labels, float]]]:
    def each(choose: Callable[[ReplicatorStatistics], float]) -> Callable[[], Mapping[Labels, float]]:
        def collect() -> Mapping[Labels, float]:
            return {peer: choose(statistics) for peer, statistics in read().replicators.items()}

        return collect

    return each


def publish_rpc_peers(metrics: Metrics, peers: "Mapping[str, RpcPeer]", *, refused: Mapping[str, int]) -> None:
    """What nodes of the original system were told, if there are any, and what they told and was `refused`, by code."""

    def each(choose: "Callable[[RpcStatistics], float]") -> Callable[[], Mapping[Labels, float]]:
        return lambda: {url: choose(peer.statistics()) for url, peer in peers.items()}

    metrics.counters("artemis_rpc_peer_told", "Registrations and removals.", ("peer",), each(lambda s: s.told))
    metrics.counters("artemis_rpc_peer_heartbeats", "Heartbeats told.", ("peer",), each(lambda s: s.heartbeats))
    metrics.counters("artemis_rpc_peer_batches", "Requests that carried them.", ("peer",), each(lambda s: s.batches))
    metrics.counters("artemis_rpc_peer_retries", "Calls repeated.", ("peer",), each(lambda s: s.retries))
    metrics.counters("artemis_rpc_peer_dropped", "News it refused for good.", ("peer",), each(lambda s: s.dropped))
    metrics.counters(
        "artemis_rpc_peer_imports_refused",
        "Instances it knows that were not taken over.",
        ("peer",),
        each(lambda s: s.import_refused),
    )
    metrics.counters(
        "artemis_replication_refused",
        "Instances that nodes of the original system replicate and this node does not take.",
        ("code",),
        lambda: dict(refused),
    )
    metrics.counters("artemis_rpc_peer_bytes_sent", "In requests.", ("peer",), each(lambda s: s.bytes_sent))
    metrics.gauges("artemis_rpc_peer_waiting", "News that waits.", ("peer",), each(lambda s: s.waiting))
