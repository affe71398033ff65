"""What the cluster shows of itself: to the status calls, to metrics, to people."""

from collections.abc import Mapping
from dataclasses import dataclass

from .conversation import Conversation
from .exchange import LinkStatistics
from .members import Member
from .replicator import ReplicatorStatistics


@dataclass(frozen=True, slots=True)
class LinkView:
    """One open link."""

    peer: str
    dialled: bool
    age_s: float
    drift_ms: int
    statistics: LinkStatistics


@dataclass(frozen=True, slots=True)
class ClusterStatistics:
    """Everything that metrics show of the cluster."""

    links: list[LinkView]
    replicators: Mapping[str, ReplicatorStatistics]
    peer_states: Mapping[str, str]
    links_closed: int
    """Links that have ended since this node started."""
    closed_frames_sent: Mapping[str, int]
    """By kind, over links that have ended; add the open ones."""
    closed_frames_received: Mapping[str, int]
    closed_bytes_sent: int
    closed_bytes_received: int
    closed_rows_refused: int


def convergence_of(
    own: Mapping[str, int], members: Mapping[str, Member], conversations: Mapping[Conversation, str]
) -> dict[str, object]:
    """The `convergence` block: own digests, and each peer's next to them."""
    linked: dict[str, list[str]] = {}
    drift_ms: dict[str, int] = {}
    for conversation, url in conversations.items():
        linked.setdefault(url, []).append("to" if conversation.dialled else "from")
        drift_ms[url] = conversation.drift_ms
    peers: dict[str, object] = {}
    for url, member in members.items():
        theirs = None if member.word is None else member.word.digests or None
        equal = None if theirs is None else {name: theirs.get(name) == digest for name, digest in own.items()}
        peers[url] = {
            "state": member.state.value,
            "status": None if member.word is None else member.word.status,
            "lastHeard": member.heard_ms or None,
            "instances": None if member.word is None else member.word.live,
            "equal": None if equal is None else all(equal.values()),
            "tables": equal,
            "clockDriftMs": drift_ms.get(url),
            "links": sorted(linked.get(url, ())),
            "problem": member.problem or None,
        }
    return {"digests": {name: f"{digest:016x}" for name, digest in own.items()}, "peers": peers}
