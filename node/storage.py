"""What a restart finds again: the database, and the tables that are filled from it."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from artemis.store.contacts import Contacts
from artemis.store.database import Database, open_database
from artemis.store.journal import version_bytes
from artemis.store.management.management import Management
from artemis.store.management.records import Record
from artemis.store.registry import Registry
from artemis.store.snapshot import StoredInstance
from artemis.store.sqlite import Value
from artemis.store.versions import discredited, is_ahead, milliseconds

from .config import IN_MEMORY, Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found."""

    instances: int
    records: int
    audits: int
    instance_contacts: Contacts
    record_contacts: Contacts


def open_storage(config: Config) -> Database:
    """The database of this configuration. Raises `DatabaseProblem`. Blocks."""
    directory = config.data.directory
    database = open_database(directory if directory == IN_MEMORY else Path(directory))
    for remark in database.remarks:
        logger.warning("%s", remark)
    return database


class Dates:
    """Discredits what is dated in the future, and counts it. Either a clock was ahead when it was written, or ours is
    behind now; whichever it is, no peer would take it, and nothing could replace it."""

    def __init__(self, *, now_ms: int, ahead_max_ms: int) -> None:
        self._now_ms = now_ms
        self._ahead_max_ms = ahead_max_ms
        self.instances: list[StoredInstance] = []
        self.records: list[Record] = []
        """Those that count as older now, as they are from now on."""
        self._newest_ms = 0

    def of_instances(self, rows: Iterable[StoredInstance]) -> Iterator[StoredInstance]:
        for row in rows:
            full_key, version, json, stored_ms, spent_ms = row
            if self._is_ahead(version):
                self.instances.append((full_key, discredited(version), json, stored_ms, spent_ms))
                yield self.instances[-1]
            else:
                yield row

    def of_records(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if self._is_ahead(record.version):
                self.records.append(msgspec.structs.replace(record, version=discredited(record.version)))
                yield self.records[-1]
            else:
                yield record

    def _is_ahead(self, version: int) -> bool:
        if not is_ahead(version, now_ms=self._now_ms, ahead_max_ms=self._ahead_max_ms):
            return False
        self._newest_ms = max(self._newest_ms, milliseconds(version))
        return True

    def store(self, database: Database) -> None:
        """Say what was found, if there was something, and bring it to the disk: it may be replaced from now on."""
        if self._newest_ms:
            values: list[Value] = []
            for full_key, version, json, _, _ in self.instances:
                values += (full_key, version_bytes(version), json, self._now_ms)
            database.snapshot.write([], values)
            database.journal.redate(self.records)
            logger.error(
                "%d instances and %d records of management on disk are dated in the future, up to %.0f s ahead: a clock"
                " was ahead, or the one of this machine is behind. They count as older than anything that peers hold",
                len(self.instances),
                len(self.records),
                (self._newest_ms - self._now_ms) / 1000,
            )


def restore(
    database: Database, registry: Registry, management: Management, *, dates: Dates, now_s: float, now_ms: int
) -> Restored:
    """Fill the tables from the database. Records come first: they decide which instances are shown. Blocks."""
    journal, snapshot = database.journal, database.snapshot
    past = snapshot.begin_run()
    management.restore(dates.of_records(journal.load_records()), journal.load_audits())
    # While a node is off its tombstones do not age: whoever was off at the same time has not learnt of them.
    alive_ms = now_ms if past.alive_ms is None else min(now_ms, past.alive_ms)
    snapshot.forget_tombstones(before_ms=alive_ms - int(registry.settings.tombstone_ttl_s * 1000))
    instances = registry.restore(dates.of_instances(snapshot.load_instances()), now_s=now_s, now_ms=now_ms)
    dates.store(database)
    restored = Restored(
        instances,
        len(management.tables),
        len(management.audit),
        Contacts(past.contacts, now_s=now_s),
        Contacts(journal.contacts(), memory_ms=max(0, now_ms - journal.remembers_since(now_ms=now_ms)), now_s=now_s),
    )
    if instances or restored.records:
        logger.info(
            "restored %d instances, %d records of management and %d audit records",
            restored.instances,
            restored.records,
            restored.audits,
        )
    return restored
