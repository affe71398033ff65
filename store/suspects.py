"""Suspects: leases that another node used to renew, while nothing is heard from that node."""

from .leases import Entry


class Suspects:
    """Which peers are out of reach, and since when, in lease time.

    Silence about an instance proves nothing while its messenger is out of reach. So such a lease does not expire, up
    to a ceiling; and when the messenger is back, it has one lease to speak before the lease may expire.
    """

    __slots__ = ("_ceiling_s", "_found", "_lost", "_met")

    def __init__(self, *, ceiling_s: float) -> None:
        self._ceiling_s = ceiling_s
        self._lost: dict[int, float] = {}
        self._found: dict[int, float] = {}
        self._met: set[int] = set()
        """Who was heard since this node started."""

    def lost(self, origin: int, *, lease_s: float) -> None:
        """Nothing is heard from this peer any more."""
        self._lost.setdefault(origin, lease_s)

    def found(self, origin: int, *, lease_s: float) -> None:
        """The peer is back, or here for the first time."""
        self._met.add(origin)
        if self._lost.pop(origin, None) is not None:
            self._found[origin] = lease_s

    def adopt(self, origin: int, *, lease_s: float) -> bool:
        """Others suspect what this peer renewed, and a node that starts has not heard it yet: it suspects, too.

        False when the peer was heard here: then this node can judge by itself.
        """
        if origin not in self._met:
            self._lost.setdefault(origin, lease_s)
        return origin in self._lost

    def left(self, origin: int) -> None:
        """The peer said goodbye: its silence is no riddle."""
        self._lost.pop(origin, None)
        self._found.pop(origin, None)

    def kept_until(self, entry: Entry, *, lease_s: float) -> float | None:
        """Until when, as things are, this entry is kept although its lease has run out; None when it is not."""
        if not entry.via:
            return None
        lost_s = self._lost.get(entry.via)
        if lost_s is not None:
            until_s = lost_s + self._ceiling_s
        else:
            found_s = self._found.get(entry.via)
            until_s = lease_s if found_s is None else found_s + entry.ttl_s
        # Counted from the end of the lease, too: a link that comes and goes must not begin the ceiling anew each time.
        until_s = min(until_s, entry.deadline_s + self._ceiling_s)
        return until_s if lease_s < until_s else None

    @property
    def has_met_peers(self) -> bool:
        """Whether any peer was heard since this node started."""
        return bool(self._met)

    def is_lost(self, origin: int) -> bool:
        return origin in self._lost

    @property
    def lost_origins(self) -> frozenset[int]:
        return frozenset(self._lost)
