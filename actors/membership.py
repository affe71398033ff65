"""Membership: who belongs to the cluster, what is known of each node, and whether this node is ready. Pure.

Theory of operation
* A peer is UNKNOWN until its first word, UP while it speaks, SUSPECT when its links are gone, or it is silent for
  `suspect_s`, or what it says takes so long to arrive, DOWN after `down_s` of silence, or at once when it said goodbye.
* Leases renewed through a peer are suspect from `suspect_s` of its silence until its next word. Not before: a link
  that breaks and is back at once proves nothing, and each return of a peer gives its leases more time. A peer that
  said goodbye leaves no suspects: its clients turn to other nodes, and those that do not are gone.
* This node is STARTING until it may call itself up, for good: see readiness.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .cluster_settings import ClusterSettings
from .frames import Word
from .handshake import Identity, Refused
from .members import SOURCES, Member, NodeStatus, PeerState, Reach
from .readiness import Verdict, judge

RPC_SUSPECT_S = 8.0
"""Silence after which a peer that is asked every 5 s is suspect."""


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
        self.verdict = Verdict(ready=False, reason="looking for other nodes")
        """Of the last tick before this node was up."""
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
    def reason(self) -> str:
        """Why this node is not up, for people; empty when it is."""
        match self.status:
            case NodeStatus.DRAINING:
                return "this node is stopping"
            case NodeStatus.DOWN:
                return "cluster.force_down is set"
            case NodeStatus.STARTING:
                return self.verdict.reason
            case NodeStatus.UP:
                return ""

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

    def answered(self, url: str) -> None:
        """Somebody took the connection that we dial to a member. What he is will be seen."""
        member = self.members[url]
        if member.reach is not Reach.REFUSES:
            member.reach = Reach.ANSWERS

    def attempted(
        self, url: str, *, refused: bool, problem: str, answered: bool = False, refusal: Refused | None = None
    ) -> None:
        """Dialling a member failed: the connection was `refused`; or it was `answered`, perhaps with a `refusal`."""
        member = self.members[url]
        member.problem = problem
        member.refusal = refusal
        if refusal is not None and refusal.code != "leaving":
            member.reach = Reach.REFUSES
        elif refused:
            member.reach = Reach.ABSENT
        else:
            member.reach = Reach.ANSWERS if answered else Reach.SILENT

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
        member.left = False
        member.reach = Reach.UNKNOWN
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
        if self._status is NodeStatus.STARTING:
            self.verdict = judge(
                self._settings,
                self.members.values(),
                now_s=now_s,
                started_s=self._started_s,
                source_heard_s=self._source_heard_s,
            )
            if self.verdict.ready:
                self._status = NodeStatus.UP
                transitions.append(BecameUp(self.verdict.reason))
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


def find_self(nodes: Iterable[str], *, host: str, port: int) -> str | None:
    """The URL among these that means this node: its host and port are ours."""
    wanted = {f"{host}:{port}"} | ({host} if port == 80 else set())
    for url in nodes:
        if url.removeprefix("http://").split("/", 1)[0].lower() in {text.lower() for text in wanted}:
            return url
    return None
