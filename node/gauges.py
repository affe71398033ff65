"""Which numbers of a node are published, and where they are read."""

from collections.abc import Callable, Mapping

from artemis.actors.broadcaster import Broadcaster, Subscriptions
from artemis.actors.management import ManagementWriter
from artemis.actors.storage import Storage
from artemis.actors.supervisor import Supervisor
from artemis.actors.sweeper import SweepStatistics
from artemis.actors.writer import PersistenceWriter
from artemis.store.registry import Registry
from artemis.transport.push import Sessions
from artemis.transport.server import ServerStatistics

from .metrics import Labels, Metrics


def publish_registry(metrics: Metrics, registry: Registry, sweeps: SweepStatistics) -> None:
    """Instances, services, leases."""
    metrics.gauge("artemis_instances", "Live instances, pulled-out ones included.", lambda: registry.live_count)
    metrics.gauge("artemis_services", "Services with instances or tombstones.", lambda: len(registry.services))
    metrics.gauge("artemis_leases_overdue", "Leases that ran out and are kept.", lambda: registry.overdue_count)
    metrics.gauge(
        "artemis_self_preservation", "1 while no lease of this node expires.", lambda: int(registry.is_protected())
    )
    metrics.gauge(
        "artemis_services_protected",
        "Services whose leases do not expire for now.",
        lambda: len(registry.protected_services()),
    )
    metrics.counter("artemis_leases_renewed", "Renewals heard by this node.", lambda: registry.renewals.total)
    metrics.counter("artemis_leases_expired", "Leases that ran out.", lambda: sweeps.expired)
    metrics.counter("artemis_leases_protected", "Times an overdue lease was kept.", lambda: sweeps.protected)
    metrics.counter("artemis_sweeps", "Steps of the lease sweeper.", lambda: sweeps.sweeps)
    metrics.gauge("artemis_sweep_longest_seconds", "Longest step of the sweeper.", lambda: sweeps.longest_s)
    metrics.counter(
        "artemis_lease_time_granted_seconds",
        "Time granted to all leases after pauses.",
        lambda: registry.grants.granted_s,
    )
    metrics.counter(
        "artemis_lease_time_refused_seconds",
        "Pauses that were not granted, because the hour had had its share.",
        lambda: registry.grants.refused_s,
    )


def publish_push(metrics: Metrics, sessions: Sessions, subscriptions: Subscriptions, broadcaster: Broadcaster) -> None:
    """Subscribers and what they are told."""

    def connections() -> Mapping[Labels, float]:
        discovery = sessions.discovery_connections()
        return {
            "heartbeat": sessions.registry_connections(),
            "instance-change": discovery,
            "other": len(subscriptions.subscribers) - discovery,
        }

    metrics.gauges("artemis_websockets", "Open WebSockets of clients.", ("kind",), connections)
    metrics.gauge("artemis_subscribers", "Open push sockets.", lambda: len(subscriptions.subscribers))
    metrics.gauge("artemis_waiting_push_bytes", "Wait for all subscribers.", lambda: subscriptions.bytes)
    metrics.counter("artemis_pushes", "Changes handed to subscribers.", lambda: broadcaster.pushed)
    metrics.counter("artemis_subscribers_lagged", "Subscribers cut off for being slow.", lambda: subscriptions.lagged)


def publish_server(metrics: Metrics, read: Callable[[], ServerStatistics]) -> None:
    """The port, and what is held for those who do not read."""
    metrics.gauge("artemis_connections", "Open connections.", lambda: read().connections)
    metrics.counter("artemis_connections_refused", "Connections turned away.", lambda: read().refused)
    metrics.counter("artemis_websockets_silent", "WebSockets cut off for being silent.", lambda: read().silent)
    metrics.gauge("artemis_arriving_bytes", "Held of unfinished requests.", lambda: read().arriving_bytes)
    metrics.counter("artemis_requests_given_up", "Unfinished requests given up.", lambda: read().given_up)
    metrics.gauge("artemis_unsent_bytes", "Held for clients that are behind.", lambda: read().unsent_bytes)
    metrics.counter("artemis_clients_cut", "Clients cut off because too much was held for them.", lambda: read().cut)


def publish_actors(
    metrics: Metrics,
    supervisor: Supervisor,
    broadcaster: Broadcaster,
    writer: PersistenceWriter,
    management: ManagementWriter,
    storage: Storage,
) -> None:
    """Mailboxes, restarts, the disk."""
    metrics.gauge(
        "artemis_storage_unavailable",
        "Files that cannot be written now, because they are locked or their disk is full.",
        lambda: len(storage.problems),
    )
    metrics.counter("artemis_storage_failures", "Attempts to store that failed.", lambda: storage.failures)

    def depths() -> Mapping[Labels, float]:
        return {
            "broadcaster": len(broadcaster.mailbox),
            "persistence": writer.statistics().depth,
            "management": management.statistics().waiting,
        }

    metrics.gauges("artemis_mailbox_depth", "Messages that wait for an actor.", ("actor",), depths)

    def restarts() -> Mapping[Labels, float]:
        counts: dict[Labels, float] = {}
        counts.update(supervisor.restarts)
        return counts

    metrics.counters("artemis_actor_restarts", "Actors rebuilt after a crash.", ("actor",), restarts)
    metrics.counter("artemis_stored_rows", "Rows of instances written to disk.", lambda: writer.statistics().rows)
    metrics.counter("artemis_management_writes", "Management writes stored.", lambda: management.statistics().writes)
    metrics.counter("artemis_management_refused", "Management writes refused.", lambda: management.statistics().refused)
    metrics.counter(
        "artemis_management_transactions", "Transactions of management.", lambda: management.statistics().transactions
    )
