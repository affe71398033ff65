"""A process is killed (SIGKILL) at random moments; what it had acknowledged is there, once and whole, every time.

ARTEMIS_CRASH_ROUNDS sets how often (25 unless told), ARTEMIS_CRASH_SEED repeats a run's moments.
"""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw

from artemis.store.database import INSTANCES_NAME, MANAGEMENT_NAME, open_database

from ..pace import PATIENCE_S

ROUNDS = int(os.environ.get("ARTEMIS_CRASH_ROUNDS", "25"))
SEED = int(os.environ.get("ARTEMIS_CRASH_SEED", str(random.randrange(1 << 32))))
LIFE_MAX_S = 0.12
"""The longest life of a child. Opening takes some 15 ms of it, so a part of the kills hits that."""


class Victim:
    """Lives again and again, and remembers what was acknowledged."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("crash_writer.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.acknowledged = {"journal": 0, "snapshot": 0}

    def live_and_die(self, directory: Path, life_s: float) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{directory}\n")
        self._process.stdin.flush()
        killer: threading.Timer | None = None
        for line in self._process.stdout:
            match line.split():
                case ["pid", pid]:
                    killer = threading.Timer(life_s, os.kill, (int(pid), signal.SIGKILL))
                    killer.start()
                case ["dead"]:
                    break
                case [("journal" | "snapshot") as what, number]:
                    assert int(number) == self.acknowledged[what] + 1
                    self.acknowledged[what] = int(number)
                case other:
                    raise AssertionError(other)
        assert killer is not None
        killer.join()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=PATIENCE_S) == 0
        self._process.stdout.close()


def check_journal(directory: Path, acknowledged: int, *, after: int) -> int:
    """Every acknowledged write is there once, and at most one that was not. Returns the last that is there."""
    with open_database(directory) as database:
        records = list(database.journal.load_records())
        with database.journal._file.use() as connection:
            audits = connection.execute(
                "SELECT sequence, payload FROM audit WHERE sequence > ? ORDER BY sequence", (after,)
            ).fetchall()
    last = after + len(audits)
    assert audits == [(number, b"%d" % number) for number in range(after + 1, last + 1)], "no gap, nothing twice"
    assert acknowledged <= last <= acknowledged + 1
    newest = {str(number % 50): number for number in range(max(1, last - 49), last + 1)}
    assert {record.key: record.version for record in records} == newest, "records and audits are of one moment"
    for record in records:
        assert record.value == b"%d" % record.version + b" " * (record.version * 37 % 3_000)
    return last


def check_snapshot(directory: Path, acknowledged: int) -> int:
    """All rows are of one generation: the acknowledged one, or the next. Returns it."""
    with open_database(directory) as database:
        rows = list(database.snapshot.load_instances())
    if not rows:
        assert acknowledged == 0
        return 0
    (generation,) = {version for _, version, *_ in rows}
    assert acknowledged <= generation <= acknowledged + 1
    assert [row[:3] for row in rows] == [(f"s\n{n}", generation, b"x" * (generation * 31 % 900)) for n in range(64)]
    return generation


def test_no_kill_costs_an_acknowledged_write_or_leaves_half_of_one(tmp_path: Path) -> None:
    print(f"ARTEMIS_CRASH_SEED={SEED}")
    moments = random.Random(SEED)
    directory = tmp_path / "data"
    victim = Victim()
    last = 0
    try:
        for _ in range(ROUNDS):
            victim.live_and_die(directory, moments.uniform(0, LIFE_MAX_S))
            last = check_journal(directory, victim.acknowledged["journal"], after=last)
            generation = check_snapshot(directory, victim.acknowledged["snapshot"])
            # What was stored and not acknowledged counts from here on: it was seen.
            victim.acknowledged = {"journal": last, "snapshot": generation}
    finally:
        victim.close()
    check_journal(directory, last, after=0)
    assert last > ROUNDS, "the children lived long enough to write"
    for name in (MANAGEMENT_NAME, INSTANCES_NAME):
        connection = apsw.Connection(str(directory / name))
        assert connection.pragma("integrity_check") == "ok"
        connection.close()


def test_a_first_start_that_was_killed_is_no_obstacle_to_the_second(tmp_path: Path) -> None:
    print(f"ARTEMIS_CRASH_SEED={SEED}")
    moments = random.Random(SEED)
    victim = Victim()
    try:
        for number in range(max(1, ROUNDS // 4)):
            directory = tmp_path / str(number)
            victim.acknowledged = {"journal": 0, "snapshot": 0}
            victim.live_and_die(directory, moments.uniform(0, 0.03))
            check_journal(directory, victim.acknowledged["journal"], after=0)
            check_snapshot(directory, victim.acknowledged["snapshot"])
    finally:
        victim.close()
