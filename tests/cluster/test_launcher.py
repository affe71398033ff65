"""The launcher with real processes that look like nodes: start, watch, break, and leave nothing behind."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from artemis.cluster.control import Control, ControlError, request
from artemis.cluster.faults import Cut
from artemis.cluster.launcher import Cluster, NotUp, open_cluster
from artemis.cluster.processes import Child, is_alive
from artemis.cluster.state import State, StateError
from artemis.cluster.topology import NodePlan, Topology, TopologyError, simple_topology
from artemis.cluster.watch import NodeView

from ..pace import PATIENCE_S

FAKE_NODE = Path(__file__).with_name("fake_node.py")


def fake_command(config_file: Path) -> Sequence[str]:
    return [sys.executable, str(FAKE_NODE), str(config_file)]


@asynccontextmanager
async def open_fakes(directory: Path, count: int = 2, *, with_client_proxies: bool = False) -> AsyncGenerator[Cluster]:
    with trio.fail_after(PATIENCE_S):
        async with open_cluster(
            simple_topology(count),
            State(directory / "state"),
            command=fake_command,
            with_client_proxies=with_client_proxies,
        ) as cluster:
            await cluster.wait_until_up(PATIENCE_S)
            yield cluster


def pids(cluster: Cluster) -> list[int]:
    return [child.pid for child in cluster.children.values() if child.pid is not None]


def by_name(views: Sequence[NodeView]) -> dict[str, NodeView]:
    return {view.name: view for view in views}


async def test_all_nodes_come_up_and_see_each_other_through_the_proxies(tmp_path: Path) -> None:
    async with open_fakes(tmp_path) as cluster:
        views = by_name(await cluster.views())
        assert views["a"].peers == {"b": "up"}
        assert views["b"].peers == {"a": "up"}
        assert (views["a"].instances, views["a"].lag_ms) == (7, 4.0)
        assert all(proxy.statistics.opened > 0 for proxy in cluster.proxies)


async def test_a_partition_is_felt_by_real_processes_and_ends_with_the_heal(tmp_path: Path) -> None:
    async with open_fakes(tmp_path) as cluster:
        cluster.network.apply(lambda table: table.cut(table.select("a|b"), cut=Cut.RESET))
        views = by_name(await cluster.views())
        assert (views["a"].peers, views["b"].peers) == ({"b": "down"}, {"a": "down"})
        cluster.network.apply(lambda table: table.heal())
        assert by_name(await cluster.views())["a"].peers == {"b": "up"}


async def test_client_traffic_can_be_broken_where_it_has_proxies(tmp_path: Path) -> None:
    async with open_fakes(tmp_path, 1, with_client_proxies=True) as cluster:
        view = (await cluster.views())[0]
        assert view.url != f"http://{view.address}"
        proxy = cluster.proxies[0]
        assert (proxy.source, proxy.url) == ("clients", view.url)


async def test_a_killed_node_stays_down_until_it_is_restarted(tmp_path: Path) -> None:
    async with open_fakes(tmp_path, 1) as cluster:
        cluster.kill("a")
        assert (await cluster.views())[0].process == "killed by SIGKILL"
        await cluster.restart("a")
        assert (await cluster.wait_until_up(PATIENCE_S))[0].process == "running"


async def test_a_paused_node_is_silent_and_comes_back(tmp_path: Path) -> None:
    async with open_fakes(tmp_path, 1) as cluster:
        cluster.pause("a")
        view = (await cluster.views())[0]
        assert (view.process, view.status) == ("paused", "silent")
        cluster.resume("a")
        assert (await cluster.wait_until_up(PATIENCE_S))[0].is_up


async def test_leaving_stops_every_node_even_a_paused_one(tmp_path: Path) -> None:
    async with open_fakes(tmp_path) as cluster:
        cluster.pause("b")
        started = pids(cluster)
        assert len(started) == 2
    assert not any(is_alive(pid) for pid in started)


async def test_a_node_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    broken = Topology((NodePlan(name="crash", region="r", zone="z", settings={}),))
    with pytest.RaisesGroup(pytest.RaisesExc(NotUp, match="told to crash"), flatten_subgroups=True):
        async with open_cluster(broken, State(tmp_path / "state"), command=fake_command) as cluster:
            await cluster.wait_until_up(PATIENCE_S)


OWNER = """
import signal, sys
from pathlib import Path
from artemis.cluster.processes import Child
child = Child([sys.executable, "-c", "import signal; signal.pause()"], Path(sys.argv[1]))
child.start()
print(child.pid, flush=True)
signal.pause()
"""


def test_a_child_dies_with_its_owner(tmp_path: Path) -> None:
    """The owner is killed without a word; the kernel takes the child along."""
    command = [sys.executable, "-c", OWNER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        descriptor = os.pidfd_open(int(owner.stdout.readline()))
        owner.kill()
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_S)
        os.close(descriptor)
        assert ended


async def test_a_child_outlives_the_thread_that_asked_for_its_start(tmp_path: Path) -> None:
    """The kernel kills with the starting thread, so starting has to happen in a thread that stays."""
    child = Child([sys.executable, "-c", "import signal; signal.pause()"], tmp_path / "log")
    child.start()
    await trio.to_thread.run_sync(lambda: None)
    assert child.pid is not None
    await child.stop()
    assert child.exit_code == -signal.SIGTERM


async def test_settings_of_our_environment_do_not_leak_into_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTEMIS_NODE_PORT", "1")
    program = "import os; print([name for name in os.environ if name.startswith('ARTEMIS_')])"
    child = Child([sys.executable, "-c", program], tmp_path / "log")
    child.start()
    assert await child.wait() == 0
    assert (tmp_path / "log").read_text() == "[]\n"


async def test_the_control_socket_does_what_commands_ask(tmp_path: Path) -> None:
    async with open_fakes(tmp_path) as cluster, trio.open_nursery() as nursery:
        control = Control(cluster)
        await nursery.start(control.run)

        async def ask(action: str, **arguments: object) -> dict[str, object]:
            return await trio.to_thread.run_sync(lambda: request(cluster.state, action, **arguments))

        await ask("partition", flows="a|b", reset=True)
        await ask("slow", flows="a>b", delay_s=0.1)
        await ask("lossy", flows="a>b", loss=0.5, reset=0)
        status = await ask("status")
        assert status["faults"] == {"a>b": "cut (reset), +100 ms, 50.0% lost", "b>a": "cut (reset)"}
        await ask("heal", flows="")
        assert (await ask("status"))["faults"] == {}
        await ask("kill", node="b")
        assert not cluster.child("b").pid
        for action, arguments, complaint in (
            ("kill", {"node": "x"}, "no node 'x'"),
            ("partition", {"flows": "a|x"}, "no 'x'"),
            ("kill", {}, "argument"),
            ("explode", {}, "known are"),
        ):
            with pytest.raises(ControlError, match=complaint):
                await ask(action, **arguments)
        nursery.cancel_scope.cancel()


def test_commands_without_a_cluster_say_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="artemis cluster up"):
        request(State(tmp_path / "nothing"), "status")


def test_a_directory_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    with pytest.raises(StateError, match="not empty"):
        State(tmp_path).create(("a",))
    State(tmp_path).remove()
    assert precious.read_text() == "mine"


async def test_two_clusters_do_not_share_a_directory(tmp_path: Path) -> None:
    async with open_fakes(tmp_path, 1) as cluster, trio.open_nursery() as nursery:
        await nursery.start(Control(cluster).run)
        with pytest.raises(StateError, match="runs here already"):
            cluster.state.create(("a",))
        nursery.cancel_scope.cancel()


async def test_an_unknown_node_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    async with open_fakes(tmp_path, 1) as cluster:
        with pytest.raises(TopologyError, match="there are: a"):
            cluster.kill("z")
