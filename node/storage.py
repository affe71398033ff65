"""What a restart finds again: the database, and the tables that are filled from it."""

import logging
from dataclasses import dataclass
from pathlib import Path

from artemis.store.database import Database, open_database
from artemis.store.management.management import Management
from artemis.store.registry import Registry

from .config import IN_MEMORY, Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found."""

    instances: int
    records: int
    audits: int


def open_storage(config: Config) -> Database:
    """The database of this configuration. Raises `DatabaseProblem`. Blocks."""
    directory = config.data.directory
    return open_database(directory if directory == IN_MEMORY else Path(directory))


def restore(database: Database, registry: Registry, management: Management, *, now_s: float, now_ms: int) -> Restored:
    """Fill the tables from the database. Records come first: they decide which instances are shown. Blocks."""
    management.restore(database.journal.load_records(), database.journal.load_audits())
    database.snapshot.forget_tombstones(before_ms=now_ms - int(registry.settings.tombstone_ttl_s * 1000))
    instances = registry.restore(database.snapshot.load_instances(), now_s=now_s, now_ms=now_ms)
    restored = Restored(instances, len(management.tables), len(management.audit))
    if instances or restored.records:
        logger.info(
            "restored %d instances, %d records of management and %d audit records",
            restored.instances,
            restored.records,
            restored.audits,
        )
    return restored
