"""The supervisor: starts actors, rebuilds one that crashed, and gives up on the node when one keeps crashing."""

import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import trio

logger = logging.getLogger(__name__)


class Actor(Protocol):
    async def run(self) -> None:
        """Work until cancelled, or return when there is nothing left to do."""
        ...


class ActorFailed(Exception):
    """An actor crashed more often than its budget allows; the node ends, and what supervises it may restart it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"actor {name} keeps failing")
        self.name = name


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often an actor may be rebuilt: `intensity` times within `period_s` seconds. 0 means never."""

    intensity: int = 3
    period_s: float = 60.0
    pause_s: float = 0.0
    """Time before it is rebuilt, seconds: for actors whose trouble comes from elsewhere and may stay for a while."""


class Supervisor:
    """Owns the tasks of the actors of one node."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self.restarts: dict[str, int] = {}
        """By name of actor: how often it was rebuilt."""

    def start(self, name: str, factory: Callable[[], Actor], restarts: Restarts = Restarts()) -> None:
        """Run the actor that `factory` builds; build it anew when it crashes. What must survive is in the store."""
        assert name not in self._scopes, name
        self.restarts[name] = 0
        self._scopes[name] = trio.CancelScope()
        self._nursery.start_soon(self._supervise, name, factory, restarts, name=name)

    def stop(self, name: str) -> None:
        """Cancel one actor. Nothing happens when it has ended already."""
        self._scopes[name].cancel()

    async def _supervise(self, name: str, factory: Callable[[], Actor], restarts: Restarts) -> None:
        crashes_s: deque[float] = deque()
        with self._scopes[name]:
            while True:
                try:
                    await factory().run()
                except Exception as error:
                    now_s = trio.current_time()
                    crashes_s.append(now_s)
                    while crashes_s and crashes_s[0] <= now_s - restarts.period_s:
                        crashes_s.popleft()
                    if len(crashes_s) > restarts.intensity:
                        logger.critical("actor %s failed and is not restarted: %r", name, error)
                        raise ActorFailed(name) from error
                    self.restarts[name] += 1
                    logger.exception("actor %s crashed and is rebuilt", name)
                    await trio.sleep(restarts.pause_s)
                else:
                    return


@asynccontextmanager
async def open_supervisor() -> AsyncGenerator[Supervisor, None]:
    """Actors live as long as the block; leaving it cancels them.

    `ActorFailed` cancels the block and is raised bare, and so is what the block itself raises.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield Supervisor(nursery)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failed = group.subgroup(ActorFailed)
        leaves = _leaves(group if failed is None else failed)
        if failed is not None or len(leaves) == 1:
            raise leaves[0] from leaves[0].__cause__
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions in a group and in the groups within."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
