"""What a node consists of before anybody can reach it: its tables, and the actors that follow their changes."""

from dataclasses import dataclass

from artemis.actors.blocking import RunBlocking
from artemis.actors.broadcaster import Broadcaster, Subscriptions
from artemis.actors.clock import Clock
from artemis.actors.effects import Effects
from artemis.actors.keeper import RecordKeeper
from artemis.actors.management import ManagementWriter
from artemis.actors.notes import NoteKeeper
from artemis.actors.storage import Storage, StorageKeeper
from artemis.actors.supervisor import Restarts, Supervisor
from artemis.actors.sweeper import LeaseSweeper, SweepStatistics
from artemis.actors.writer import PersistenceWriter
from artemis.store.contacts import Contacts
from artemis.store.database import Database
from artemis.store.management.management import Management
from artemis.store.registry import Registry
from artemis.store.versions import HybridClock, origin_of

from .config import Config
from .garbage import GarbageKeeper
from .settings import ahead_max_ms, audit_limits, registry_settings
from .storage import Dates, restore

NEVER_RESTARTED = Restarts(intensity=0)
"""For actors that own the disk: when they fail, the node cannot keep its promises any more."""


@dataclass(frozen=True, slots=True, eq=False)
class Core:
    """Tables and actors of one node; the actors are started by `start_core`."""

    config: Config
    clock: Clock
    door: RunBlocking
    database: Database
    management: Management
    registry: Registry
    effects: Effects
    subscriptions: Subscriptions
    broadcaster: Broadcaster
    writer: PersistenceWriter
    management_writer: ManagementWriter
    sweeps: SweepStatistics
    notes: NoteKeeper
    instance_contacts: Contacts
    record_contacts: Contacts
    storage: Storage


async def build_core(config: Config, database: Database, *, node_id: str, clock: Clock, door: RunBlocking) -> Core:
    """Tables filled with what the database holds, and actors that know them."""
    origin = origin_of(node_id)
    versions = HybridClock(origin, ahead_max_ms=ahead_max_ms(config))
    now_s, now_ms = clock.now_s(), clock.now_ms()
    management = Management(
        region_id=config.node.region,
        clock=versions,
        origin=origin,
        node_id=node_id,
        audit_origin=origin_of(f"{node_id}\n{database.journal.identity}"),
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
    dates = Dates(now_ms=now_ms, ahead_max_ms=ahead_max_ms(config))
    restored = await door(lambda: restore(database, registry, management, dates=dates, now_s=now_s, now_ms=now_ms))
    effects = Effects()
    subscriptions = Subscriptions(
        bytes_max=config.limits.unsent_bytes, subscriber_bytes_max=config.limits.unsent_bytes_per_connection
    )
    storage, broadcaster = Storage(clock), Broadcaster(subscriptions)
    writer = PersistenceWriter(database.snapshot, clock, run_blocking=door, storage=storage)
    effects.writers.append(writer)
    effects.broadcasters.append(broadcaster)
    return Core(
        config=config,
        clock=clock,
        door=door,
        database=database,
        management=management,
        registry=registry,
        effects=effects,
        subscriptions=subscriptions,
        broadcaster=broadcaster,
        writer=writer,
        management_writer=ManagementWriter(
            management,
            registry,
            effects,
            database.journal,
            clock,
            run_blocking=door,
            storage=storage,
            patience_s=config.data.write_patience_s,
        ),
        sweeps=SweepStatistics(),
        notes=NoteKeeper(
            instances=restored.instance_contacts,
            records=restored.record_contacts,
            tables=management,
            snapshot=database.snapshot,
            journal=database.journal,
            clock=clock,
            run_blocking=door,
        ),
        instance_contacts=restored.instance_contacts,
        record_contacts=restored.record_contacts,
        storage=storage,
    )


def start_core(core: Core, supervisor: Supervisor) -> None:
    """Start the actors, sinks first."""
    registry, effects, clock = core.registry, core.effects, core.clock
    supervisor.start("persistence writer", lambda: core.writer, NEVER_RESTARTED)
    supervisor.start("management writer", lambda: core.management_writer, NEVER_RESTARTED)
    files = core.database.journal, core.database.snapshot
    supervisor.start("storage keeper", lambda: StorageKeeper(*files, run_blocking=core.door), NEVER_RESTARTED)
    supervisor.start("broadcaster", lambda: core.broadcaster)
    supervisor.start("note keeper", lambda: core.notes)
    supervisor.start(
        "record keeper",
        lambda: RecordKeeper(core.management, core.database.journal, clock, run_blocking=core.door),
    )
    interval_s = core.config.registry.sweep_interval_s
    supervisor.start(
        "lease sweeper",
        lambda: LeaseSweeper(registry, effects, clock, interval_s=interval_s, statistics=core.sweeps),
    )
    supervisor.start("garbage keeper", lambda: GarbageKeeper(lambda: registry.live_count))
