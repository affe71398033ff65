"""What every checker is, and what it may look at."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from artemis.store.changes import ServiceChange
from artemis.store.management.ranges import RANGE, range_of

from ..decisions import is_out
from ..history import History
from ..hosts import Host
from ..reach import Reach
from ..scenario import REGION, Scenario
from ..subscribers import Subscriber
from ..truth import TrueInstance, Truth

LOOK_S: Final = 0.5
"""How often checkers look."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    checker: str
    time_s: float | None
    """Virtual time; None when nobody can say."""
    text: str

    def __str__(self) -> str:
        when = "" if self.time_s is None else f" at {self.time_s:.3f}"
        return f"{self.checker}{when}: {self.text}"


@dataclass(slots=True, eq=False)
class World:
    """Everything that there is to look at."""

    scenario: Scenario
    hosts: Mapping[str, Host]
    subscribers: Sequence[Subscriber]
    truth: Truth
    reach: Reach
    history: History
    answers: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict[str, dict[str, frozenset[str]]])
    """By serving host and service key: the instances in its answer, in lower case, at the moment of the observation."""

    @property
    def serving(self) -> list[Host]:
        """The hosts that would answer a client now."""
        return [host for host in self.hosts.values() if host.is_serving]

    def look(self) -> None:
        """Ask every node that serves for every service."""
        self.answers = {host.name: self._ask(host) for host in self.serving}

    def _ask(self, host: Host) -> dict[str, frozenset[str]]:
        """What a client would be answered, asked the way a client asks."""
        wanted = self.scenario.service_ids
        if self.scenario.mixed_case:
            wanted = [name.swapcase() for name in wanted]
        body = {"discoveryConfigs": [{"serviceId": name} for name in wanted], "regionId": REGION}
        reply = json.loads(host.peek("/artemis/api/discovery/lookup.json", json.dumps(body).encode()))
        return {
            service["serviceId"].lower(): frozenset(each["instanceId"].lower() for each in service["instances"] or ())
            for service in reply["services"] or ()
        }

    def disk_will_be_lost(self, host: Host) -> None:
        """What only this host has of the decisions of operators, nobody can be held to any more."""
        assert host.node is not None
        elsewhere = [
            other.node.management.tables
            for other in self.hosts.values()
            if other is not host and other.node is not None
        ]
        lost: set[str] = set()
        for mine in host.node.management.tables.records():
            copies = [tables.record(mine.full_key) for tables in elsewhere]
            if not any(copy is not None and copy.version >= mine.version for copy in copies):
                lost.add(range_of(mine)[0] if mine.kind == RANGE else mine.kind)
        for (
            write
        ) in self.truth.writes:  # wherever they were taken: the host that took one may have lost its disk before
            if write.kind in lost:
                write.doubtful = True

    @property
    def margin_s(self) -> float:
        """Two writes that are no further apart may have either order. A node that heard of a clock that is ahead stamps
        as if its own were, so it is the difference of the clocks of all."""
        skews_ms = [host.clock.skew_ms for host in self.hosts.values()]
        return (max(skews_ms) - min(skews_ms)) / 1000

    def is_out(self, host: Host, instance: TrueInstance) -> bool:
        """Whether an operator decided, as far as this node knows, that the instance is not to be shown."""
        return host.node is not None and is_out(host.node.management.tables, instance)


class Checker:
    """One promise. Keeps what it found; a simulation goes on to its end, or stops at the first finding."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[Violation] = []

    @property
    def name(self) -> str:
        return type(self).__name__

    def object(self, text: str) -> None:
        """The promise was not kept just now."""
        self.violations.append(Violation(self.name, trio.current_time(), text))

    def object_to(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.object(text)

    # What checkers override

    def changed(self, host: Host, change: ServiceChange) -> None:
        """A node tells its subscribers of a change, right now."""

    def observe(self) -> None:
        """Some time has passed. `world.answers` is fresh."""

    def converged(self) -> None:
        """Everything has been healed for as long as agreement may take."""

    def settled(self) -> None:
        """The end: everything has been healed for so long that nothing is left to happen."""
