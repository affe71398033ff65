"""The management part of the RPC API: endpoints 32 to 91."""

from ...requests import Route
from .canary import CanaryHandlers
from .desk import Desk
from .groups import GroupHandlers
from .instances import InstanceOperations
from .logs import LogHandlers
from .rules import RuleHandlers
from .services import ServiceOperations
from .zones import ZoneHandlers


def routes(desk: Desk) -> list[Route]:
    """All of them."""
    return [
        *InstanceOperations(desk).routes(),
        *ServiceOperations(desk).routes(),
        *GroupHandlers(desk).routes(),
        *RuleHandlers(desk).routes(),
        *ZoneHandlers(desk).routes(),
        *LogHandlers(desk).routes(),
        *CanaryHandlers(desk).routes(),
    ]


__all__ = ["Desk", "routes"]
