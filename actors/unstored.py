"""What peers brought, the tables hold, and the disk does not yet."""

from collections.abc import Iterable
from itertools import islice

from artemis.store.management.records import Audit, Record


class Unstored:
    """The newest of each record and every audit, so no more than the tables hold: audits beyond what the audit log
    retains are forgotten, oldest first, as the log forgets them."""

    def __init__(self, *, audits_max: int) -> None:
        self._audits_max = audits_max
        self._records: dict[str, Record] = {}
        self._audits: dict[tuple[int, int], Audit] = {}

    def add(self, records: Iterable[Record], audits: Iterable[Audit]) -> None:
        """Keep these."""
        for record in records:
            kept = self._records.get(record.full_key)
            if kept is None or kept.version < record.version:
                self._records[record.full_key] = record
        self._audits.update(((audit.origin, audit.sequence), audit) for audit in audits)
        for key in list(islice(self._audits, max(0, len(self._audits) - self._audits_max))):
            del self._audits[key]

    def all(self) -> tuple[list[Record], list[Audit]]:
        """Everything, to be stored."""
        return list(self._records.values()), list(self._audits.values())

    def stored(self, records: Iterable[Record], audits: Iterable[Audit]) -> None:
        """These are on the disk. What became newer meanwhile is not."""
        for record in records:
            kept = self._records.get(record.full_key)
            if kept is not None and kept.version <= record.version:
                del self._records[record.full_key]
        for audit in audits:
            self._audits.pop((audit.origin, audit.sequence), None)

    def __len__(self) -> int:
        return len(self._records) + len(self._audits)

    def __str__(self) -> str:
        return f"{len(self._records)} records of management and {len(self._audits)} audit records" if self else ""
