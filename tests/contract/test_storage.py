"""A disk that takes nothing, seen from outside: what needs none goes on, what needs one says why, and it heals.

The full disk is a limit of the size of files, set on the running node (RLIMIT_FSIZE): it needs no rights and no mount,
and SQLite meets it as it meets a full disk, in the middle of a write.
"""

import resource
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import trio

from ..pace import paced
from .building import SUCCESS, ids_of, instance, register
from .conftest import StartNode
from .nodes import NodeProcess
from .sockets import CHANGES, websocket
from .waiting import eventually
from .wire import Answer, ask, encoded, get, rpc

HOLDER = """
import sqlite3, sys
for file in sys.argv[1:]:
    connection = sqlite3.connect(file, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    globals()[file] = connection
print("held", flush=True)
sys.stdin.readline()
"""
"""A curious operator, with a transaction open."""

NODE_FAILED = 5
PATIENCE_S = 1.0


def on_disk(directory: Path) -> Any:
    return {
        "data": {"directory": str(directory), "write_patience_s": PATIENCE_S},
        "registry": {"lease_ttl_s": paced(2.0), "lease_ttl_min_s": 0.1},
    }


def full(node: NodeProcess, bytes_max: int | None) -> None:
    """Let no file of the node grow beyond this; None: let them grow again."""
    hard = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (hard if bytes_max is None else bytes_max, hard))


@asynccontextmanager
async def disk_is_full(node: NodeProcess, directory: Path) -> AsyncGenerator[None]:
    full(node, 16 * 1024)
    try:
        yield
    finally:
        if node.is_running:
            full(node, None)


@asynccontextmanager
async def files_are_locked(node: NodeProcess, directory: Path) -> AsyncGenerator[None]:
    """By another process, both of them, for much longer than 5 s if nobody ends it."""
    files = [str(directory / "artemis.db"), str(directory / "instances.db")]
    holder = await trio.to_thread.run_sync(holding, files)
    try:
        yield
    finally:
        holder.communicate(b"\n")


def holding(files: list[str]) -> Popen[bytes]:
    """A process that holds these files, when it does."""
    holder = Popen([sys.executable, "-c", HOLDER, *files], stdin=PIPE, stdout=PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


TROUBLES = {"full": (disk_is_full, "the disk is full"), "locked": (files_are_locked, "another process keeps it locked")}


async def pull(node: NodeProcess, service: str, instance_id: str, operation: str) -> Answer:
    key = {"regionId": "lab", "serviceId": service, "instanceId": instance_id}
    body = {
        "instanceKey": key,
        "operation": "pull-out",
        "operatorId": "op",
        "token": "",
        "operationComplete": operation == "pull-in",
    }
    return await ask(node, "POST", "/api/management/operate-instance.json", encoded(body))


async def ready(node: NodeProcess) -> dict[str, Any]:
    answer = await get(node, "/health/ready")
    assert isinstance(answer, dict)
    return answer


async def metric(node: NodeProcess, name: str) -> float:
    page = (await ask(node, "GET", "/metrics")).body.decode()
    (line,) = (line for line in page.splitlines() if line.startswith(f"{name} "))
    return float(line.split()[1])


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_disk_that_takes_nothing_costs_management_writes_and_nothing_else_and_heals_by_itself(
    make_node: StartNode, tmp_path: Path, name: str, trouble: str
) -> None:
    make_trouble, reason = TROUBLES[trouble]
    node = make_node(on_disk(tmp_path / "data")).start()
    several = [instance(name, f"i{number}") for number in range(20)]
    await register(node, *several)
    assert (await pull(node, name, "i0", "pull-out")).status == 200
    beating = trio.Event()

    async def beat() -> None:
        while not beating.is_set():
            answer = await rpc(node, "registry/heartbeat", {"instances": several})
            assert answer["failedInstances"] is None
            await trio.sleep(paced(0.3))

    async with trio.open_nursery() as nursery, websocket(node, CHANGES) as session:
        nursery.start_soon(beat)
        await session.send({"serviceId": name})
        await session.ping()
        async with make_trouble(node, tmp_path / "data"):
            began_s = trio.current_time()
            refused = await pull(node, name, "i1", "pull-out")
            while refused.status != 503:  # what still fits into the files is stored
                assert refused.status == 200
                refused = await pull(node, name, "i1", "pull-in")
                refused = await pull(node, name, "i1", "pull-out") if refused.status == 200 else refused
            text = refused.body.decode()
            assert reason in text
            assert "artemis.db" in text
            shown = set(await ids_of(node, name))
            assert shown >= {one["instanceId"] for one in several[2:]}
            await register(node, instance(name, "new"))
            changes = [await session.receive()]
            while changes[-1]["instance"]["instanceId"] != "new":
                changes.append(await session.receive())

            async def says_so() -> bool:
                problems = (await ready(node))["problems"]
                return any("artemis.db" in problem and reason in problem for problem in problems)

            await eventually(says_so)
            assert (await ready(node))["status"] == "up"
            failures = await metric(node, "artemis_storage_failures_total")

            async def tries_again() -> bool:
                return await metric(node, "artemis_storage_failures_total") >= failures + 4

            await eventually(tries_again)
            assert await says_so(), "an attempt that writes nothing must not pass for a success"
            assert "management: stored again" not in node.log()
            assert await metric(node, "artemis_storage_unavailable") >= 1
            assert await metric(node, "artemis_storage_failures_total") >= 1
            status = await rpc(node, "status/node", {})
            assert any(reason in problem for problem in status["problems"])
            await node.says("nothing can be stored, and is tried again")
            if trouble == "locked":
                await trio.sleep(max(0.0, 5.5 - (trio.current_time() - began_s)))  # longer than SQLite's patience
            assert shown <= set(await ids_of(node, name))

        async def is_well() -> bool:
            return not (await ready(node))["problems"]

        await eventually(is_well)
        assert (await pull(node, name, "i2", "pull-out")).status == 200
        assert "i2" not in await ids_of(node, name)
        assert await metric(node, "artemis_storage_unavailable") == 0
        await node.says("management: stored again")
        beating.set()
    await node.kill()
    node.start()
    restored = set(await ids_of(node, name))
    assert "i0" not in restored, "what was acknowledged before"
    assert "i2" not in restored, "what was acknowledged after"
    assert (await rpc(node, "status/node", {}))["responseStatus"] == SUCCESS


@pytest.mark.parametrize("file", ["artemis.db", "instances.db"])
async def test_a_file_that_vanishes_ends_the_node_with_a_clear_message(
    make_node: StartNode, tmp_path: Path, name: str, file: str
) -> None:
    node = make_node(on_disk(tmp_path / "data")).start()
    await register(node, instance(name))
    (tmp_path / "data" / file).unlink()
    assert await node.ended() == NODE_FAILED
    errors = [event["message"] for event in node.events() if event["level"] in ("error", "critical")]
    assert f"{file}: the file was removed or replaced while it was in use" in errors[-1]


async def test_a_node_that_stops_while_its_disk_is_full_says_what_is_lost(
    make_node: StartNode, tmp_path: Path, name: str
) -> None:
    settings = on_disk(tmp_path / "data")
    settings["node"] = {"shutdown_deadline_s": 1.0}
    node = make_node(settings).start()
    async with disk_is_full(node, tmp_path / "data"):
        await register(node, *[instance(name, f"i{number}", metadata={"n": "x" * 500}) for number in range(200)])
        await node.says("nothing can be stored")
        node.ask_to_stop()
        assert await node.ended() == 0
    said = await node.says("not everything could be stored")
    assert "200 changes of instances" in said["message"]
    assert "the disk is full" in said["message"]
