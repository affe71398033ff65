"""Contacts: when this node and each peer last held the same, and what follows when that was too long ago. Pure.

Theory of operation
* A tombstone outlives every older message, but only for so long as it lives. A node that was cut off for longer may
  hold what its peers have removed, and what no tombstone remembers any more. Versions cannot tell: nobody has one.
* So a node keeps, for each peer, the last moment at which all that it held was known to that peer. What it held then,
  has not been heard of since, and the peer does not know now, is gone: the peer once knew it, and would still, had it
  not been removed or expired there. The peer's word counts, and the row is dropped here.
* The word counts only if the peer's own memory has no gap since that moment. Each node tells how far back its memory
  reaches. That of instances begins when the process does, for after a restart leases of grace end that others may have
  seen renewed; that of records begins with the data. A node that has taken over everything that an up node holds
  remembers as far back as that one does.
* What was heard since lives, whoever lacks it. What came here after the last contact was never known to the peer.
* Wall time is used only for contacts before this process began; while it runs, the larger of both clocks counts. A wall
  clock that went back, or a contact that nobody wrote down, is an absence of unknown length: nothing unheard is offered
  to the peer, and nothing is dropped on its word. A wall clock that jumped ahead makes a short absence look long: the
  peer is asked about more, and knows it all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PEERS_MAX: Final = 1_000
"""Contacts that are kept. Of more, the oldest is forgotten, as if there had never been one."""

EARLY: Final = 0.9
"""An absence is long after this part of the life of a tombstone: one must not be forgotten while two nodes compare."""

STORED_LATE_MS: Final = 5_000
"""Contacts on disk are older than the last one was by less than this."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The last moment at which a peer knew all that this node held."""

    wall_ms: int
    now_s: float | None = None
    """None when it was before this process began."""
    lease_s: float = -math.inf


@dataclass(frozen=True, slots=True)
class Absence:
    """This node and a peer have been apart for longer than tombstones live."""

    contact: Contact | None
    """None when there was none, as far as is known."""
    conclusive: bool
    """The peer would still know whatever it knew at the last contact, had it not been removed or expired there."""


class Contacts:
    """The contacts of one table with every peer, by node id, and how far back this node's own memory reaches."""

    def __init__(self, stored: Mapping[str, int] | None = None, *, memory_ms: int = 0, now_s: float = 0.0) -> None:
        """`stored`: wall times of contacts before this process began; `memory_ms`: how far back memory reaches now."""
        self._contacts = {peer: Contact(wall_ms) for peer, wall_ms in (stored or {}).items()}
        self._memory_ms = memory_ms
        self._since_s = now_s

    def met(self, peer: str, *, now_s: float, now_ms: int, lease_s: float = -math.inf) -> None:
        """At this moment the peer knew everything that is held here."""
        known = self._contacts.pop(peer, None)
        if known is not None and known.now_s is not None and known.now_s > now_s:
            self._contacts[peer] = known
            return
        self._contacts[peer] = Contact(now_ms, now_s, lease_s)
        if len(self._contacts) > PEERS_MAX:
            del self._contacts[next(iter(self._contacts))]

    def remembers_ms(self, *, now_s: float) -> int:
        """How far back memory reaches without a gap."""
        return self._memory_ms + max(0, int((now_s - self._since_s) * 1000))

    def inherit(self, memory_ms: int, *, now_s: float) -> None:
        """Everything was taken over that an up peer holds, whose memory reaches so far back."""
        self._memory_ms += max(0, memory_ms - self.remembers_ms(now_s=now_s))

    def lost_memory(self, *, now_s: float) -> None:
        """This process did not run for long: what it does not know now, others may have heard of meanwhile."""
        self._memory_ms, self._since_s = 0, now_s

    def absence(self, peer: str, *, ttl_ms: int, memory_ms: int, now_s: float, now_ms: int) -> Absence | None:
        """What being apart means now; None when tombstones (`ttl_ms`) remember everything since the last contact.

        `memory_ms` is how far back the memory of the peer reaches; 0 when its word does not count.
        """
        contact = self._contacts.get(peer)
        if contact is None:
            return Absence(None, conclusive=False)
        apart_ms = now_ms - contact.wall_ms
        if contact.now_s is not None:
            apart_ms = max(apart_ms, int((now_s - contact.now_s) * 1000))
        if apart_ms < 0:
            return Absence(contact, conclusive=False)
        if apart_ms <= EARLY * ttl_ms:
            return None
        return Absence(contact, conclusive=memory_ms >= apart_ms)

    def stored(self) -> dict[str, int]:
        """Wall times of the contacts by node id, to be kept beyond this process."""
        return {peer: contact.wall_ms for peer, contact in self._contacts.items()}
