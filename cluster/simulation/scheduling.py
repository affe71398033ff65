"""Trio for one seed: a clock that jumps, a schedule that chance repeats, and hosts that can be stopped in their tracks.

A host is a name in a context variable; tasks inherit it from whoever started them. Freezing a host does what SIGSTOP
does to a process: none of its tasks takes another step, whatever arrives for it waits, its timers run out unheard; and
when it goes on, everything is due at once. Nobody else notices anything but silence.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import trio
from trio._core import _run as trio_run
from trio.lowlevel import Task
from trio.testing import MockClock

T = TypeVar("T")

HOST: ContextVar[str] = ContextVar("host", default="")
"""The host on which the current task runs; empty for the simulation itself."""


class RunQueue(deque[Task]):
    """The tasks that may take a step, as Trio sees them. Those of frozen hosts are kept back."""

    def __init__(self, tasks: Iterator[Task]) -> None:
        super().__init__(tasks)
        self._held: dict[str, list[Task]] = {}

    def append(self, task: Task, /) -> None:
        if self._held:
            held = self._held.get(host_of(task))
            if held is not None:
                held.append(task)
                return
        super().append(task)

    def freeze(self, host: str) -> None:
        """Keep the tasks of this host from running."""
        assert host not in self._held, f"{host} is frozen already"
        held = self._held[host] = [task for task in self if host_of(task) == host]
        others = [task for task in self if host_of(task) != host]
        self.clear()
        self.extend(others)
        assert trio.lowlevel.current_task() not in held

    def thaw(self, host: str) -> None:
        """Let them go on, everything that woke meanwhile at once."""
        self.extend(self._held.pop(host))

    def is_frozen(self, host: str) -> bool:
        return host in self._held


def host_of(task: Task) -> str:
    """The host that a task belongs to."""
    return task.context.get(HOST, "")


def _runner() -> trio_run.Runner:
    runner: trio_run.Runner = trio_run.GLOBAL_RUN_CONTEXT.runner  # pyright: ignore[reportAttributeAccessIssue]
    return runner


def take_over_queue() -> RunQueue:
    """Replace the queue of the Trio run that we are in by one that can freeze hosts."""
    runner = _runner()
    queue = RunQueue(iter(runner.runq))
    runner.runq = queue
    return queue


@contextmanager
def deterministic(seed: int) -> Generator[None]:
    """Trio's own chance comes from the seed, as long as the block lasts."""
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    state = trio_run._r.getstate()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        trio_run._r.setstate(state)


def run(seed: int, main: Callable[[RunQueue], Awaitable[T]]) -> T:
    """Run `main` to its end in virtual time: as fast as this machine can, and the same way for the same seed."""

    async def start() -> T:
        return await main(take_over_queue())

    with deterministic(seed):
        return trio.run(start, clock=MockClock(autojump_threshold=0))
