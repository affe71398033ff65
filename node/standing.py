"""What membership knows, in the words of the API."""

from artemis.actors.cluster_settings import ClusterSettings
from artemis.actors.membership import Member, Membership, PeerState
from artemis.actors.tables import fold
from artemis.store.management.management import Management
from artemis.store.registry import Registry
from artemis.transport.operations.standing import NodeView

STATUS_OF = {PeerState.UNKNOWN: "unknown", PeerState.SUSPECT: "unknown", PeerState.DOWN: "down"}
"""How a node is shown from which nothing is heard; one that is heard is shown as it calls itself."""


class MembershipStanding:
    """The `Standing` of this node. `url` is what others call it; it is known once the port is."""

    def __init__(
        self, membership: Membership, settings: ClusterSettings, *, registry: Registry, management: Management
    ) -> None:
        self._membership = membership
        self._settings = settings
        self._registry = registry
        self._management = management

    def serves_registry(self) -> bool:
        return bool(self._membership.can_register)

    def serves_discovery(self) -> bool:
        return bool(self._membership.can_discover)

    def is_up(self) -> bool:
        """Whether management writes are taken."""
        return self._membership.status == "up"

    def me(self) -> NodeView:
        settings, membership = self._settings, self._membership
        return NodeView(
            url=settings.url,
            zone_id=settings.zone,
            region_id=settings.region,
            status=str(membership.status),
            can_service_discovery=membership.can_discover,
            can_service_registry=membership.can_register,
            allow_discovery_from_other_zone=settings.allow_other_zones_discovery,
            allow_registry_from_other_zone=settings.allow_other_zones_registry,
        )

    def everybody(self) -> list[NodeView]:
        return [self.me()] + [self._view(member) for member in self._membership.members.values()]

    def _view(self, member: Member) -> NodeView:
        word = member.word
        heard = member.state is PeerState.UP and word is not None
        return NodeView(
            url=member.url,
            zone_id=member.identity.zone if member.identity is not None else member.zone,
            region_id=self._settings.region,
            status=word.status if heard and word is not None else STATUS_OF.get(member.state, "unknown"),
            can_service_discovery=word.can_discover if heard and word is not None else None,
            can_service_registry=word.can_register if heard and word is not None else None,
            allow_discovery_from_other_zone=word.allow_discover if word is not None else None,
            allow_registry_from_other_zone=word.allow_register if word is not None else None,
        )

    def convergence(self) -> dict[str, object]:
        mine = {"instances": fold(self._registry.digests()), "records": fold(self._management.digests())}
        peers: list[dict[str, object]] = []
        for member in self._membership.members.values():
            word = member.word
            theirs = word.digests if word is not None else {}
            peers.append(
                {
                    "url": member.url,
                    "state": str(member.state),
                    "lastHeard": member.heard_ms,
                    "problem": member.problem,
                    "equal": all(theirs.get(name) == digest for name, digest in mine.items()) if theirs else None,
                }
            )
        return {"digest": {name: f"{digest:016x}" for name, digest in mine.items()}, "peers": peers}
