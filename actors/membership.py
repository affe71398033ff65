"""Membership: who belongs to the cluster, what is known of each node, and whether this node is ready. Pure.

Theory of operation
* A peer is UNKNOWN until its first word, UP while it speaks, SUSPECT when its links are gone, or it is silent for
  `suspect_s`, or what it says takes so long to arrive, DOWN after `down_s` of silence, or at once when it said goodbye.
* Leases renewed through a peer are suspect from `suspect_s` of its silence until its next word. Not before: a link
  that breaks and is back at once proves nothing, and each return of a peer gives its leases more time. A peer that
  said goodbye leaves no suspects: its clients turn to other nodes, and those that do not are gone.
* This node is STARTING until one of these holds; then it is UP for good:
    1. there is nobody else;
    2. it has synchronised with a peer that is up (or draining);
    3. every peer was found to be absent (it refuses connections), or is starting too and has synchronised with us;
    4. for `bootstrap_s`, nobody who is up was heard of.
  While a peer that is up can be reached, only (2) counts: a node never hands out the lists of a table half filled.
"""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .cluster_settings import ClusterSettings, Dialect
from .frames import Word
from .handshake import Identity


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


SOURCES = frozenset({NodeStatus.UP.value, NodeStatus.DRAINING.value})
"""Nodes of which everything can be learnt that the cluster knows."""


RPC_SUSPECT_S = 8.0
"""Silence after which a peer that is asked every 5 s is suspect."""


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
    absent: bool = False
    """Its machine answered, and nobody listened there."""
    left: bool = False
    """It said goodbye."""
    lost: bool = False
    """It was silent for so long that what only it can know is kept."""
    synchronised: bool = False
    """A round of anti-entropy with it has been completed since its link came up."""
    problem: str = ""
    """Why there is no link, as far as known."""

    @property
    def origin(self) -> int | None:
        return None if self.identity is None else self.identity.origin


@dataclass(frozen=True, slots=True)
class PeerLost:
    """Nothing is heard from this node any more."""

    origin: int


@dataclass(frozen=True, slots=True)
class PeerFound:
    """This node is heard again."""

    origin: int


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """This node said goodbye."""

    origin: int


@dataclass(frozen=True, slots=True)
class BecameUp:
    """This node is ready."""

    reason: str


Transition = PeerLost | PeerFound | PeerLeft | BecameUp


class Membership:
    """The members as this node sees them. Methods are told what happened, and return what follows."""

    def __init__(self, settings: ClusterSettings, *, now_s: float) -> None:
        self._settings = settings
        self.members: dict[str, Member] = {
            url: Member(url, zone, settings.dialects.get(url, "link"))
            for zone, urls in settings.nodes.items()
            for url in urls
            if url != settings.url
        }
        """By URL: every other node."""
        self._status = NodeStatus.STARTING
        self._started_s = now_s
        self._source_heard_s = now_s
        """When a node that is up was heard of last; the start of this node, if never."""

    # This node

    @property
    def status(self) -> NodeStatus:
        forced = self._settings.forced
        if self._status is NodeStatus.DRAINING:
            return self._status
        if forced.down:
            return NodeStatus.DOWN
        return NodeStatus.UP if forced.up else self._status

    @property
    def is_synchronised(self) -> bool:
        """Whether this node found out that it knows what there is to know, whatever an operator forced."""
        return self._status is not NodeStatus.STARTING

    @property
    def can_register(self) -> bool | None:
        """As in the RPC API: None until known."""
        return self._can(forced_up=self._settings.forced.registry_up, forced_down=self._settings.forced.registry_down)

    @property
    def can_discover(self) -> bool | None:
        return self._can(forced_up=self._settings.forced.discovery_up, forced_down=self._settings.forced.discovery_down)

    def _can(self, *, forced_up: bool, forced_down: bool) -> bool | None:
        status = self.status
        if status is NodeStatus.UP:
            return True
        if status in (NodeStatus.DOWN, NodeStatus.DRAINING):
            return False
        if forced_down:
            return False
        return True if forced_up else None

    def drain(self) -> None:
        """This node is about to stop."""
        self._status = NodeStatus.DRAINING

    # What is told of others

    def attempted(self, url: str, *, refused: bool, problem: str) -> None:
        """Dialling a member failed."""
        member = self.members[url]
        member.problem = problem
        if refused:
            member.absent = True

    def opened(self, url: str, identity: Identity, word: Word, *, now_s: float, now_ms: int) -> list[Transition]:
        """A link to or from a member is open."""
        member = self.members.get(url)
        if member is None:
            # It may have been here before, have been lost, and have been forgotten since.
            member = self.members[url] = Member(url, identity.zone, configured=False, lost=True)
        replaced: list[Transition] = []
        if member.lost and member.identity is not None and member.identity.origin != identity.origin:
            replaced.append(PeerFound(member.identity.origin))  # never to be heard again under that name
        if member.identity is None or member.identity.incarnation != identity.incarnation:
            member.synchronised = False
        member.identity = identity
        member.links += 1
        member.absent = member.left = False
        member.problem = ""
        return replaced + self.told(url, word, now_s=now_s, now_ms=now_ms)

    def closed(self, url: str, *, problem: str) -> None:
        """A link to or from a member has ended."""
        member = self.members[url]
        member.links -= 1
        assert member.links >= 0
        if member.links:
            return
        member.synchronised = False
        member.problem = problem
        if member.state is PeerState.UP:
            member.state = PeerState.SUSPECT

    def heard(self, url: str, *, now_s: float, now_ms: int, late_s: float = 0.0) -> list[Transition]:
        """A member said something, and it took up to `late_s` to arrive: old words are as good as silence."""
        member = self.members.get(url)
        if member is None or member.left:
            return []
        member.heard_s, member.heard_ms = max(member.heard_s or 0.0, now_s - late_s), now_ms
        if member.word is not None and member.word.status in SOURCES:
            self._source_heard_s = now_s
        if late_s > self._settings.suspect_s:
            return []
        member.state = PeerState.UP
        if not member.lost or member.origin is None:
            return []
        member.lost = False
        return [PeerFound(member.origin)]

    def told(self, url: str, word: Word, *, now_s: float, now_ms: int, late_s: float = 0.0) -> list[Transition]:
        """A member told how it is; see `heard`."""
        member = self.members.get(url)
        if member is None or member.left:
            return []
        member.word = word
        return self.heard(url, now_s=now_s, now_ms=now_ms, late_s=late_s)

    def said_goodbye(self, url: str) -> list[Transition]:
        """A member stops in good order."""
        member = self.members.get(url)
        if member is None:
            return []
        member.left, member.lost = True, False
        member.state = PeerState.DOWN
        member.word = None
        return [] if member.origin is None else [PeerLeft(member.origin)]

    def synchronised(self, url: str) -> None:
        """A round of anti-entropy with a member is complete."""
        member = self.members.get(url)
        if member is not None:
            member.synchronised = True

    # What time does

    def tick(self, *, now_s: float) -> list[Transition]:
        """Notice silence, and whether this node is ready."""
        transitions: list[Transition] = []
        for member in list(self.members.values()):
            transitions += self._grow_suspicious(member, now_s=now_s)
            if not member.configured and not member.links and member.state is PeerState.DOWN:
                del self.members[member.url]
        reason = self._ready(now_s=now_s)
        if reason is not None:
            self._status = NodeStatus.UP
            transitions.append(BecameUp(reason))
        return transitions

    def _grow_suspicious(self, member: Member, *, now_s: float) -> Iterator[Transition]:
        if member.heard_s is None or member.left:
            return
        silence_s = now_s - member.heard_s
        if silence_s > (RPC_SUSPECT_S if member.dialect == "rpc" else self._settings.suspect_s):
            if member.state is PeerState.UP:
                member.state = PeerState.SUSPECT
            if not member.lost and member.origin is not None:
                member.lost = True
                yield PeerLost(member.origin)
        if member.state is PeerState.SUSPECT and silence_s > self._settings.down_s:
            member.state = PeerState.DOWN

    def _ready(self, *, now_s: float) -> str | None:
        """Why this node may call itself up now; None if it may not, or does already."""
        if self._status is not NodeStatus.STARTING:
            return None
        others = [member for member in self.members.values() if member.configured or member.links]
        if not others:
            return "there is no other node"
        sources = [member for member in others if member.state is PeerState.UP and _is_source(member)]
        for member in sources:
            if member.synchronised:
                return f"synchronised with {member.url}"
        if sources:
            return None
        if all(_adds_nothing(member) for member in others):
            return "no other node is up"
        if now_s - max(self._started_s, self._source_heard_s) >= self._settings.bootstrap_s:
            return f"no node that is up was heard of for {self._settings.bootstrap_s:g} s"
        return None


def _is_source(member: Member) -> bool:
    return member.word is not None and member.word.status in SOURCES


def _adds_nothing(member: Member) -> bool:
    """Whether nothing can be learnt from a member that we do not know: it is not there, or is new itself."""
    return member.left or (member.links == 0 and member.absent) or (member.synchronised and not _is_source(member))


def find_self(nodes: Iterable[str], *, host: str, port: int) -> str | None:
    """The URL among these that means this node: its host and port are ours."""
    wanted = {f"{host}:{port}"} | ({host} if port == 80 else set())
    for url in nodes:
        if url.removeprefix("http://").split("/", 1)[0].lower() in {text.lower() for text in wanted}:
            return url
    return None
