"""The promises of the cluster, one object each: watched all along, and asked at the end."""

from .agreement import Convergence, ManagementKept, RegistrationsKept
from .checker import Checker, World
from .liveness import NoLiveInstanceLost, NoSurpriseEviction, NoZombie, UnregisterSticks
from .nodes import NobodyCrashes
from .subscribers import SubscribersInStep

ALL: tuple[type[Checker], ...] = (
    NoLiveInstanceLost,
    NoSurpriseEviction,
    NoZombie,
    UnregisterSticks,
    SubscribersInStep,
    Convergence,
    ManagementKept,
    RegistrationsKept,
    NobodyCrashes,
)

__all__ = ["ALL", "Checker", "World"]
