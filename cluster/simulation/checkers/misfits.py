"""Nodes whom the others have to refuse: with another secret, or a clock that is wrong by minutes."""

import math

import trio

from ..clocks import EPOCH_MS
from ..hosts import Host
from ..scenario import DRIFT_MAX_S
from ..situations import Situation
from .checker import Checker

LONE_S = 6.0
"""After so long a node that finds nobody is up."""


class RefusedAreNotReady(Checker):
    """A node that has been refused since its start, by nodes that are up and in reach, does not say that it is up."""

    def observe(self) -> None:
        for host in self.world.hosts.values():
            if host.misfit_s > host.started_s or host.frozen or host.node is None:
                continue
            refusing = [other.name for other in self.world.serving if self._refuses(other, host)]
            if refusing and host.is_serving:
                self.object(f"{host.name} says that it is up, and {', '.join(refusing)} refuse it")
            elif refusing and trio.current_time() > host.started_s + LONE_S:
                self.world.history.met(Situation.REFUSED)

    def _refuses(self, other: Host, host: Host) -> bool:
        """Whether it has been up and in reach since before the node started."""
        reach = self.world.reach
        return (
            other is not host
            and max(reach.reachable_s(host.name, other.name), reach.steady_s(other.name)) < host.started_s
        )


class NobodyIsDated(Checker):
    """However wrong the clock of one node is, no other holds anything that is dated beyond the bound."""

    def observe(self) -> None:
        newest_ms = EPOCH_MS + 1000 * (trio.current_time() + DRIFT_MAX_S + self.world.scenario.skew_max_ms / 1000)
        for host in self.world.hosts.values() if self.world.scenario.misfits else ():
            if host.misfit_s == math.inf and host.newest_ms() > newest_ms:
                self.object(
                    f"{host.name} holds something that is dated {(host.newest_ms() - newest_ms) / 1000:.1f} s ahead"
                )
