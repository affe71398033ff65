"""What really is: which instances live, who heard of them when, and what operators were promised.

Kept by the clients of the simulation as they go, and read by the checkers. No node ever sees it.
"""

import enum
import math
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

    def unsure(self) -> None:
        """It is about to change or to unregister: nodes may know before it does that they have been told."""
        self.confirmed, self.steady_s = False, math.inf

    def is_steady(self, *, now_s: float, every_s: float) -> bool:
        """Whether its heartbeats come through, at least every third."""
        return self.fate is Fate.LIVING and self.confirmed and now_s - self.heard_s <= every_s


@dataclass(slots=True, eq=False)
class Write:
    """What an operator asked for: that an operation on something is, or is not, in force."""

    subject: str
    """What it is about; two writes with the same subject overwrite each other."""
    wanted: bool | int
    node: str
    asked_s: float
    acknowledged_s: float = math.inf
    doubtful: bool = False
    """The only disk that had it was lost."""


@dataclass(slots=True)
class Truth:
    """All of it."""

    instances: dict[Key, TrueInstance] = field(default_factory=dict[Key, TrueInstance])
    writes: list[Write] = field(default_factory=list[Write])

    def put(self, instance: TrueInstance) -> None:
        """A process begins. It takes the place of its predecessor."""
        self.instances[instance.key] = instance
