"""Disks of simulated hosts: databases in memory that outlive the process that uses them, and can be copied."""

from artemis.store.database import Database, open_database
from artemis.store.sqlite import OpenFile


class Disk(Database):
    """What one host has on disk."""

    @classmethod
    def blank(cls, identity: str) -> "Disk":
        """`identity` instead of a random one, which would make each run another."""
        database = open_database(":memory:")
        database.journal.identity = identity
        return cls(database.journal, database.snapshot, directory=None, lock=None)

    def copy(self) -> "Disk":
        """The same once more, as of now: an image of the whole machine, which does not know that it is a copy."""
        copy = Disk.blank(self.journal.identity)
        for mine, other in (
            (self.journal._file, copy.journal._file),
            (self.snapshot._file, copy.snapshot._file),
        ):
            _copy(mine, other)
        return copy

    def close(self) -> None:
        """The process ends; the disk stays."""

    def scrap(self) -> None:
        """The disk ends, too."""
        super().close()


def _copy(source: OpenFile, target: OpenFile) -> None:
    with source.use() as one, target.use() as other, other.backup("main", one, "main") as backup:
        while not backup.done:
            backup.step()
