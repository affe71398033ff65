"""What really is: which instances live, who heard of them when, and what operators were promised.

Kept by the clients of the simulation as they go, and read by the checkers. No node ever sees it.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Key = tuple[str, str]
"""Service and instance, in lower case."""


class Fate(enum.Enum):
    """How an instance ended, if it did."""

    NEW = "not yet registered"
    LIVING = "living"
    CRASHED = "crashed"
    UNREGISTERED = "unregistered"


@dataclass(slots=True, eq=False)
class TrueInstance:
    """One process as it knows itself. A process that is started again is another one under the same key."""

    key: Key
    ip: str
    zone: str
    group: str
    fate: Fate = Fate.NEW
    data: int = 0
    """A number in its metadata, another one for each process and each change."""
    heard_by: str = ""
    """The node that last acknowledged a register or a heartbeat."""
    heard_s: float = -math.inf
    confirmed: bool = False
    """Since it last registered, a heartbeat was acknowledged by a node that holds that very registration. (A node that
    holds the one of its predecessor acknowledges as well, and will bury both when it hears that the first one left.)
    """
    steady_s: float = math.inf
    """Since when it has been confirmed, and heard at least every third heartbeat."""
    at_node_s: float = math.inf
    """Since when that was the same node."""
    heard: dict[str, float] = field(default_factory=dict[str, float])
    """By node: when it last acknowledged something under this key, be it of a predecessor."""
    ended_s: float = math.inf
    ended_by: str = ""
    """The node that acknowledged its unregistering."""
    removal: float = math.inf
    """The version of the tombstone there; infinite when nobody could look."""

    def registered(self, node: str, *, now_s: float) -> None:
        """A node acknowledged a registration."""
        self.fate = Fate.LIVING
        self.confirmed, self.steady_s = False, math.inf
        self.heard_by, self.heard_s, self.at_node_s = node, now_s, now_s
        self.heard[node] = now_s

    def renewed(self, node: str, *, known: bool, now_s: float, every_s: float) -> None:
        """A node acknowledged a heartbeat; `known`: of this very process. They are to come every so often."""
        if not known:
            self.steady_s = math.inf
        elif not self.confirmed or now_s - self.heard_s > every_s:
            self.steady_s = now_s
        if node != self.heard_by:
            self.at_node_s = now_s
        self.fate, self.confirmed = Fate.LIVING, known
        self.heard_by, self.heard_s = node, now_s
        self.heard[node] = now_s

    def unsure(self) -> None:
        """It is about to change or to unregister: nodes may know before it does that they have been told."""
        self.confirmed, self.steady_s = False, math.inf

    def is_steady(self, *, now_s: float, every_s: float) -> bool:
        """Whether its heartbeats come through, at least every third."""
        return self.fate is Fate.LIVING and self.confirmed and now_s - self.heard_s <= every_s


@dataclass(slots=True, eq=False)
class Write:
    """What an operator or a service asked for: that something is one way or another."""

    subject: str
    """What it is about; two writes with the same subject overwrite each other."""
    wanted: bool | int
    node: str
    asked_s: float
    acknowledged_s: float = math.inf
    kind: str = ""
    """Of the record that says so; empty for the data of instances."""
    version: int = 0
    """The version that the node had of an instance when it acknowledged."""
    doubtful: bool = False
    """Who had it may have lost it: a disk is gone, or a process, or a lease ran out where nobody else knew of it."""


def allowed(writes: Sequence[Write], *, margin_s: float) -> set[bool | int]:
    """What the last of these writes, all about one thing, allow; nothing when none of them is certain.

    Of two that are closer than clocks can tell, either may win.
    """
    firm = [write for write in writes if not write.doubtful and write.acknowledged_s < math.inf]
    if not firm:
        return set()
    last_s = max(write.asked_s for write in firm)
    return {write.wanted for write in writes if _end_s(write) + margin_s >= last_s}


def _end_s(write: Write) -> float:
    """When it had taken effect at the latest."""
    return write.acknowledged_s if write.acknowledged_s < math.inf else write.asked_s + 60.0


@dataclass(slots=True)
class Truth:
    """All of it."""

    instances: dict[Key, TrueInstance] = field(default_factory=dict[Key, TrueInstance])
    writes: list[Write] = field(default_factory=list[Write])
    """Of operators."""
    registrations: dict[Key, list[Write]] = field(default_factory=dict[Key, list[Write]])
    """By instance: the data of each registration."""

    def put(self, instance: TrueInstance) -> None:
        """A process begins. It takes the place of its predecessor."""
        before = self.instances.get(instance.key)
        if before is not None:
            instance.heard = dict(before.heard)
        self.instances[instance.key] = instance

    def registered(self, key: Key, write: Write) -> None:
        """An instance registered, or may have."""
        self.registrations.setdefault(key, []).append(write)


def data_text(data: int) -> str:
    """How a number is written in the metadata of an instance."""
    return f"no. {data}."
