"""The REST management API: rows 17 to 21 and 31 to 67 of the table, `explain`, and configuration as one document."""

from artemis.store.routing import Router

from ...requests import Route
from ..management.desk import Desk
from ..rules import InstanceRules
from .audit import AuditRows
from .canary import CanaryRows
from .configuration import ConfigurationRows
from .explain import ExplainRows
from .groups import GroupRows
from .instances import InstanceRows
from .rules import RuleRows
from .zones import ZoneRows


def routes(desk: Desk, router: Router, *, askers: InstanceRules) -> list[Route]:
    """All of them. `router` is the one that answers discovery; `askers` says who may ask it."""
    return [
        *InstanceRows(desk).routes(),
        *GroupRows(desk).routes(),
        *RuleRows(desk).routes(),
        *ZoneRows(desk).routes(),
        *CanaryRows(desk).routes(),
        *AuditRows(desk).routes(),
        *ConfigurationRows(desk).routes(),
        *ExplainRows(desk, router, rules=askers).routes(),
    ]


__all__ = ["routes"]
