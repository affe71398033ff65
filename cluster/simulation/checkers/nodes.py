"""Nodes that fail by themselves."""

from ..situations import Situation
from .checker import Checker


class NobodyCrashes(Checker):
    """Whatever happens around it, no node ends, and no part of it has to be rebuilt; in the end all are up."""

    def observe(self) -> None:
        for host in self.world.hosts.values():
            problems = host.problems()
            self.object_to(f"{host.name}: {problem}" for problem in problems)
            if host.overflows:
                self.world.history.met(Situation.OVERFLOW)

    def converged(self) -> None:
        for host in self.world.hosts.values():
            if not host.is_serving:
                self.object(f"{host.name} is {host.status}, and should be up")
