"""How the nodes of a cluster treat each other: every deadline, interval and bound, with its consequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from artemis.store.versions import AHEAD_MAX_MS

Dialect = Literal["link", "rpc"]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Deadlines and bounds of the links between nodes. Times in seconds."""

    dial_s: float = 3.0
    """Longer than this a dial does not take: the peer counts as unreachable."""
    handshake_s: float = 5.0
    """Longer than this nobody may take to say who he is."""
    ping_s: float = 1.0
    silence_s: float = 5.0
    """A ping that is not answered for so long ends the link."""
    send_s: float = 5.0
    """A peer that does not read for so long loses its link, and is reconciled when it is back."""
    ack_s: float = 10.0
    """A frame that is not acknowledged for so long ends the link."""
    answer_s: float = 10.0
    """A question whose answer makes no progress for so long ends the link."""
    backoff_min_s: float = 0.1
    backoff_max_s: float = 5.0
    """Between two attempts to dial; the wait doubles, and has jitter."""
    renewals_s: float = 0.1
    """Heartbeats are collected for so long, and leave as one frame."""
    anti_entropy_s: float = 30.0
    drift_warn_s: float = 1.0
    drift_max_s: float = AHEAD_MAX_MS / 1000
    """A peer whose clock is further away is refused, or loses its link; no row dated further ahead is taken over."""
    window_frames: int = 8
    """Frames under way without acknowledgement. With more to say, news collects in the outbox."""
    outbox_keys: int = 200_000
    """Keys that wait for one peer. One more, and they are dropped and the peer is reconciled."""


@dataclass(frozen=True, slots=True)
class Forced:
    """What an operator decided about this node's status, whatever the node finds out."""

    up: bool = False
    down: bool = False
    registry_up: bool = False
    registry_down: bool = False
    discovery_up: bool = False
    discovery_down: bool = False


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Who this node is, who else there is, and how they treat each other."""

    cluster: str
    region: str
    zone: str
    node_id: str
    url: str
    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """URLs by zone, this node included. The spelling here is the name of a node, so it must be the same everywhere."""
    dialects: Mapping[str, Dialect] = field(default_factory=dict[str, Dialect])
    secrets: Sequence[str] = field(default=(), repr=False)
    """This node proves that it knows the first, and accepts peers that know any. None: peers on this machine only."""
    forced: Forced = Forced()
    allow_other_zones_registry: bool = True
    allow_other_zones_discovery: bool = True
    bootstrap_s: float = 4.0
    """A starting node that for so long found nobody who is up concludes that there is nobody."""
    patience_s: float = 30.0
    """A peer that takes connections, or that is starting too, is waited for no longer than this after our start."""
    suspect_s: float = 2.5
    """A peer that is silent for so long is suspect: what only it can know is kept."""
    down_s: float = 10.0
    """A peer that is silent for so long is shown as down."""
    links: LinkSettings = LinkSettings()
