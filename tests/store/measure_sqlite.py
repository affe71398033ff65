"""The measurements behind docs/decisions/sqlite-layout.md. Run it with the names of some: layout, steps, files."""

import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from artemis.store.journal import version_bytes
from artemis.store.sqlite import RowStatement, Value, connect, transaction

COUNT = 100_000
JSON = b'{"instance":"' + b"x" * 300 + b'"}'
COLUMNS = "full_key TEXT NOT NULL PRIMARY KEY, version BLOB NOT NULL, json BLOB, changed_ms INTEGER NOT NULL"
INSERT = "INSERT INTO instance (full_key, version, json, changed_ms) VALUES "
UPDATE = (
    " ON CONFLICT (full_key) DO UPDATE SET"
    " version = excluded.version, json = excluded.json, changed_ms = excluded.changed_ms"
)
MANY = RowStatement(INSERT, "(?, ?, ?, ?)", UPDATE)

Row = tuple[str, bytes, bytes, int]
Store = Callable[[apsw.Connection, list[Row]], None]


def rows(numbers: Sequence[int], generation: int) -> list[Row]:
    return [
        (f"svc-{n // 100:04d}.example\n10.0.{n // 250}.{n % 250}:80-{n}", version_bytes(generation), JSON, 0)
        for n in numbers
    ]


def one_by_one(connection: apsw.Connection, batch: list[Row]) -> None:
    with transaction(connection):
        connection.executemany(INSERT + "(?, ?, ?, ?)" + UPDATE, batch)


def in_one_step(connection: apsw.Connection, batch: list[Row]) -> None:
    values: list[Value] = [value for row in batch for value in row]
    MANY.execute(connection, values)


def percentiles(seconds: list[float]) -> str:
    seconds.sort()
    at = [seconds[min(len(seconds) - 1, int(len(seconds) * share))] * 1e3 for share in (0.5, 0.99, 1)]
    return "p50 {:.2f} p99 {:.2f} max {:.1f} ms".format(*at)


def layout(directory: Path) -> None:
    """Rowid table or WITHOUT ROWID; batches of 1,024 and 4,096."""
    for suffix in ("", ", WITHOUT ROWID"):
        for size in (1_024, 4_096):
            connection = connect(directory / f"layout{size}{bool(suffix)}", synchronous="NORMAL")
            connection.execute(f"CREATE TABLE instance ({COLUMNS}) STRICT{suffix}")
            services = random.Random(3).sample(range(COUNT // 100), COUNT // 100)
            by_service = [service * 100 + n for service in services for n in range(100)]
            rates: list[str] = []
            for order in (by_service, random.Random(2).sample(range(COUNT), COUNT), by_service):
                seconds = 0.0
                for start in range(0, COUNT, size):
                    batch = rows(order[start : start + size], len(rates))
                    started_s = time.perf_counter()
                    one_by_one(connection, batch)
                    seconds += time.perf_counter() - started_s
                rates.append(f"{COUNT / seconds:7.0f}")
            connection.close()
            insert, scattered, update = rates
            print(
                f"rows/s {suffix or ', rowid':15} batch {size}: insert {insert} scattered {scattered} update {update}"
            )


def serve(seconds: float) -> list[float]:
    """Play an event loop that is always busy: a little Python, a send, a receive. Returns the time of each turn."""
    near, far = socket.socketpair()
    turns: list[float] = []
    until_s = time.perf_counter() + seconds
    while (started_s := time.perf_counter()) < until_s:
        sum(range(3_000))
        near.send(b"x" * 200)
        far.recv(400)
        turns.append(time.perf_counter() - started_s)
    near.close()
    far.close()
    return turns


def repeat(work: Callable[[int], None], pause_s: float, stop: threading.Event, times: list[float]) -> None:
    generation = 0
    while not stop.is_set():
        generation += 1
        started_s = time.perf_counter()
        work(generation)
        times.append(time.perf_counter() - started_s)
        stop.wait(pause_s)


def steps(directory: Path) -> None:
    """A batch of 512 rows in a thread beside a busy loop: a step per row, or one step."""
    for name, store in (("executemany", one_by_one), ("one step", in_one_step)):
        connection = connect(directory / name, synchronous="NORMAL")
        connection.execute(f"CREATE TABLE instance ({COLUMNS}) STRICT")

        def write(generation: int, store: Store = store, connection: apsw.Connection = connection) -> None:
            store(connection, rows(range(generation * 512, generation * 512 + 512), generation))

        stop, times = threading.Event(), list[float]()
        writer = threading.Thread(target=repeat, args=(write, 0.05, stop, times))
        writer.start()
        turns = serve(5)
        stop.set()
        writer.join()
        connection.close()
        print(
            f"{name:12}: {len(times)} batches, {percentiles(times)}; loop: {len(turns) / 5:.0f}/s, {percentiles(turns)}"
        )


def files(directory: Path) -> None:
    """A management commit every 3 ms, alone, with instances in the same file, and with instances in another."""
    for name in ("alone", "same", "other"):
        management = connect(directory / name, synchronous="FULL")
        management.set_busy_timeout(5_000)
        management.execute(f"CREATE TABLE record (key TEXT PRIMARY KEY, value BLOB) STRICT; {CREATE}")
        instances = connect(directory / ("same" if name == "same" else f"{name}-i"), synchronous="NORMAL")
        instances.execute(CREATE)
        stop, commits, times, chance = threading.Event(), list[float](), list[float](), random.Random(1)

        def decide(generation: int, connection: apsw.Connection = management) -> None:
            with transaction(connection):
                statement = "INSERT OR REPLACE INTO record VALUES (?, ?)"
                connection.execute(statement, (str(generation % 500), b"x" * 500))

        def write(generation: int, connection: apsw.Connection = instances, chance: random.Random = chance) -> None:
            in_one_step(connection, rows(sorted(chance.sample(range(COUNT), 512)), generation))

        threads = [threading.Thread(target=repeat, args=(decide, 0.003, stop, commits))]
        if name != "alone":
            threads.append(threading.Thread(target=repeat, args=(write, 0.0, stop, times)))
        for thread in threads:
            thread.start()
        stop.wait(6)  # the measured interval
        stop.set()
        for thread in threads:
            thread.join()
        management.close()
        instances.close()
        print(f"instances {name:6}: {len(commits)} management commits, {percentiles(commits)}; {len(times)} batches")


CREATE = f"CREATE TABLE IF NOT EXISTS instance ({COLUMNS}) STRICT"

if __name__ == "__main__":
    measurements = {"layout": layout, "steps": steps, "files": files}
    for measurement in sys.argv[1:] or measurements:
        with tempfile.TemporaryDirectory() as place:
            measurements[measurement](Path(place))
