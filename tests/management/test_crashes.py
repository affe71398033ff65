"""A node is killed at random moments while operators write to it; whatever it had answered is there when it is back.

Each round: start, check everything that the round before was told, write from many connections at once, kill. The
number of rounds is CRASH_ROUNDS, the moments come from CRASH_SEED.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trio

from artemis.cluster.processes import clean_environment
from artemis.cluster.topology import encode_toml

from ..contract.waiting import eventually
from ..contract.wire import Address, Connection, connected, encoded
from ..pace import PATIENCE_S

ROUNDS: Final = int(os.environ.get("CRASH_ROUNDS", "10"))
SEED: Final = int(os.environ.get("CRASH_SEED", "20"))
WRITERS: Final = 8
BOUND_AT_ONCE: Final = 3
LONGEST_S: Final = 0.15


@dataclass
class Told:
    """What one writer tried, and what it was told is done."""

    service: str
    tried: list[str] = field(default_factory=list)
    """Names of groups, in the order in which their creation was asked for."""
    created: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    """Groups to which instances were bound, in one request each."""
    counted: int = 0
    """The newest description of the first group that was confirmed, and the one asked for last."""
    asked: int = 0


@dataclass
class Running:
    """A node that listens."""

    pid: int
    host: str
    port: int


class Nodes:
    """Starts the same node again and again."""

    def __init__(self, directory: Path, forge: "subprocess.Popen[str]") -> None:
        self._forge = forge
        self._config, self._log = directory / "artemis.toml", directory / "node.log"
        sections: dict[str, dict[str, object]] = {
            "node": {"port": 0, "region": "lab"},
            "data": {"directory": str(directory / "data")},
            "logging": {"format": "json"},
        }
        self._config.write_text(encode_toml(sections), encoding="utf-8")

    async def start(self) -> "Running":
        """Start it; returns once it listens."""
        self._log.unlink(missing_ok=True)
        assert self._forge.stdin is not None
        assert self._forge.stdout is not None
        self._forge.stdin.write(f"{self._config}\t{self._log}\n")
        self._forge.stdin.flush()
        pid = int(self._forge.stdout.readline())
        await eventually(lambda: self._url() is not None)
        address = urlsplit(self._url() or "")
        return Running(pid, address.hostname or "", address.port or 0)

    def _url(self) -> str | None:
        text = self._log.read_text(encoding="utf-8") if self._log.exists() else ""
        assert "Traceback" not in text, text
        assert "artemis: " not in text, text
        lines = [line for line in text.splitlines() if '"listening"' in line and line.endswith("}")]
        return str(json.loads(lines[0])["url"]) if lines else None


@pytest.fixture
def forge() -> "Iterator[subprocess.Popen[str]]":
    script = Path(__file__).with_name("forking_nodes.py")
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_S)


class NodeGone(Exception):
    """The node was killed before it answered."""


async def ask(connection: Connection, method: str, path: str, body: object = None) -> Any:
    """The body of an answer that is a success. Raises NodeGone."""
    try:
        answer = await connection.ask(method, path, None if body is None else encoded(body))
    except trio.BrokenResourceError:
        raise NodeGone from None
    except AssertionError as error:
        if "the connection ended" in str(error):
            raise NodeGone from None
        raise
    assert answer.status in (200, 201), answer
    return answer.json


async def write(node: Address, told: Told) -> None:
    """Create groups, bind instances to them, and count up in the description of the first one."""
    groups, bind = "/api/routing/groups", f"/api/routing/services/{told.service}/instances"
    with suppress(NodeGone, OSError):
        async with connected(node) as connection:
            while True:
                name = f"g{len(told.tried)}"
                told.tried.append(name)
                place = {"serviceId": told.service, "regionId": "lab", "zoneId": "z", "name": name}
                await ask(connection, "POST", groups, {**place, "groupType": "physical"})
                told.created.add(name)
                items = [{"groupId": name, "instanceId": f"i{number}"} for number in range(BOUND_AT_ONCE)]
                await ask(connection, "POST", bind, {"instances": items})
                told.bound.add(name)
                told.asked += 1
                first = f"{groups}/{told.service}:lab:z:{told.tried[0]}"
                await ask(connection, "PATCH", first, {"description": str(told.asked)})
                told.counted = told.asked


async def check(connection: Connection, everything: list[Told]) -> None:
    """Everything that was confirmed is there; what was not is there whole or not at all; nothing is there twice."""
    rows = (await ask(connection, "POST", "/api/management/group/get-group-instances.json", {}))["groupInstances"]
    members = Counter(row["groupId"] for row in rows)
    for told in everything:
        found = (await ask(connection, "GET", f"/api/routing/groups?serviceId={told.service}"))["data"]
        groups = {group["name"]: group for group in found}
        assert told.created <= groups.keys() <= set(told.tried)
        for name, group in groups.items():
            count = members[group["groupId"]]
            assert count == BOUND_AT_ONCE or (count == 0 and name not in told.bound), (told.service, name, count)
        if told.asked:
            assert told.counted <= int(groups[told.tried[0]]["description"] or 0) <= told.asked


async def check_log(connection: Connection, everything: list[Told]) -> None:
    """Every creation that happened is in the audit log, once."""
    path, entries = "/api/management/audit/logs?operationType=group&operation=create&limit=1000", list[dict[str, Any]]()
    while True:
        before = f"&before={entries[-1]['logId']}" if entries else ""
        page = (await ask(connection, "GET", f"{path}{before}"))["data"]
        if not page:
            break
        entries += page
    creations = Counter(str(entry["targetId"]) for entry in entries)
    assert set(creations.values()) <= {1}
    for told in everything:
        assert {f"{told.service}/lab/z/{name}" for name in told.created} <= creations.keys()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, and with it its hold on the data directory."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_no_kill_costs_a_write_that_was_answered(tmp_path: Path, forge: "subprocess.Popen[str]") -> None:
    nodes, chance = Nodes(tmp_path, forge), random.Random(SEED)
    everything: list[Told] = []
    newest: list[Told] = []
    for number in range(ROUNDS):
        node = await nodes.start()
        async with connected(node) as connection:
            await check(connection, newest)
        newest = [Told(f"r{number}.w{writer}") for writer in range(WRITERS)]
        everything += newest
        async with trio.open_nursery() as nursery:
            for told in newest:
                nursery.start_soon(write, node, told)
            with trio.move_on_after(chance.uniform(0, LONGEST_S)):
                await trio.sleep_forever()
            os.kill(node.pid, signal.SIGKILL)
        await eventually(partial(is_gone, node.pid))
    node = await nodes.start()
    async with connected(node) as connection:
        await check(connection, everything)
        await check_log(connection, everything)
    written = sum(len(told.created) for told in everything)
    assert written > ROUNDS, "hardly anything was written: the rounds are too short"
