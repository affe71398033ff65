"""The victim of test_database_crash.py: a process that writes until it is killed, and says what was acknowledged.

For each directory named on standard input it forks a child. The child opens the database there and writes, in two
threads like a node: the journal, one record and one audit a transaction, and the snapshot, one generation of rows a
statement. Each acknowledgement is a line on standard output, written after the call has returned.
"""

import os
import sys
import threading
from itertools import count

from artemis.store.database import Database, open_database
from artemis.store.journal import version_bytes
from artemis.store.management.records import Audit, Record

KEYS = 50
ROWS = 64


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def write_journal(database: Database, first: int) -> None:
    for number in count(first):
        record = Record("kind", str(number % KEYS), number, b"%d" % number + b" " * (number * 37 % 3_000))
        database.journal.write([record], [Audit(1, number, number, b"%d" % number)])
        say(f"journal {number}")


def write_snapshot(database: Database, first: int) -> None:
    for generation in count(first):
        rows = [
            value
            for row in range(ROWS)
            for value in (f"s\n{row}", version_bytes(generation), b"x" * (generation * 31 % 900), generation)
        ]
        database.snapshot.write([], rows)
        say(f"snapshot {generation}")


def live(directory: str) -> None:
    """Carry on where the last life ended."""
    database = open_database(directory)
    number = max((record.version for record in database.journal.load_records()), default=0) + 1
    generation = max((version for _, version, *_ in database.snapshot.load_instances()), default=0) + 1
    threading.Thread(target=write_snapshot, args=(database, generation), daemon=True).start()
    write_journal(database, number)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                live(line.rstrip("\n"))
            finally:
                say("failed")  # a child lives until it is killed
                os._exit(1)
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
