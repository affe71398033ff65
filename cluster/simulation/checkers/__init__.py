"""The promises of the cluster, one object each: watched all along, and asked at the end."""

from .agreement import Convergence, DecisionsSpread, ManagementKept, PulledOutIsHidden, RegistrationsKept
from .checker import Checker, World
from .liveness import NoLiveInstanceLost, NoSurpriseEviction, NoZombie, UnregisterSticks
from .misfits import NobodyIsDated, RefusedAreNotReady
from .nodes import NobodyCrashes
from .partitions import SuspectsKept
from .subscribers import SubscribersInStep

ALL: tuple[type[Checker], ...] = (
    NoLiveInstanceLost,
    SuspectsKept,
    NoSurpriseEviction,
    NoZombie,
    UnregisterSticks,
    SubscribersInStep,
    Convergence,
    ManagementKept,
    DecisionsSpread,
    PulledOutIsHidden,
    RegistrationsKept,
    RefusedAreNotReady,
    NobodyIsDated,
    NobodyCrashes,
)

__all__ = ["ALL", "Checker", "World"]
