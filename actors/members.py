"""Members: what is known of each other node. Pure."""

import enum
from dataclasses import dataclass

from .cluster_settings import Dialect
from .frames import Word
from .handshake import Identity, Refused


class NodeStatus(enum.StrEnum):
    """What a node says of itself."""

    STARTING = "starting"
    UP = "up"
    DRAINING = "draining"
    DOWN = "down"


class PeerState(enum.StrEnum):
    """What this node thinks of another one."""

    UNKNOWN = "unknown"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


class Reach(enum.Enum):
    """What came of the last attempt to dial a member to which there is no link."""

    UNKNOWN = enum.auto()
    ABSENT = enum.auto()
    """Its machine says that nobody listens there."""
    SILENT = enum.auto()
    """Nothing answers."""
    ANSWERS = enum.auto()
    """Somebody takes the connection, and has not introduced himself."""
    REFUSES = enum.auto()
    """It does not want us, or we do not want it."""


SOURCES = frozenset({NodeStatus.UP.value, NodeStatus.DRAINING.value})
"""Nodes of which everything can be learnt that the cluster knows."""


@dataclass(slots=True)
class Member:
    """One other node."""

    url: str
    zone: str
    dialect: Dialect = "link"
    configured: bool = True
    """False for a node that is not in our list, but knows the secret: it may be new, and our list old."""
    state: PeerState = PeerState.UNKNOWN
    identity: Identity | None = None
    word: Word | None = None
    links: int = 0
    heard_s: float | None = None
    heard_ms: int = 0
    """Wall time of the last word; 0 when there was none."""
    reach: Reach = Reach.UNKNOWN
    refusal: Refused | None = None
    """The last one; it counts while `reach` says so."""
    left: bool = False
    """It said goodbye."""
    lost: bool = False
    """It was silent for so long that what only it can know is kept."""
    synchronised: bool = False
    """A round of anti-entropy with it has been completed since its link came up."""
    problem: str = ""
    """Why there is no link, as far as known."""

    @property
    def refuses(self) -> Refused | None:
        """The refusal that keeps us apart now."""
        return self.refusal if self.reach is Reach.REFUSES and not self.links else None

    @property
    def origin(self) -> int | None:
        return None if self.identity is None else self.identity.origin
