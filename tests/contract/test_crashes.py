"""What a node survives: silence, a pause, a kill, and a restart; and what it refuses to start with.

One lane is enough here: nothing of this depends on who parses the requests.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from ..pace import paced
from .building import SUCCESS, ids_of, instance, instances_of, lookup, register, unregister
from .conftest import StartNode
from .nodes import NodeProcess
from .sockets import CHANGES, WATCH, watching, websocket
from .waiting import eventually
from .wire import ask, get, post, rpc

LEASE_S = paced(2.0)
SHORT: Any = {"registry": {"lease_ttl_s": LEASE_S, "lease_ttl_min_s": 0.1, "sweep_interval_s": 0.05}}

SENSITIVE: Any = {
    "registry": {
        "lease_ttl_s": paced(1.0),
        "lease_ttl_min_s": 0.1,
        "sweep_interval_s": 0.05,
        "preservation_min_leases": 20,
        "preservation_ceiling_s": paced(2.5),
    }
}
"""Self-preservation in seconds instead of minutes."""

NODE_FAILED = 5
"""The exit code of a node that could not run."""


def kept_in(directory: Path, more: Any = None) -> Any:
    return {"data": {"directory": str(directory)}, **(more or {})}


async def stored(node: NodeProcess, rows: int) -> None:
    """Wait until the persistence writer, which works behind the scenes, has written this many rows."""

    async def are_stored() -> bool:
        page = (await ask(node, "GET", "/metrics")).body.decode()
        (line,) = (line for line in page.splitlines() if line.startswith("artemis_stored_rows_total "))
        return float(line.split()[1]) >= rows

    await eventually(are_stored)


async def pull_out(node: NodeProcess, service: str, instance_id: str) -> None:
    key = {"regionId": "lab", "serviceId": service, "instanceId": instance_id}
    body = {"instanceKey": key, "operation": "pull-out", "operatorId": "op", "token": "", "operationComplete": False}
    answer = await post(node, "/api/management/operate-instance.json", body)
    assert answer["responseStatus"] == SUCCESS


# Silence


async def test_when_everybody_falls_silent_at_once_nobody_is_evicted_until_the_ceiling(
    start_node: StartNode, name: str
) -> None:
    """Self-preservation: the node doubts the network first, shows that it does, and does not do so for ever."""
    node = start_node(SENSITIVE)
    several = [instance(name, f"i{number}") for number in range(30)]
    await register(node, *several)

    async def status() -> dict[str, Any]:
        answer = await rpc(node, "status/leases", {"serviceIds": [name]})
        assert isinstance(answer, dict)
        return answer

    answer = await rpc(node, "registry/heartbeat", {"instances": several})
    assert answer["failedInstances"] is None

    async def is_protecting() -> bool:
        return not (await status())["isSafe"]

    await eventually(is_protecting)
    protected_since_s = trio.current_time()
    await unregister(node, several[0])
    left = {one["instanceId"] for one in several[1:]}
    assert set(await ids_of(node, name)) == left
    page = (await ask(node, "GET", "/metrics")).body.decode()
    assert "artemis_self_preservation 1.0" in page

    async def are_overdue() -> bool:
        return int((await status())["overdueCount"]) == len(left)

    await eventually(are_overdue)
    assert set(await ids_of(node, name)) == left

    async def are_gone() -> bool:
        return not await ids_of(node, name)

    await eventually(are_gone)
    assert trio.current_time() - protected_since_s > paced(1.5)
    assert (await status())["isSafe"] is True


async def test_an_agent_that_renews_a_hundred_instances_in_one_request_never_triggers_self_preservation(
    start_node: StartNode, name: str
) -> None:
    """Whatever the phase: a lease of 20 s renewed each 5.3 s, made ten times shorter."""
    lease_s, period_s = paced(2.0), paced(0.53)
    settings = {**SENSITIVE["registry"], "lease_ttl_s": lease_s}
    node = start_node({"registry": settings, "rate_limits": {"enabled": False}})
    several = [instance(name, f"i{number}") for number in range(100)]
    await register(node, *several)
    since_s = trio.current_time()
    with trio.move_on_after(4.5 * lease_s):
        while True:
            answer = await rpc(node, "registry/heartbeat", {"instances": several})
            assert answer["failedInstances"] is None
            next_s = trio.current_time() + period_s
            while trio.current_time() < next_s:
                leases = await rpc(node, "status/leases", {"serviceIds": [name]})
                late_s = trio.current_time() - next_s
                if late_s < lease_s / 5:  # on a machine that stands still, silence is silence
                    assert (leases["isSafe"], leases["protectedServices"], leases["overdueCount"]) == (True, [], 0)
                await trio.sleep(0.05)
    assert trio.current_time() - since_s >= 4.5 * lease_s
    assert "self-preservation" not in node.log()


# A pause


async def test_a_process_that_was_paused_longer_than_a_lease_evicts_nobody(start_node: StartNode, name: str) -> None:
    """Nobody could heartbeat meanwhile. What then stays silent goes, one lease later."""
    node = start_node(SHORT)
    several = [instance(name, f"i{number}") for number in range(20)]
    async with websocket(node, CHANGES) as session:
        await session.send({"serviceId": name})
        await session.ping()
        await register(node, *several)
        for _ in several:
            assert (await session.receive())["changeType"] == "new"
        node.signal(signal.SIGSTOP)
        await node.is_paused()
        await trio.sleep(1.5 * LEASE_S)  # not to wait for something: the pause is what is tested
        node.signal(signal.SIGCONT)
        answer = await rpc(node, "registry/heartbeat", {"instances": several[1:]})
        assert answer == {"failedInstances": None, "responseStatus": SUCCESS}
        assert len(await ids_of(node, name)) == len(several)
        push = await session.receive()
        assert (push["changeType"], push["instance"]["instanceId"]) == ("delete", "i0")


# A kill


async def test_after_a_kill_a_node_serves_what_it_knew(start_node: StartNode, tmp_path: Path, name: str) -> None:
    """And each instance has one lease to be heard of again."""
    node = start_node(kept_in(tmp_path / "data", SHORT))
    kept = [instance(name, f"i{number}", metadata={"n": str(number)}) for number in range(3)]
    await register(node, *kept, instance(f"{name}.gone"), instance(name, "left"))
    await stored(node, 5)
    await unregister(node, instance(f"{name}.gone"), instance(name, "left"))
    await stored(node, 7)
    await node.kill()
    node.start()
    assert sorted(await instances_of(node, name), key=lambda one: str(one["instanceId"])) == kept
    assert await ids_of(node, f"{name}.gone") == []
    assert (await get(node, "/health/ready"))["status"] == "up"

    async def only_the_heard_ones_are_left() -> bool:
        answer = await rpc(node, "registry/heartbeat", {"instances": kept[:2]})
        assert answer["failedInstances"] is None
        return await ids_of(node, name) == ["i0", "i1"]

    started_s = trio.current_time()
    await eventually(only_the_heard_ones_are_left)
    assert trio.current_time() - started_s < LEASE_S + paced(1)


async def test_a_removal_outlives_a_kill(start_node: StartNode, tmp_path: Path, name: str) -> None:
    """Were only instances stored, the row of before would bring it back; were it not stored, a peer's copy would."""
    node = start_node(kept_in(tmp_path / "data"))
    await register(node, instance(name, "a"), instance(name, "b"))
    await stored(node, 2)
    await unregister(node, instance(name, "a"))
    await stored(node, 3)
    await node.kill()
    node.start()
    assert await ids_of(node, name) == ["b"]
    answer = await rpc(node, "registry/heartbeat", {"instances": [instance(name, "a")]})
    assert answer["failedInstances"][0]["errorCode"] == "data-not-found"
    await register(node, instance(name, "a"))
    assert await ids_of(node, name) == ["a", "b"]


async def test_what_an_operator_did_outlives_a_kill_right_after_the_answer(
    start_node: StartNode, tmp_path: Path, name: str
) -> None:
    """The answer comes after the commit; registering again does not undo it either."""
    node = start_node(kept_in(tmp_path / "data"))
    await register(node, instance(name, "a"), instance(name, "b"))
    await stored(node, 2)
    await pull_out(node, name, "a")
    await node.kill()
    node.start()
    assert await ids_of(node, name) == ["b"]
    await register(node, instance(name, "a"))
    assert await ids_of(node, name) == ["b"]


async def test_revisions_and_versions_of_before_a_restart_are_never_taken_for_those_after_it(
    start_node: StartNode, tmp_path: Path, name: str
) -> None:
    """Who watched begins anew, and so does who asks for a delta."""
    node = start_node(kept_in(tmp_path / "data"))
    await register(node, instance(name, "a"))
    version = (await rpc(node, "discovery/services", {}))["version"]
    async with websocket(node, WATCH) as session:
        before = await watching(session, name)
        await stored(node, 1)
        await node.kill()
        assert (await session.closed())[0] == 1006
    node.start()
    delta = await rpc(node, "discovery/services-delta", {"version": version})
    assert delta["responseStatus"]["errorCode"] == "data-not-found"
    answer = await rpc(node, "discovery/services", {})
    assert answer["version"] > version
    assert [service["serviceId"] for service in answer["services"]] == [name]
    await register(node, instance(name, "b"))
    async with websocket(node, WATCH) as session:
        after = await watching(session, name, since=before["revision"])
        assert sorted(one["instanceId"] for one in after["service"]["instances"]) == ["a", "b"]
        assert after["revision"] > before["revision"]


async def test_a_node_in_memory_keeps_nothing(start_node: StartNode, name: str) -> None:
    node = start_node({})
    await register(node, instance(name))
    await node.kill()
    node.start()
    assert (await lookup(node, name))["instances"] == []


# Refusing to start


async def refusal(node: NodeProcess) -> str:
    """The one line with which a node says that it cannot run."""
    node.launch()
    assert await node.ended() == NODE_FAILED
    assert "Traceback" not in node.log()
    (line,) = (event["message"] for event in node.events() if event["level"] == "error")
    assert isinstance(line, str)
    return line


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data that a node left behind in good order."""
    home = tmp_path_factory.mktemp("written")
    node = NodeProcess(home, kept_in(home / "data")).start()

    async def write() -> None:
        await register(node, *(instance(f"service{number}") for number in range(50)))
        await pull_out(node, "service1", "i1")

    try:
        trio.run(write)
        node.ask_to_stop()
        node.must_have_stopped()
    finally:
        node.destroy()
    return home / "data"


@pytest.fixture
def damaged(written: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "data"))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: b"this is no database" * 300,
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a torn page": lambda data: data[:4096] + bytes(reversed(data[4096:8192])) + data[8192:],
}


@pytest.mark.parametrize(
    ("file_name", "damage"),
    [("artemis.db", "garbage"), *(("instances.db", damage) for damage in DAMAGES)],
)
async def test_a_damaged_database_is_a_clear_error_never_an_empty_registry(
    damaged: Path, make_node: StartNode, file_name: str, damage: str
) -> None:
    file = damaged / file_name
    broken = DAMAGES[damage](file.read_bytes())
    file.write_bytes(broken)
    line = await refusal(make_node(kept_in(damaged)))
    assert str(file) in line
    assert file.read_bytes() == broken, "what can still be rescued was touched"


async def test_a_database_that_is_missing_beside_the_other_is_an_error(damaged: Path, make_node: StartNode) -> None:
    (damaged / "artemis.db").unlink()
    assert "artemis.db" in await refusal(make_node(kept_in(damaged)))


async def test_a_directory_that_cannot_be_made_is_an_error(make_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory", encoding="utf-8")
    for directory in (tmp_path / "file" / "data", Path("/proc/artemis/data")):
        assert str(directory.parent) in await refusal(make_node(kept_in(directory)))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
async def test_a_directory_that_is_read_only_is_an_error(make_node: StartNode, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o500)
    assert str(directory) in await refusal(make_node(kept_in(directory)))


async def test_a_directory_belongs_to_one_process_at_a_time(
    start_node: StartNode, make_node: StartNode, tmp_path: Path, name: str
) -> None:
    first = start_node(kept_in(tmp_path / "data"))
    await register(first, instance(name))
    line = await refusal(make_node(kept_in(tmp_path / "data")))
    assert str(tmp_path / "data") in line
    assert f"process {first.pid}" in line
    assert await ids_of(first, name) == ["i1"]
    await first.kill()
    second = start_node(kept_in(tmp_path / "data"))
    assert (await get(second, "/health"))["status"] == "up"
