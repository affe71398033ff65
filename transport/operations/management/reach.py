"""Reach: how many instances of how many services an operation is about now, so that operators see a slip of the pen.

What matches nothing is accepted: it may come. But its answer has a warning. A region that is not the node's is refused,
because nothing of it can come here; unless something of it is known: a static instance, or an operation to be ended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final, NamedTuple

from artemis.store.management.decorations import lies_in
from artemis.store.management.errors import Invalid
from artemis.store.management.kinds import LOGICAL_INSTANCE, Group
from artemis.store.management.visibility import Place

from ...requests import Reply
from ..pacing import Pace
from .desk import SUCCESS, Desk

NOTHING_MATCHES = "no instance matches this now"
WAS_NOT_OUT = "it was not out"

REACH_HEADER: Final = b"x-artemis-reach"

STEP: Final = 256
"""Instances that are looked at in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an operation is about, in lower case. What is blank may be anything."""

    region_key: str
    service_key: str = ""
    instance_key: str = ""
    ip: str = ""
    zone_key: str = ""
    group_path: str = ""

    @staticmethod
    def of(
        region_id: str, service_id: str = "", *, instance_id: str = "", server_id: str = "", zone_id: str = ""
    ) -> "Target":
        """From what operators write, in any spelling."""
        place = Place.of(
            region_id=region_id,
            service_id=service_id,
            instance_id=instance_id,
            ip=server_id,
            zone_id=zone_id,
            group_id=None,
        )
        return Target(
            region_key=place.region_key,
            service_key=place.service_key,
            instance_key=place.instance_key,
            ip=place.ip,
            zone_key=place.zone_key,
        )

    @staticmethod
    def of_group(group: Group) -> "Target":
        return Target(region_key=group.region_id.lower(), service_key=group.service_id.lower(), group_path=group.path)

    def hits(self, spot: "Spot") -> bool:
        """Whether an instance at this spot is meant."""
        region, service, instance, ip, zone, _ = spot
        return (
            self.zone_key in ("", zone)
            and self.ip in ("", ip)
            and self.instance_key in ("", instance)
            and self.service_key in ("", service)
            and self.region_key == region
            and (not self.group_path or lies_in(self.group_path, Place(*spot)))
        )


Spot = tuple[str, str, str, str, str, str]
"""The parts of a Place. There may be very many, and most are looked at in vain."""


class Reach(NamedTuple):
    """What an operation hit, and what is odd about it."""

    instances: int
    services: int
    warning: str | None = None

    def fields(self) -> dict[str, object]:
        return self._asdict()

    def reply(self) -> Reply:
        """A success of the RPC API. Its bodies are what the contract says, so the reach stands in a header."""
        warning = b"" if self.warning is None else b', warning="%b"' % self.warning.encode()
        reach = b"instances=%d, services=%d%b" % (self.instances, self.services, warning)
        return SUCCESS._replace(headers=((REACH_HEADER, reach),))


async def reach_of(desk: Desk, targets: Sequence[Target], *, was_out: bool = True) -> Reach:
    """Count the instances that any of the targets means, pulled out or not. Others have their turn meanwhile."""
    counts: dict[str, int] = {}
    pace = Pace()
    for number, spot in enumerate(_spots(desk, targets)):
        if not number % STEP:
            await pace.step()
        for target in targets:
            if target.hits(spot):
                counts[spot[1]] = counts.get(spot[1], 0) + 1
                break
    warnings = [] if was_out else [WAS_NOT_OUT]
    warnings += [] if counts else [NOTHING_MATCHES]
    return Reach(sum(counts.values()), len(counts), "; ".join(warnings) or None)


def check_region(desk: Desk, region_id: str | None, *, known: bool = False) -> None:
    """Refuse a region that is not the node's, unless something of it is `known` here. Raises Invalid."""
    management, region_key = desk.management, (region_id or "").strip().lower()
    if known or region_key == management.region_key:
        return
    if not any(logical.region_id.lower() == region_key for logical in desk.table(LOGICAL_INSTANCE).values.values()):
        raise Invalid(f"this node is of the region {management.region_id}, and knows nothing of {region_id}")


def _spots(desk: Desk, targets: Sequence[Target]) -> Iterator[Spot]:
    """Where every instance is that may be meant: those that are registered, and static ones."""
    registry, region_key = desk.registry, desk.management.region_key
    wanted = {target.service_key for target in targets}
    for service_key in list(registry.services) if "" in wanted else wanted:
        table = registry.services.get(service_key)
        for entry in list(table.entries.values()) if table is not None else ():
            if entry.live:
                yield region_key, service_key, entry.key, entry.ip, entry.zone_key, entry.group_key
    for logical in list(desk.table(LOGICAL_INSTANCE).values.values()):
        spot = astuple(Place.of_logical(logical))
        held = registry.find(spot[1], spot[2])
        if held is None or not held.live:
            yield spot
