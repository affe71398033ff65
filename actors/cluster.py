"""The cluster as one node lives it: its peers, its links to them, and what it makes of their words.

The one owner of membership. Replicators dial through it, the listener brings it the links that peers dialled, and every
conversation reports here; what follows from that is done here: leases become suspect, this node becomes up.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from typing import Final

import trio

from .claims import Claims, IsAt, anywhere
from .clock import Clock, SetBacks
from .cluster_settings import ClusterSettings
from .cluster_views import ClusterStatistics, LinkView, convergence_of
from .conversation import Conversation
from .effects import PeerSink
from .exchange import LinkStatistics
from .frames import Goodbye, Word
from .framing import BadFrame
from .handshake import ITSELF, Acquaintance, Entropy, Handshake, Identity, Refused
from .links import PeerLinks
from .members import NodeStatus
from .membership import BecameUp, Membership, PeerFound, PeerLeft, PeerLost, Transition
from .namesakes import clash, clash_in_list
from .ports import Dialer, DialFailed, Link, LinkLost
from .quoting import quoted
from .reconciler import Reconciler, Turn
from .replicator import Replicator
from .seldom import SeldomEach
from .supervisor import Restarts, Supervisor
from .tables import Tables

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25
FAULT_S: Final = 600.0
"""Between two lines about something that somebody has to mend, and that is tried every few seconds meanwhile."""
GOODBYE_S: Final = 1.0
"""How long each peer may take to read our farewell."""


PATIENT: Final = Restarts(intensity=60, period_s=60.0, pause_s=5.0)
"""For replicators: whatever a peer does, it costs the link to that peer and never this node."""


class Cluster:
    """This node among the others. Start it once; it lives as long as its supervisor."""

    def __init__(
        self,
        settings: ClusterSettings,
        *,
        tables: Tables,
        sinks: MutableMapping[str, PeerSink],
        clock: Clock,
        dialer: Dialer,
        rng: random.Random,
        entropy: Entropy,
        incarnation: int,
        live_count: Callable[[], int],
        is_at: IsAt = anywhere,
    ) -> None:
        """`sinks` (Effects.peers) gets one entry per peer; `incarnation` rises with each start of the node."""
        self.settings = settings
        self.me = Identity(
            settings.cluster, settings.region, settings.zone, settings.node_id, settings.url, incarnation
        )
        self.membership = Membership(settings, now_s=clock.now_s())
        self.up = trio.Event()
        """Set when this node may be called ready."""
        self.replicators: dict[str, Replicator] = {}
        self.links: dict[str, PeerLinks] = {
            url: PeerLinks() for url, member in self.membership.members.items() if member.dialect == "link"
        }
        self._guests: dict[str, PeerLinks] = {}
        self._tables = tables
        self._sinks = sinks
        self._clock = clock
        self._dialer = dialer
        self._rng = rng
        self._live_count = live_count
        self._turn = Turn()
        self._refusals = SeldomEach()
        self._faults = SeldomEach(every_s=FAULT_S)
        self._set_backs = SetBacks(most_ms=round(settings.links.drift_max_s * 1000))
        self._leaving = False
        self._closed = LinkStatistics()
        """Sums over the links that have ended."""
        self._links_closed = 0
        self._urls: dict[Conversation, str] = {}
        self._claims = Claims(self.me, self.membership.members, is_at=is_at)
        self._handshake = Handshake(
            self.me,
            settings.secrets,
            clock=clock,
            entropy=entropy,
            word=self.own_word,
            objection=self._objection,
            claim=self._claim,
            drift_max_s=settings.links.drift_max_s,
        )
        if not settings.secrets and self.links:
            logger.warning("no cluster secret is configured: only peers on this machine are accepted")

    def __repr__(self) -> str:
        return f"<Cluster of {self.me} [{self.membership.status}, links: {len(self._urls)}]>"

    # Life

    def start(self, supervisor: Supervisor) -> None:
        """Start one replicator per peer, and the watch over all of them."""
        for url in self.links:
            supervisor.start(f"replicator {url}", partial(self._build_replicator, url), PATIENT)
        supervisor.start("membership", lambda: self)
        self._tables.instances.joining(joins=not self.membership.is_synchronised, now_s=self._clock.now_s())

    def _build_replicator(self, url: str) -> Replicator:
        replicator = Replicator(
            url,
            hub=self,
            links=self.links[url],
            tables=self._tables,
            reconciler=Reconciler(self._tables, clock=self._clock, rng=self._rng, turn=self._turn),
            clock=self._clock,
            rng=self._rng,
            settings=self.settings.links,
        )
        self.replicators[url] = replicator
        self._sinks[url] = replicator.teller
        return replicator

    async def run(self) -> None:
        """Notice what silence and time bring about."""
        while True:
            self._tick()
            self._set_backs.look(self._clock)
            await trio.sleep(TICK_S)

    def drain(self) -> None:
        """This node will stop: peers are told, and nobody is sent here any more."""
        self.membership.drain()
        self._announce()

    async def flush(self) -> None:
        """Wait until every peer that can be reached has acknowledged everything. The caller bounds it."""
        for replicator in list(self.replicators.values()):
            await replicator.teller.wait_idle()

    async def goodbye(self, reason: str) -> None:
        """Take leave of every peer, so that none waits for this node, and end all links."""
        self._leaving = True
        async with trio.open_nursery() as nursery:
            for conversation in list(self._urls):
                nursery.start_soon(self._part, conversation, reason)

    async def _part(self, conversation: Conversation, reason: str) -> None:
        with trio.move_on_after(GOODBYE_S):
            try:
                await conversation.send(Goodbye(reason))
            except LinkLost:
                return
        conversation.close(f"we left: {reason}")

    # Links: the hub of the replicators, and the session of the listener

    async def dial(self, url: str, answered: trio.Event) -> Conversation:
        """A link to a peer, introduced. Raises DialFailed, Refused, LinkLost or BadFrame."""
        if self._leaving:
            raise LinkLost("this node is leaving")

        def note() -> None:
            answered.set()
            self.membership.answered(url)

        link: Link | None = None
        with trio.move_on_after(self.settings.links.dial_s):
            link = await self._dialer.dial(url, answered=note)
        if link is None:
            raise DialFailed(f"no connection within {self.settings.links.dial_s:g} s")
        conversation = await self._introduce(link, self._handshake.greet(link), dialled=True)
        self._claims.answered(url, conversation.peer)
        return conversation

    async def accept(self, link: Link, peer_ip: str) -> None:
        """Converse with a peer that dialled us, until the link ends. The link is closed on return."""
        try:
            conversation = await self._introduce(link, self._handshake.admit(link, peer_ip), dialled=False)
        except (LinkLost, BadFrame) as error:
            self._not_accepted(peer_ip, error)
            return
        await self.converse(self._url_of(conversation.peer), conversation)

    def _not_accepted(self, peer_ip: str, error: LinkLost | BadFrame) -> None:
        """Who is not welcome tries again every few seconds. The numbers in the text may change, the code does not."""
        now_s = self._clock.now_s()
        if not isinstance(error, Refused):
            count = self._refusals.due(f"{peer_ip} {error}", now_s)
        else:
            count = 0 if error.code == ITSELF else self._faults.due(f"{peer_ip} {error.code}", now_s)
        if count:
            again = f" ({count} times)" if count > 1 else ""
            logger.warning("a peer at %s was not accepted: %s%s", quoted(peer_ip), quoted(error), again)

    async def converse(self, url: str, conversation: Conversation) -> None:
        """Run a conversation to its end, as one with this peer."""
        links = self.links.get(url) or self._guests.setdefault(url, PeerLinks())
        self._urls[conversation] = url
        links.put(conversation)
        opened = self.membership.opened(
            url, conversation.peer, conversation.word, now_s=self._clock.now_s(), now_ms=self._clock.now_ms()
        )
        self._follow([PeerFound(conversation.peer.origin), *opened])
        self._links_changed(url)
        logger.info("%s %s", "linked to" if conversation.dialled else "linked from", conversation.peer)
        try:
            await conversation.run()
        finally:
            del self._urls[conversation]
            self._closed.add(conversation.statistics)
            self._links_closed += 1
            links.drop(conversation)
            if not links.all():
                self._guests.pop(url, None)
            self.membership.closed(url, problem=conversation.reason or "")
            self._links_changed(url)
            logger.info("the link with %s ended: %s", conversation.peer, quoted(conversation.reason))

    async def _introduce(self, link: Link, handshake: Awaitable[Acquaintance], *, dialled: bool) -> Conversation:
        settings = self.settings.links
        introduced = False
        try:
            acquaintance = await self._bounded(handshake)
            introduced = True
        finally:
            if not introduced:
                with trio.move_on_after(GOODBYE_S, shield=True):
                    await link.aclose()
        if abs(acquaintance.drift_ms) > settings.drift_warn_s * 1000:
            logger.warning("the clock of %s is %+d ms off from ours", acquaintance.identity, acquaintance.drift_ms)
        return Conversation(
            link,
            acquaintance,
            dialled=dialled,
            owner=self,
            tables=self._tables,
            clock=self._clock,
            settings=settings,
        )

    async def _bounded(self, handshake: Awaitable[Acquaintance]) -> Acquaintance:
        try:
            with trio.fail_after(self.settings.links.handshake_s):
                return await handshake
        except trio.TooSlowError:
            raise LinkLost(f"no introduction within {self.settings.links.handshake_s:g} s") from None

    def _objection(self, them: Identity, word: Word) -> Refused | None:
        if self._leaving:
            return Refused("leaving", f"{self.me} is about to stop")
        for conversation in list(self._urls):
            verdict = clash(conversation.peer, conversation.word, them, word)
            if isinstance(verdict, Refused):
                return verdict
            if verdict:
                conversation.close(f"{them.url} is called {them.node_id}, too, and is up")
        return clash_in_list(them, self.membership.members)

    async def _claim(self, them: Identity, address: str) -> Refused | None:
        return await self._claims.objection(them, address, linked=[conversation.peer for conversation in self._urls])

    def _url_of(self, them: Identity) -> str:
        """The URL by which we know a node: ours, if it calls itself otherwise."""
        if them.url in self.links:
            return them.url
        for url, member in self.membership.members.items():
            if member.identity is not None and member.identity.node_id == them.node_id:
                return url
        return them.url

    def _links_changed(self, url: str) -> None:
        replicator = self.replicators.get(url)
        if replicator is not None:
            replicator.links_changed()

    def conversations(self) -> list[Conversation]:
        """The open links, with everybody."""
        return list(self._urls)

    def convergence(self) -> dict[str, object]:
        """The `convergence` block of the cluster status; `reason` tells why this node is not up."""
        block = convergence_of(self._tables.digests(), self.membership.members, self._urls)
        return {"reason": self.membership.reason or None, **block}

    def statistics(self) -> ClusterStatistics:
        """Everything that is counted."""
        now_s, closed = self._clock.now_s(), self._closed
        return ClusterStatistics(
            links=[
                LinkView(url, c.dialled, now_s - c.since_s, c.drift_ms, c.statistics) for c, url in self._urls.items()
            ],
            replicators={url: replicator.statistics() for url, replicator in self.replicators.items()},
            peer_states={url: member.state.value for url, member in self.membership.members.items()},
            links_closed=self._links_closed,
            closed_frames_sent=closed.frames_sent,
            closed_frames_received=closed.frames_received,
            closed_bytes_sent=closed.bytes_sent,
            closed_bytes_received=closed.bytes_received,
            closed_rows_refused=closed.rows_refused,
        )

    # What replicators report

    def attempted(
        self, url: str, *, refused: bool, problem: str, answered: bool = False, refusal: Refused | None = None
    ) -> None:
        self.membership.attempted(url, refused=refused, problem=problem, answered=answered, refusal=refusal)
        self._tick()

    def synchronised(self, url: str) -> None:
        self.membership.synchronised(url)
        self._tick()

    def polled(self, url: str, word: Word) -> None:
        """A peer of the RPC dialect told how it is."""
        self._follow(self.membership.told(url, word, now_s=self._clock.now_s(), now_ms=self._clock.now_ms()))
        self._tick()

    @property
    def is_synchronised(self) -> bool:
        """Whether this node knows what there is to know."""
        return self.membership.is_synchronised

    def begins(self, conversation: Conversation) -> bool:
        """A node that starts begins, and is left alone by others; else the smaller id does."""
        if not self.membership.is_synchronised:
            return True
        return conversation.word.status != NodeStatus.STARTING and self.me.node_id < conversation.peer.node_id

    # What conversations report

    def own_word(self) -> Word:
        """What this node says of itself now."""
        return Word(
            status=self.membership.status.value,
            now_ms=self._clock.now_ms(),
            can_register=self.membership.can_register,
            can_discover=self.membership.can_discover,
            allow_register=self.settings.allow_other_zones_registry,
            allow_discover=self.settings.allow_other_zones_discovery,
            live=self._live_count(),
            digests=self._tables.digests(),
            memory_ms=self._tables.memory_ms(),
        )

    def heard(self, conversation: Conversation) -> None:
        url = self._urls.get(conversation)
        if url is not None:
            now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
            late_s = self._late_s(url, now_s=now_s)
            self._follow(self.membership.heard(url, now_s=now_s, now_ms=now_ms, late_s=late_s))

    def told(self, conversation: Conversation, word: Word) -> None:
        url = self._urls.get(conversation)
        if url is not None:
            now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
            late_s = self._late_s(url, now_s=now_s)
            self._follow(self.membership.told(url, word, now_s=now_s, now_ms=now_ms, late_s=late_s))

    def _late_s(self, url: str, *, now_s: float) -> float:
        """How old what a peer says may be. Heartbeats come over one of its links only: the slowest counts."""
        return max(conversation.late_s(now_s) for conversation, other in self._urls.items() if other == url)

    def acknowledged(self, conversation: Conversation, sequence: int) -> None:
        replicator = self.replicators.get(self._urls.get(conversation, ""))
        if replicator is not None:
            replicator.teller.acknowledged(sequence)

    def said_goodbye(self, conversation: Conversation, reason: str) -> None:
        url = self._urls.get(conversation)
        if url is not None:
            logger.info("%s left: %s", conversation.peer, quoted(reason))
            self._follow(self.membership.said_goodbye(url))

    # What follows

    def _tick(self) -> None:
        self._follow(self.membership.tick(now_s=self._clock.now_s()))
        if self.membership.status is NodeStatus.UP and not self.up.is_set():
            self.up.set()
            self._announce()
        verdict = self.membership.verdict
        if (
            self.membership.status is NodeStatus.STARTING
            and verdict.fault
            and self._faults.due(verdict.fault, self._clock.now_s())
        ):
            logger.error("this node is not ready: %s", quoted(verdict.reason))

    def _follow(self, transitions: Iterable[Transition]) -> None:
        instances, now_s = self._tables.instances, self._clock.now_s()
        for transition in transitions:
            match transition:
                case PeerLost(origin=origin):
                    instances.peer_lost(origin, now_s=now_s)
                case PeerFound(origin=origin):
                    instances.peer_found(origin, now_s=now_s)
                case PeerLeft(origin=origin):
                    instances.peer_left(origin)
                case BecameUp(reason=reason):
                    logger.info("this node is up: %s", reason)
                    instances.joining(joins=False, now_s=now_s)
                    self._announce()

    def _announce(self) -> None:
        for conversation in self._urls:
            conversation.announce()
