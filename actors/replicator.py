"""The replicator of one peer: keeps a link to it up, tells it what happens here, and keeps both equal.

Anti-entropy runs on every new link, every 30 s, and whenever the teller had to drop something.
"""

import logging
import random
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from .backoff import Backoff
from .clock import Clock
from .cluster_settings import LinkSettings
from .conversation import Conversation
from .framing import BadFrame
from .handshake import ITSELF, Refused
from .links import PeerLinks
from .ports import BadRow, DialFailed, LinkLost
from .quoting import quoted
from .reconciler import Reconciler, Round
from .tables import Tables
from .teller import Teller, TellerStatistics

logger = logging.getLogger(__name__)

YIELD_S: Final = 2.0
"""After a new link one of the two nodes starts the first round; the other waits so long, and finds little to do."""
NEWCOMER_S: Final = 10.0
"""How long a peer that is starting may take to fetch everything before we offer it."""
STABLE_S: Final = 1.0
"""A link that lasted so long was worth dialling; the next attempt follows soon."""
ROUND_PAUSE_S: Final = 1.0
"""Between two rounds, whatever the reason for the second."""


class Hub(Protocol):
    """What a replicator needs of its node."""

    async def dial(self, url: str, answered: trio.Event) -> Conversation:
        """A link to the peer, introduced. Raises DialFailed, Refused, LinkLost or BadFrame.

        `answered` is set as soon as somebody takes the connection.
        """
        ...

    async def converse(self, url: str, conversation: Conversation) -> None:
        """Run a conversation to its end, as one with this peer."""
        ...

    def attempted(
        self, url: str, *, refused: bool, problem: str, answered: bool = False, refusal: Refused | None = None
    ) -> None:
        """Dialling the peer led to nothing, or what it led to has ended."""
        ...

    def synchronised(self, url: str) -> None:
        """A round of anti-entropy with the peer is complete."""
        ...

    def begins(self, conversation: Conversation) -> bool:
        """Whether it is on us to start the first round on this link."""
        ...


@dataclass(slots=True)
class Rounds:
    """Anti-entropy with one peer, counted since its replicator was built."""

    done: int = 0
    failed: int = 0
    repaired: int = 0
    """Rows that moved, in either direction."""
    last: Round = field(default_factory=Round)
    last_s: float = 0.0
    """How long the last round took."""


@dataclass(frozen=True, slots=True)
class ReplicatorStatistics:
    teller: TellerStatistics
    rounds: Rounds
    dials: int
    problem: str
    """Why there is no link of our own; empty while there is one."""


class Replicator:
    """One peer, seen from here."""

    def __init__(
        self,
        url: str,
        *,
        hub: Hub,
        links: PeerLinks,
        tables: Tables,
        reconciler: Reconciler,
        clock: Clock,
        rng: random.Random,
        settings: LinkSettings,
    ) -> None:
        self.url = url
        self._hub = hub
        self._links = links
        self._reconciler = reconciler
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._reconcile_soon = trio.Event()
        self._rounds = Rounds()
        self._dials = 0
        self._problem = ""
        self._complained = ""
        """Code of the refusal that the log has been told of."""
        self.teller = Teller(
            links, tables, clock=clock, settings=settings, overflowed=lambda: self._reconcile_soon.set()
        )

    def __repr__(self) -> str:
        return f"<Replicator {self.url} [{'linked' if self._links.current else 'not linked'}]>"

    def statistics(self) -> ReplicatorStatistics:
        return ReplicatorStatistics(self.teller.statistics(), self._rounds, self._dials, self._problem)

    def links_changed(self) -> None:
        """A conversation began or ended: there may be a new one to tell over and to compare over."""
        self.teller.links_changed()
        self._reconcile_soon.set()

    def reconcile(self) -> None:
        """Compare tables soon, without waiting for the next interval."""
        self._reconcile_soon.set()

    async def run(self) -> None:
        """Serve the peer until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._dial, name=f"dial {self.url}")
            nursery.start_soon(self.teller.run, name=f"tell {self.url}")
            nursery.start_soon(self._reconcile, name=f"reconcile {self.url}")

    async def _dial(self) -> None:
        settings = self._settings
        backoff = Backoff(min_s=settings.backoff_min_s, max_s=settings.backoff_max_s, rng=self._rng)
        while True:
            self._dials += 1
            refused, refusal = False, None
            answered = trio.Event()
            try:
                conversation = await self._hub.dial(self.url, answered)
                self._problem = self._complained = ""
                began_s = self._clock.now_s()
                await self._hub.converse(self.url, conversation)
                problem = conversation.reason or "closed"
                if self._clock.now_s() - began_s > STABLE_S:
                    backoff.reset()
            except DialFailed as failed:
                problem, refused = str(failed), failed.refused
            except (LinkLost, BadFrame) as lost:
                problem = str(lost)
                if isinstance(lost, Refused):
                    refusal = lost
                    self._complain(lost)
            self._problem = problem
            self._hub.attempted(self.url, refused=refused, problem=problem, answered=answered.is_set(), refusal=refusal)
            wait_s = backoff.next_s()
            # A peer that comes to us can most likely be reached, too. But somebody who refuses us stays the same.
            with trio.move_on_after(wait_s):
                await self._links.wait_accepted()

    def _complain(self, refused: Refused) -> None:
        """Something is configured wrongly: say so once, not with each attempt, even if the numbers in it change."""
        if refused.code not in (self._complained, ITSELF):  # of that the node as a whole complains
            self._complained = refused.code
            logger.error("no link to %s: %s", self.url, quoted(refused))

    async def _reconcile(self) -> None:
        settings = self._settings
        latest: Conversation | None = None
        while True:
            conversation = await self._links.wait_current()
            if conversation is not latest:
                latest = conversation
                if not await self._take_turn(conversation):
                    continue
            self._reconcile_soon = trio.Event()
            if not await self._round(conversation):
                continue
            await trio.sleep(min(ROUND_PAUSE_S, settings.anti_entropy_s))
            with trio.move_on_after(settings.anti_entropy_s * self._rng.uniform(0.8, 1.0)):
                await self._reconcile_soon.wait()

    async def _take_turn(self, conversation: Conversation) -> bool:
        """On a new link, let one of the two nodes begin. False when the link is gone meanwhile."""
        if not self._hub.begins(conversation):
            newcomer = conversation.word.status == "starting"
            with trio.move_on_after(NEWCOMER_S if newcomer else YIELD_S):
                await conversation.closed.wait()
        return conversation.reason is None

    async def _round(self, conversation: Conversation) -> bool:
        """One round of anti-entropy. False when the link did not last."""
        began_s = self._clock.now_s()
        try:
            report = await self._reconciler.round(conversation)
        except LinkLost:
            self._rounds.failed += 1
            await conversation.closed.wait()
            return False
        except (BadFrame, BadRow) as error:
            self._rounds.failed += 1
            conversation.close(f"protocol error: {error}")
            return False
        self._rounds.done += 1
        self._rounds.last = report
        self._rounds.last_s = self._clock.now_s() - began_s
        self._rounds.repaired += report.pulled + report.pushed
        if report.abandoned:
            logger.warning(
                "after a long absence %d rows that %s no longer knows were dropped", report.abandoned, self.url
            )
        if report.differing:
            logger.info("reconciled with %s in %.2f s: %s", self.url, self._rounds.last_s, report)
        self._hub.synchronised(self.url)
        return True
