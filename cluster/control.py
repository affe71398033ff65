"""The control socket of a running cluster: one JSON object per line, one answer per request.

The side of the launcher is a Trio task; the other side is a plain blocking call, for commands that ask once.
"""

import json
import os
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from .faults import Cut, FaultError, FaultTable
from .launcher import Cluster, NotUp
from .state import State, StateError
from .topology import TopologyError

LINE_BYTES_MAX = 1024 * 1024
ANSWER_S = 60.0
"""How long a command waits: a restart includes the farewell of a node."""

Arguments = Mapping[str, object]


class ControlError(Exception):
    """The launcher refused, with its reason."""


def request(state: State, action: str, **arguments: object) -> dict[str, object]:
    """Ask the launcher for something, and wait for the answer."""
    with state.connect() as control:
        control.settimeout(ANSWER_S)
        try:
            control.sendall(json.dumps({"do": action, **arguments}).encode() + b"\n")
            with control.makefile("rb") as lines:
                line = lines.readline(LINE_BYTES_MAX)
        except OSError as error:
            raise StateError(f"{state.directory}: the cluster does not answer: {error}") from None
    if not line:
        raise StateError(f"{state.directory}: the cluster ended while it was asked")
    answer: object = json.loads(line)
    if not isinstance(answer, dict):
        raise StateError(f"{state.directory}: what answers there is not a cluster")
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


class Control:
    """Answers on the control socket until cancelled."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.is_down_wanted = trio.Event()
        """Set when somebody asked for the end."""
        self.is_down = trio.Event()
        """Set by the owner when all nodes have stopped, so that whoever asked is told."""
        self._answering = 0
        self._has_answered = trio.Event()
        self._actions: dict[str, Callable[[Arguments], Awaitable[dict[str, object]]]] = {
            "status": self._status,
            "kill": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            "restart": self._restart,
            "partition": self._partition,
            "heal": self._heal,
            "slow": self._slow,
            "lossy": self._lossy,
            "down": self._down,
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the socket in the state directory. Started once it can be connected to."""
        with open_control_socket(self._cluster.state) as listening:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            task_status.started()
            await trio.serve_listeners(self._converse, [listener])

    async def until_answered(self) -> None:
        """Wait until nobody waits for an answer of ours."""
        while self._answering:
            await self._has_answered.wait()

    async def _converse(self, stream: trio.SocketStream) -> None:
        received = b""
        async with stream:
            with suppress(trio.BrokenResourceError):
                async for piece in stream:
                    received += piece
                    while b"\n" in received:
                        line, _, received = received.partition(b"\n")
                        await self._reply(stream, line)
                    if len(received) > LINE_BYTES_MAX:
                        return

    async def _reply(self, stream: trio.SocketStream, line: bytes) -> None:
        self._answering += 1
        try:
            await stream.send_all(json.dumps(await self._answer(line)).encode() + b"\n")
        finally:
            self._answering -= 1
            self._has_answered.set()
            self._has_answered = trio.Event()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            asked: object = json.loads(line)
        except ValueError:
            return {"error": "not JSON"}
        if not isinstance(asked, dict) or asked.get("do") not in self._actions:
            return {"error": f"unknown; known are {', '.join(self._actions)}"}
        try:
            return await self._actions[str(asked["do"])](asked)
        except (FaultError, NotUp, TopologyError) as error:
            return {"error": str(error)}
        except (KeyError, TypeError) as error:
            return {"error": f"a missing or unusable argument: {error}"}

    async def _status(self, arguments: Arguments) -> dict[str, object]:
        faults = self._cluster.network.table.faults()
        return {
            "nodes": [view.as_dict() for view in await self._cluster.views()],
            "faults": {f"{source}>{target}": str(fault) for (source, target), fault in sorted(faults.items())},
            "links": {
                f"{proxy.source}>{proxy.target}": {
                    "url": proxy.url,
                    "open": proxy.statistics.open,
                    "opened": proxy.statistics.opened,
                    "reset": proxy.statistics.reset,
                    "bytes": proxy.statistics.bytes,
                }
                for proxy in self._cluster.proxies
            },
        }

    async def _kill(self, arguments: Arguments) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self._cluster.kill(_text(arguments, "node"))
        return {}

    async def _pause(self, arguments: Arguments) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self._cluster.pause(_text(arguments, "node"))
        return {}

    async def _resume(self, arguments: Arguments) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self._cluster.resume(_text(arguments, "node"))
        return {}

    async def _restart(self, arguments: Arguments) -> dict[str, object]:
        await self._cluster.restart(_text(arguments, "node"))
        if wait_s := _number(arguments, "wait_s"):
            await self._cluster.wait_until_up(wait_s, names=[_text(arguments, "node")])
        return {}

    async def _partition(self, arguments: Arguments) -> dict[str, object]:
        cut = Cut.RESET if arguments.get("reset") else Cut.SILENT
        return await self._change(lambda table: table.cut(table.select(_text(arguments, "flows")), cut=cut))

    async def _heal(self, arguments: Arguments) -> dict[str, object]:
        flows = _text(arguments, "flows")
        return await self._change(lambda table: table.heal(table.select(flows) if flows else None))

    async def _slow(self, arguments: Arguments) -> dict[str, object]:
        bytes_per_s = _number(arguments, "bytes_per_s")
        return await self._change(
            lambda table: table.slow(
                table.select(_text(arguments, "flows")),
                delay_s=_number(arguments, "delay_s"),
                jitter_s=_number(arguments, "jitter_s"),
                bytes_per_s=bytes_per_s or None,
            )
        )

    async def _lossy(self, arguments: Arguments) -> dict[str, object]:
        return await self._change(
            lambda table: table.lossy(
                table.select(_text(arguments, "flows")),
                loss=_number(arguments, "loss"),
                reset=_number(arguments, "reset"),
            )
        )

    async def _down(self, arguments: Arguments) -> dict[str, object]:
        self.is_down_wanted.set()
        await self.is_down.wait()
        return {"pid": os.getpid()}

    async def _change(self, change: Callable[[FaultTable], None]) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self._cluster.network.apply(change)
        return {"faults": len(self._cluster.network.table.faults())}


@contextmanager
def open_control_socket(state: State) -> Generator[socket.socket]:
    """The listening socket in the state directory, for its owner only; gone afterwards."""
    with state.control_address() as address, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        Path(address).chmod(0o600)
        listening.listen()
        yield listening
        Path(address).unlink(missing_ok=True)


def _text(arguments: Arguments, name: str) -> str:
    value = arguments[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    return value


def _number(arguments: Arguments, name: str) -> float:
    value = arguments.get(name) or 0
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is not a number")
    return float(value)
