"""Who can reach whom, and since when: what checkers may expect follows from it."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import trio

from ..faults import PASS, Cut, Flow
from .hosts import Host
from .network import Network

CATCH_UP_S: Final = 5.0
"""The longest that a host takes to take in what it was told, even if it does not run all the time."""


class Reach:
    """Remembers for each flow when it was last cut, and when something was last wrong with it at all."""

    def __init__(self, network: Network, hosts: Mapping[str, Host]) -> None:
        self._network = network
        self._hosts = hosts
        self._uncut_s: dict[Flow, float] = {}
        self._clean_s: dict[Flow, float] = {}
        self._cut_s: dict[Flow, float] = {}
        self._paused_s: dict[str, float] = {}
        self._pause_began_s: dict[str, float] = {}
        network.changed = self._note

    def _note(self, flows: Iterable[Flow]) -> None:
        now_s = trio.current_time()
        for flow in flows:
            fault = self._network.faults.flow(*flow)
            self._clean_s[flow] = now_s if fault == PASS else math.inf
            if fault.cut is not Cut.NONE or fault.reset:
                self._uncut_s[flow] = math.inf
            elif self._uncut_s.get(flow) == math.inf:
                self._uncut_s[flow] = now_s
            if fault.cut is not Cut.NONE:
                self._cut_s.setdefault(flow, now_s)
            else:
                self._cut_s.pop(flow, None)

    def note_pause(self, name: str) -> None:
        """This host does not run from now on."""
        self._paused_s[name] = self._pause_began_s[name] = trio.current_time()

    def note_end_of_pause(self, name: str) -> None:
        """This host did not run until now."""
        self._paused_s[name] = trio.current_time()

    def ran_since(self, name: str, time_s: float) -> bool:
        """Whether this host has been running since that time, or was running for a while before it paused."""
        began_s = self._pause_began_s.get(name, -math.inf)
        return self._paused_s.get(name, -math.inf) < time_s or time_s + CATCH_UP_S < began_s

    def uncut_s(self, one: str, other: str) -> float:
        """Since when the two have not been cut off from each other; infinite while they are, or have reasons not to
        talk."""
        if self._refuse(one, other):
            return math.inf
        return max(self._uncut_s.get((one, other), -math.inf), self._uncut_s.get((other, one), -math.inf))

    def cut_s(self, one: str, other: str) -> float:
        """Since when nothing gets through between the two in at least one direction, which no new link survives;
        infinite while everything does."""
        return min(self._cut_s.get((one, other), math.inf), self._cut_s.get((other, one), math.inf))

    def clean_s(self, one: str, other: str) -> float:
        """Since when nothing is wrong between the two."""
        return math.inf if self._refuse(one, other) else self.reachable_s(one, other)

    def reachable_s(self, one: str, other: str) -> float:
        """Since when nothing is wrong with the network between the two."""
        return max(self._clean_s.get((one, other), -math.inf), self._clean_s.get((other, one), -math.inf))

    def steady_s(self, name: str) -> float:
        """Since when a process has been up and running on this host, without a pause, as one of the cluster."""
        host = self._hosts[name]
        if host.frozen or host.node is None or host.misfit_s < math.inf:
            return math.inf
        return max(host.up_s, self._paused_s.get(name, -math.inf))

    def linked_s(self, one: str, other: str) -> float:
        """Since when two nodes run, and nothing is wrong between them."""
        return max(self.clean_s(one, other), self.steady_s(one), self.steady_s(other))

    def _refuse(self, one: str, other: str) -> bool:
        """Whether both are nodes, and one of them has another secret, or a clock that is far off."""
        hosts = [self._hosts[name] for name in (one, other) if name in self._hosts]
        return len(hosts) == 2 and any(host.misfit_s < math.inf for host in hosts)

    def calm_s(self, *, but: str = "") -> float:
        """Since when nothing at all is wrong among the hosts, leaving out the pauses and starts of one of them."""
        names = list(self._hosts)
        network = [self._clean_s.get((a, b), -math.inf) for a in names for b in names if a != b]
        return max([*network, *(self.steady_s(name) for name in names if name != but)], default=-math.inf)
