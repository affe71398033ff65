"""What handlers need to know about this node's place in the cluster: a port that membership implements."""

from dataclasses import dataclass
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node of the cluster, as seen from here. Unknown facts are None."""

    url: str
    zone_id: str
    region_id: str
    status: str
    """`starting`, `up`, `draining`, `down` or `unknown`."""
    can_service_discovery: bool | None = None
    can_service_registry: bool | None = None
    allow_discovery_from_other_zone: bool | None = None
    allow_registry_from_other_zone: bool | None = None
    node_id: str = ""
    """Blank for a node that has not been heard of."""

    def describe_to(self, *, loose: bool) -> dict[str, object]:
        """The contract's ServiceNodeStatus; `loose` for the REST API, whose clients look for ids and places, too."""
        described = self._describe()
        if loose:
            # A node is called after its address unless it is given a name.
            node_id = self.node_id or self.url.partition("://")[2]
            place: dict[str, object] = {"nodeId": node_id, "regionId": self.region_id, "zoneId": self.zone_id}
            described |= {"nodeId": node_id, "node": self.service_node() | place}
        return described

    def _describe(self) -> dict[str, object]:
        """A draining node is shown as down to those who know no other word."""
        return {
            "allowDiscoveryFromOtherZone": self.allow_discovery_from_other_zone,
            "allowRegistryFromOtherZone": self.allow_registry_from_other_zone,
            "canServiceDiscovery": self.can_service_discovery,
            "canServiceRegistry": self.can_service_registry,
            "node": self.service_node(),
            "status": "down" if self.status == "draining" else self.status,
        }

    def service_node(self) -> dict[str, object]:
        """The contract's ServiceNode."""
        return {"url": self.url, "zone": {"metadata": None, "regionId": self.region_id, "zoneId": self.zone_id}}


class Standing(Protocol):
    """This node and the others."""

    def serves_registry(self) -> bool:
        """Whether registrations and heartbeats are taken now."""
        ...

    def serves_discovery(self) -> bool:
        """Whether questions are answered now."""
        ...

    def me(self) -> NodeView:
        """This node."""
        ...

    def everybody(self) -> list[NodeView]:
        """All configured nodes and this one, those that are down included."""
        ...

    def convergence(self) -> dict[str, object]:
        """Digest of this node, and whether it equals each peer's: the `convergence` block of the cluster status."""
        ...


def not_up(kind: str, view: NodeView) -> str:
    """The text that tells a client that this node does not serve now."""
    flags = msgspec.json.encode([view.can_service_registry, view.can_service_discovery]).decode()
    registry, discovery = flags.strip("[]").split(",")
    return (
        f"Serivce {kind}is not in up state. Current status: {{ node: {view.region_id}/{view.zone_id}/{view.url}, "
        f"status: {view.status}, canServiceRegistry: {registry}, canServiceDiscovery: {discovery} }}"
    )
