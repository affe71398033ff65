"""What partitions must not take away while they last."""

from dataclasses import dataclass

import trio

from ..hosts import Host
from ..situations import Situation
from ..truth import Key, TrueInstance
from .checker import Checker
from .liveness import settled_s


@dataclass(frozen=True, slots=True)
class Known:
    """At this time a node could not but know that an instance lives, from the node that hears it."""

    instance: TrueInstance
    heard_by: str
    time_s: float


class SuspectsKept(Checker):
    """A node that is cut off from the one at which an instance heartbeats keeps it in its answers as long as the
    instance does so, up to the ceiling."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._known: dict[tuple[str, Key], Known] = {}

    def observe(self) -> None:
        now_s, every_s = trio.current_time(), 3 * self.world.scenario.heartbeat_s
        names, cut_s = list(self.world.hosts), self.world.reach.cut_s
        if any(cut_s(a, b) + self.world.scenario.tombstone_s < now_s for a in names for b in names):
            self.world.history.met(Situation.LONG_ABSENCE)
        for instance in self.world.truth.instances.values():
            if not instance.is_steady(now_s=now_s, every_s=every_s):
                continue
            for host in self.world.serving:
                if host.name != instance.heard_by and not self.world.is_out(host, instance):
                    self._look(host, instance, now_s)

    def _look(self, host: Host, instance: TrueInstance, now_s: float) -> None:
        service, name = instance.key
        is_shown = name in self.world.answers[host.name].get(service, ())
        heard_by = self.world.hosts[instance.heard_by]
        linked_s = settled_s(self.world, host, heard_by)
        if is_shown and now_s > max(linked_s, instance.steady_s, instance.at_node_s) + self.world.scenario.spread_s:
            self._known[host.name, instance.key] = Known(instance, instance.heard_by, now_s)
            return
        known = self._known.get((host.name, instance.key))
        if known is None or not self._must_keep(host, instance, known, now_s):
            return
        if not is_shown:
            self.object(
                f"{name} of {service} lives, and is heard by {instance.heard_by} (last at {instance.heard_s:.3f});"
                f" {host.name} knew it at {known.time_s:.3f}, was cut off, and forgot it"
            )
        elif now_s > known.time_s + self.world.scenario.lease_s:
            self.world.history.met(Situation.SUSPECT)

    def _must_keep(self, host: Host, instance: TrueInstance, known: Known, now_s: float) -> bool:
        """Whether nothing has happened since but that the two nodes may not hear each other."""
        if known.instance is not instance or known.heard_by != instance.heard_by:
            return False
        scenario = self.world.scenario
        began_s = (instance.steady_s, instance.at_node_s, host.started_s, self.world.hosts[known.heard_by].started_s)
        return max(began_s) < known.time_s and now_s < known.time_s + scenario.ceiling_s - scenario.spread_s
