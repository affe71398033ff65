"""What the cluster needs of the world: a link to a peer, somebody who dials one, and tables that can be compared.

`transport` implements links over WebSocket, simulation in memory. The tables implement `Replica`.

    LinkLost            the conversation is over, whoever ended it
    └── DialFailed      it never began
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from artemis.store.contacts import Absence
from artemis.store.leases import Entry


class LinkLost(Exception):
    """The link is gone, or the peer is too slow or too silent to be worth keeping it."""


class DialFailed(LinkLost):
    """No link came about. `refused` tells that the machine answered, and nobody listens there."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class BadRow(ValueError):
    """A peer sent a row that is not what its table holds."""


class Link(Protocol):
    """Binary frames to and from one peer, in order, each whole or not at all."""

    async def send(self, frame: bytes, /) -> None:
        """Hand one frame to the network; waits while the peer does not read. Raises LinkLost."""
        ...

    async def receive(self) -> bytes:
        """The next frame. Raises LinkLost when the link has ended, in whatever way."""
        ...

    async def aclose(self) -> None:
        """End the link. Never raises; the caller bounds how long it may take."""
        ...


class Dialer(Protocol):
    async def dial(self, peer: str, *, answered: Callable[[], None]) -> Link:
        """A link to the node of this URL. Raises DialFailed. The caller bounds how long it may take.

        `answered` is called as soon as somebody takes the connection, whatever comes of it.
        """
        ...


State = tuple[str, int, bytes | None, int, int]
"""One row of a replicated table, as it travels: key, version, value (None for a tombstone), age in milliseconds of the
last word about it, and origin of the node that heard it. Age and origin are 0 where they mean nothing."""


class Replica(Protocol):
    """A table in which the higher version of a key wins, on every node and in any order.

    `absorb` does whatever must follow from news: store it, tell subscribers. It is given rows without a `problem`.
    """

    @property
    def name(self) -> str: ...

    @property
    def count(self) -> int:
        """About how many rows there are."""
        ...

    def digests(self) -> list[int]:
        """One number for each of 256 buckets; equal numbers mean equal keys and versions."""
        ...

    def all_versions(self, buckets: Iterable[int]) -> Iterable[tuple[int, str, int]]:
        """Bucket, key and version of everything in these buckets, tombstones included."""
        ...

    def version_of(self, key: str) -> int:
        """The version held of a key; 0 when it is not held."""
        ...

    def states(self, keys: Iterable[str], *, now_s: float, bare: bool = False) -> Sequence[State]:
        """What is known of these keys now; unknown ones are left out. `bare`: an empty value for each that lives."""
        ...

    def offered(
        self, keys: Sequence[str], *, held: Container[str], linked_s: float, now_s: float, now_ms: int
    ) -> Sequence[str]:
        """Which of these keys a peer is offered, that has an older version of those in `held`, and none of the others.

        It has been up and linked to us for `linked_s` seconds. What is kept here out of doubt, though the peer has
        given it up, is given up here, too.
        """
        ...

    def problem(self, state: State) -> str | None:
        """Why a row of a peer cannot be taken over; None when it can."""
        ...

    async def absorb(self, states: Sequence[State], *, via: int, now_s: float, now_ms: int) -> int:
        """Take over what is newer; `via` is the origin of who told us. Returns how many rows changed."""
        ...

    # Long absences; peers by node id. See store/contacts.py

    def met(self, peer: str, *, now_s: float, now_ms: int) -> None:
        """The peer knows all that is held here, at this moment."""
        ...

    def completed(self, peer: str, *, began_s: float, began_ms: int, memory_ms: int) -> None:
        """A round with the peer is complete that began then; `memory_ms` is 0 when there was less to learn than all."""
        ...

    def remembers_ms(self, *, now_s: float) -> int:
        """How far back the memory of this table reaches without a gap."""
        ...

    def absence(self, peer: str, *, memory_ms: int, now_s: float, now_ms: int) -> Absence | None:
        """What it means that the two have been apart, when it was for longer than tombstones live."""
        ...

    def uncertain(self, absence: Absence | None) -> Iterator[str | None]:
        """Keys about which a peer should be asked before it is offered anything. None between slices of the work."""
        ...

    def withholds(self, key: str, absence: Absence) -> bool:
        """Whether this peer must not be offered a row."""
        ...

    async def abandon(self, keys: Sequence[str], absence: Absence, *, now_ms: int) -> int:
        """The peer does not know these; drop what it must have known. Returns how many were dropped."""
        ...


class Renewable(Protocol):
    """The instances, as far as heartbeats travel: many small renewals instead of states."""

    @property
    def name(self) -> str:
        """Of the table that holds the states of what is renewed."""
        ...

    def renewals(self, entries: Iterable[Entry], *, now_s: float) -> list[tuple[str, int, int]]:
        """Key, version and age in milliseconds of those that still live."""
        ...

    def renew(self, renewals: Iterable[tuple[str, int, int]], *, via: int, now_s: float) -> list[str]:
        """Take over renewals that a peer heard. Returns the keys whose state must be asked for."""
        ...

    def peer_lost(self, origin: int, *, now_s: float) -> None: ...

    def peer_found(self, origin: int, *, now_s: float) -> None: ...

    def peer_left(self, origin: int) -> None: ...

    def joining(self, *, joins: bool, now_s: float) -> None:
        """Whether this node has still to learn what its peers know."""
        ...


AuditRow = tuple[int, int, int, bytes]
"""Origin, number within the origin (from 1, without gaps), epoch milliseconds, payload."""


class AuditReplica(Protocol):
    """The audit log: append-only, one numbered sequence per node, compared by the last number of each."""

    def vector(self) -> Mapping[int, int]:
        """By origin: the highest number held."""
        ...

    def after(self, vector: Mapping[int, int], limit: int) -> Sequence[AuditRow]:
        """At most `limit` rows beyond the vector, the numbers of each origin rising without a gap."""
        ...

    def problem(self, row: AuditRow) -> str | None:
        """Why a row of a peer cannot be taken over; None when it can."""
        ...

    async def absorb(self, rows: Sequence[AuditRow]) -> int:
        """Take over rows without a `problem`. They continue what is held; numbers left out between them were forgotten
        by the sender. Returns how many were new.
        """
        ...
