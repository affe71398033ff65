"""Effects: who is told after a change. Synchronous, and never waiting for anybody."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from artemis.store.changes import ServiceChange
from artemis.store.leases import Entry

if TYPE_CHECKING:
    from artemis.store.management.records import Audit, Record


class ChangeSink(Protocol):
    """The change broadcaster."""

    def post(self, changes: Sequence[ServiceChange]) -> None:
        """Tell subscribers, in this order."""
        ...


class EntrySink(Protocol):
    """The persistence writer."""

    def mark(self, entries: Iterable[Entry]) -> None:
        """What is stored of these entries is out of date."""
        ...


class PeerSink(Protocol):
    """A replicator: one per peer."""

    def offer_states(self, entries: Iterable[Entry]) -> None:
        """These entries were registered or removed here."""
        ...

    def offer_renewals(self, entries: Iterable[Entry]) -> None:
        """These leases were renewed here."""
        ...

    def offer_records(self, records: "Iterable[Record]") -> None:
        """These management records were written here."""
        ...

    def offer_audits(self, audits: "Iterable[Audit]") -> None:
        """These audit records were written here."""
        ...


class Effects:
    """The fan-out from the registry to the actors. Sinks are added while the node is being put together."""

    def __init__(self) -> None:
        self.broadcasters: list[ChangeSink] = []
        self.writers: list[EntrySink] = []
        self.peers: dict[str, PeerSink] = {}
        """By node id or URL."""

    def written(self, entries: Sequence[Entry], changes: Sequence[ServiceChange]) -> None:
        """A client of this node registered or unregistered: peers are told too."""
        self.merged(entries, changes)
        if entries:
            for peer in self.peers.values():
                peer.offer_states(entries)

    def renewed(self, entries: Sequence[Entry]) -> None:
        """A client of this node renewed leases."""
        for peer in self.peers.values():
            peer.offer_renewals(entries)

    def merged(self, entries: Sequence[Entry], changes: Sequence[ServiceChange]) -> None:
        """Something came from a peer, or expired here: subscribers and the disk are told, peers are not."""
        if entries:
            for writer in self.writers:
                writer.mark(entries)
        self.reviewed(changes)

    def reviewed(self, changes: Sequence[ServiceChange]) -> None:
        """What discovery shows has changed, though no instance did."""
        if changes:
            for broadcaster in self.broadcasters:
                broadcaster.post(changes)

    def recorded(self, records: "Sequence[Record]", audits: "Sequence[Audit]") -> None:
        """An operator's decision was committed on this node: peers are told."""
        for peer in self.peers.values():
            peer.offer_records(records)
            peer.offer_audits(audits)
