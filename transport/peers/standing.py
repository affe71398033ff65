"""This node and the others, as the cluster and status calls show them."""

from artemis.actors.cluster import Cluster
from artemis.actors.frames import Word
from artemis.actors.members import Member, PeerState

from ..operations.standing import NodeView


class ClusterStanding:
    """Implements the port `Standing` on top of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def serves_registry(self) -> bool:
        return self._cluster.membership.can_register is True

    def serves_discovery(self) -> bool:
        return self._cluster.membership.can_discover is True

    def me(self) -> NodeView:
        settings, membership = self._cluster.settings, self._cluster.membership
        return NodeView(
            url=settings.url,
            zone_id=settings.zone,
            region_id=settings.region,
            status=membership.status.value,
            can_service_discovery=membership.can_discover,
            can_service_registry=membership.can_register,
            allow_discovery_from_other_zone=settings.allow_other_zones_discovery,
            allow_registry_from_other_zone=settings.allow_other_zones_registry,
            node_id=settings.node_id,
        )

    def everybody(self) -> list[NodeView]:
        """In the order of the configuration; this node first if it is not listed."""
        settings, members = self._cluster.settings, self._cluster.membership.members
        order = [url for urls in settings.nodes.values() for url in urls]
        order += [url for url in (*members, settings.url) if url not in order]
        return [self.me() if url == settings.url else self._view(members[url]) for url in order]

    def _view(self, member: Member) -> NodeView:
        status = "down" if member.state is PeerState.DOWN else "unknown"
        word: Word | None = member.word if member.state is PeerState.UP else None
        node_id = "" if member.identity is None else member.identity.node_id
        if word is None:
            return NodeView(member.url, member.zone, self._cluster.settings.region, status, node_id=node_id)
        return NodeView(
            url=member.url,
            zone_id=member.zone,
            region_id=self._cluster.settings.region,
            status=word.status,
            can_service_discovery=word.can_discover,
            can_service_registry=word.can_register,
            allow_discovery_from_other_zone=word.allow_discover,
            allow_registry_from_other_zone=word.allow_register,
            node_id=node_id,
        )

    def convergence(self) -> dict[str, object]:
        """Digests of this node, and for each peer: whether they are the same there, and what is known of it."""
        return self._cluster.convergence()
