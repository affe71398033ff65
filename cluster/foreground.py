"""A cluster that lives as long as this process: in front of a terminal, or as the background half of --detach."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import trio
from rich.live import Live

from .control import Control
from .launcher import POLL_S, Cluster, Command, NotUp, open_cluster
from .processes import node_command
from .state import State, StateError
from .table import cluster_table, make_console
from .topology import Topology
from .watch import NodeView

GOODBYE_S = 1.0
"""How long those who asked for the end have to hear of it."""

UP_MARK = "up"
"""The file in the state directory that says that all nodes have been up."""


def run_in_foreground(
    topology: Topology,
    state: State,
    *,
    secret: str,
    with_client_proxies: bool,
    timeout_s: float,
    keep: bool,
    is_json: bool,
    command: Command = node_command,
) -> None:
    """Run a cluster until Ctrl-C, SIGTERM, or `artemis cluster down`; then leave nothing behind."""

    async def main() -> None:
        try:
            async with open_cluster(
                topology, state, secret=secret, with_client_proxies=with_client_proxies, command=command
            ) as cluster:
                await _run(cluster, timeout_s, is_json=is_json)
        finally:
            if not keep and not state.is_running():
                state.remove()

    try:
        trio.run(main)
    except* NotUp as group:
        raise _first(group) from None
    except* StateError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


async def _run(cluster: Cluster, timeout_s: float, *, is_json: bool) -> None:
    control = Control(cluster)
    async with trio.open_nursery() as nursery:
        await nursery.start(control.run, name="control socket")
        nursery.start_soon(_stop_on_signals, control, cluster, name="signals")
        with trio.CancelScope() as working:
            nursery.start_soon(_cancel_when_down_is_wanted, control, working, name="down")
            await _show_until_cancelled(cluster, timeout_s, is_json=is_json)
        await cluster.stop()
        control.is_down.set()
        with trio.move_on_after(GOODBYE_S):
            await control.until_answered()
        nursery.cancel_scope.cancel()


async def _cancel_when_down_is_wanted(control: Control, working: trio.CancelScope) -> None:
    await control.is_down_wanted.wait()
    working.cancel()


async def _stop_on_signals(control: Control, cluster: Cluster) -> None:
    """The first signal asks for the end; a second one does not wait for it."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            if control.is_down_wanted.is_set():
                for name in cluster.topology.names:
                    cluster.kill(name)
            control.is_down_wanted.set()


async def _show_until_cancelled(cluster: Cluster, timeout_s: float, *, is_json: bool) -> None:
    console = make_console()
    if not console.is_terminal or is_json:
        views = await cluster.wait_until_up(timeout_s)
        _mark_up(cluster.state)
        if is_json:
            print_json(views)
        else:
            console.print(cluster_table(views, {}))
        await trio.sleep_forever()
    with Live(console=console, auto_refresh=False) as live:

        def show(views: Sequence[NodeView]) -> None:
            faults = cluster.network.table.faults()
            texts = {f"{source}>{target}": str(fault) for (source, target), fault in sorted(faults.items())}
            live.update(cluster_table(views, texts), refresh=True)

        show(await cluster.wait_until_up(timeout_s, show))
        _mark_up(cluster.state)
        while True:
            show(await cluster.views())
            await trio.sleep(POLL_S)


def print_json(views: Sequence[NodeView]) -> None:
    """The nodes, on one line, for scripts that read our output."""
    sys.stdout.write(json.dumps({"nodes": [view.as_dict() for view in views]}) + "\n")
    sys.stdout.flush()


def _mark_up(state: State) -> None:
    (state.directory / UP_MARK).touch()


def detach(arguments: Sequence[str], state: State, timeout_s: float, environment: Mapping[str, str]) -> None:
    """Start `artemis cluster up` with these arguments in the background; return when all nodes are up."""
    if state.is_running():
        raise StateError(f"{state.directory}: a cluster runs here already; stop it with: artemis cluster down")
    state.directory.mkdir(parents=True, exist_ok=True)
    mark = state.directory / UP_MARK
    mark.unlink(missing_ok=True)
    log_file = state.directory.with_name(state.directory.name + ".log")
    with log_file.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "artemis.cluster", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        _wait_for_mark(mark, supervisor, log_file, timeout_s + 5.0)
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
        raise
    finally:
        log_file.unlink(missing_ok=True)


def _wait_for_mark(mark: Path, supervisor: subprocess.Popen[bytes], log_file: Path, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not mark.exists():
        if supervisor.poll() is not None or time.monotonic() > deadline_s:
            said = log_file.read_text(encoding="utf-8", errors="replace").strip()
            raise NotUp(said.removeprefix("artemis cluster: ") or "the cluster ended without a word")
        with suppress(subprocess.TimeoutExpired):
            supervisor.wait(0.05)


def wait_for_end(pid: int, timeout_s: float = 10.0) -> None:
    """Return when a process has ended, or after the timeout."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
