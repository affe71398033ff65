"""Who must be in the answers, and who must not."""

import math

import trio

from artemis.store.changes import ServiceChange
from artemis.store.contacts import EARLY

from ..hosts import Host
from ..scenario import RECONNECT_S
from ..situations import Situation
from ..truth import Fate, Key, TrueInstance
from .checker import LOOK_S, Checker, World

ROUND_S = 2.5
"""The longest that the first round of anti-entropy on a new link waits and takes."""
WRITTEN_S = 1.0
"""The longest that the snapshot on disk lags behind the registry."""
SWEPT_S = 5.0
"""The longest that a lease lasts beyond its time, or beyond the ceiling."""
HELD_UP_S = 15.0
"""The longest that news takes over a network that is slow or loses a lot, or past a node that stutters."""


def settled_s(world: World, one: Host, other: Host) -> float:
    """Since when the two have told each other everything."""
    return world.reach.linked_s(one.name, other.name) + RECONNECT_S + ROUND_S


def was_among_friends(world: World, host: Host, heard_by: Host) -> bool:
    """Whether all whom it could reach knew what this one knew when the node started, and could tell."""
    reach, started_s = world.reach, host.started_s
    if reach.clean_s(host.name, heard_by.name) + world.scenario.spread_s > started_s:
        return False
    hosts = [other for other in world.hosts.values() if other is not host]
    reached = [other for other in hosts if reach.cut_s(host.name, other.name) > started_s]
    if not all(
        settled_s(world, other, heard_by) < started_s or (other.node is None and other.ended_s < started_s)
        for other in reached
    ):
        return False
    if len(reached) < len(hosts):
        world.history.met(Situation.START_IN_PARTITION)
    return True


class NoLiveInstanceLost(Checker):
    """An instance whose client reaches a node at least every third heartbeat is in the answers of that node, and of
    every node connected to it, at all times after it spread."""

    def observe(self) -> None:
        for instance in self.world.truth.instances.values():
            if not self._is_steady(instance):
                continue
            service, name = instance.key
            for host in self.world.serving:
                is_missing = name not in self.world.answers[host.name].get(service, ())
                is_new = trio.current_time() < host.up_s + LOOK_S
                if (is_missing or is_new) and self.must_show(host, instance) and is_missing:
                    self.object(
                        f"{name} of {service} lives, is heard by {instance.heard_by} (last at {instance.heard_s:.3f}),"
                        f" and is missing from the answer of {host.name}"
                    )

    def _is_steady(self, instance: TrueInstance) -> bool:
        every_s = 3 * self.world.scenario.heartbeat_s
        return instance.is_steady(now_s=trio.current_time(), every_s=every_s)

    def must_show(self, host: Host, instance: TrueInstance) -> bool:
        """Whether this node cannot but know that the instance lives, and of no decision to hide it."""
        if self.world.is_out(host, instance):
            return False
        if host.name == instance.heard_by:
            return host.started_s < instance.heard_s
        heard_by, now_s = self.world.hosts[instance.heard_by], trio.current_time()
        known_s = max(instance.steady_s, instance.at_node_s)
        if now_s > max(settled_s(self.world, host, heard_by), known_s) + self.world.scenario.spread_s:
            return True
        # A node that starts among nodes that are well serves nobody before it knows what they know.
        return known_s + self.world.scenario.spread_s < host.started_s and was_among_friends(self.world, host, heard_by)


class NoSurpriseEviction(Checker):
    """A node that was paused, or is slow, removes nobody who lives: it doubts itself first."""

    def changed(self, host: Host, change: ServiceChange) -> None:
        for one in change.changes:
            instance = self.world.truth.instances.get((change.service_key, one.key))
            if one.change_type == "delete" and instance is not None and self._is_surprising(host, instance):
                self.object(
                    f"{host.name} removed {one.key} of {change.service_key}, which lives: {instance.heard_by} heard it"
                    f" at {instance.heard_s:.3f}"
                )

    def _is_surprising(self, host: Host, instance: TrueInstance) -> bool:
        scenario, now_s = self.world.scenario, trio.current_time()
        if self.world.is_out(host, instance):
            return False
        if not instance.is_steady(now_s=now_s, every_s=3 * scenario.heartbeat_s):
            return False
        if host.name == instance.heard_by:
            return host.started_s < instance.heard_s
        other = self.world.hosts[instance.heard_by]
        reach = self.world.reach
        if not reach.ran_since(host.name, instance.steady_s):
            return False  # it may just now be learning that its predecessor is gone
        connected_s = max(reach.uncut_s(host.name, other.name), host.started_s, other.started_s)
        known_s = max(instance.steady_s, instance.at_node_s, connected_s + RECONNECT_S + ROUND_S)
        undelayed_s = max(reach.clean_s(host.name, other.name), reach.steady_s(other.name)) + HELD_UP_S
        return now_s > known_s + (scenario.spread_s if now_s > undelayed_s else HELD_UP_S)


class NoZombie(Checker):
    """One lease after its last heartbeat and the last heal, an instance that is gone is in nobody's answers. However
    long the network is cut, the same holds after the ceiling."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._new_s: dict[tuple[str, Key], float] = {}
        """By node: when it was last new there, be it by the word of a peer that had been paused, and knew no better."""

    def changed(self, host: Host, change: ServiceChange) -> None:
        for one in change.changes:
            if one.change_type == "new":
                self._new_s[host.name, (change.service_key, one.key)] = trio.current_time()

    def observe(self) -> None:
        calm_s, now_s = self.world.reach.calm_s(), trio.current_time()
        for name, answer in self.world.answers.items():
            for service, instances in answer.items():
                for instance_id in instances:
                    truth = self.world.truth.instances.get((service, instance_id))
                    if truth is None or self._is_overdue(truth, calm_s, now_s) or self._is_given_up(truth, name, now_s):
                        self.object(f"{instance_id} of {service} is gone, and in the answer of {name}")
        for name in self.world.answers:
            if any(self._is_suspect(one, name, now_s) for one in self.world.truth.instances.values()):
                self.world.history.met(Situation.SUSPICION_ENDED)

    def _is_overdue(self, instance: TrueInstance, calm_s: float, now_s: float) -> bool:
        if instance.fate in (Fate.NEW, Fate.LIVING):
            return False
        return now_s > max(instance.ended_s, calm_s) + self.world.scenario.forgotten_s

    def _is_given_up(self, instance: TrueInstance, name: str, now_s: float) -> bool:
        """Whether it has been gone for so long that nobody keeps it, with a node that has been running all the time."""
        if instance.fate in (Fate.NEW, Fate.LIVING):
            return False
        scenario = self.world.scenario
        kept_s = scenario.ceiling_s + scenario.lease_s + SWEPT_S
        new_s = self._new_s.get((name, instance.key), -math.inf)
        return now_s > max(instance.ended_s, new_s, self.world.reach.steady_s(name)) + kept_s

    def _is_suspect(self, instance: TrueInstance, name: str, now_s: float) -> bool:
        """Whether this node cannot have heard of its end."""
        cut_s = self.world.reach.cut_s(name, instance.heard_by) if instance.heard_by else math.inf
        return cut_s < instance.ended_s and self._is_given_up(instance, name, now_s)


class UnregisterSticks(Checker):
    """What was unregistered is not shown again: not by the node that acknowledged it, nor by any that has learnt it."""

    _learnt: dict[Key, dict[str, tuple[TrueInstance, float]]]
    """By identity and node: which process it was, and when the node knew that it is gone."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._learnt = {}
        self._started_s: dict[str, float] = {}

    def changed(self, host: Host, change: ServiceChange) -> None:
        for one in change.changes:
            instance = self.world.truth.instances.get((change.service_key, one.key))
            if instance is not None and instance.fate is Fate.UNREGISTERED:
                self._take_note(host, instance)
                if one.change_type != "delete" and self._knows(host, instance) and not self._may_return(instance):
                    self.object(f"{host.name} announces {one.key} of {change.service_key}, and knew that it is gone")

    def observe(self) -> None:
        now_s = trio.current_time()
        for instance in self.world.truth.instances.values():
            if instance.fate is not Fate.UNREGISTERED:
                continue
            service, name = instance.key
            for host in self.world.hosts.values():
                self._take_note(host, instance)
            for host in self.world.serving:
                if name not in self.world.answers[host.name].get(service, ()):
                    continue
                if self._may_return(instance):
                    continue
                if self._knows(host, instance) or self._must_know(host, instance, now_s):
                    self.object(
                        f"{name} of {service} was unregistered at {instance.ended_by} at {instance.ended_s:.3f}, and is"
                        f" in the answer of {host.name}"
                    )

    def _may_return(self, instance: TrueInstance) -> bool:
        """Whether it may be back until its lease ends: it was last heard at a node that did not hear of the removal
        until that was forgotten (docs/decisions/long-absences.md, what remains)."""
        if trio.current_time() < instance.ended_s + EARLY * self.world.scenario.tombstone_s:
            return False
        linked_s = self.world.reach.linked_s
        return any(
            linked_s(name, instance.ended_by) + RECONNECT_S + ROUND_S > heard_s
            for name, heard_s in instance.heard.items()
            if name != instance.ended_by
        )

    def _take_note(self, host: Host, instance: TrueInstance) -> None:
        """Whether this node holds the removal, now that it runs."""
        if host.node is None:
            return
        known = self._learnt.setdefault(instance.key, {})
        learnt = known.get(host.name)
        if learnt is not None and learnt[0] is not instance:
            learnt = None
        if learnt is None:
            known.pop(host.name, None)
            if instance.removal <= host.removal_of(instance.key) < math.inf:
                known[host.name] = (instance, trio.current_time())
        elif self._forgot(host, learnt[1]):
            del known[host.name]

    def _forgot(self, host: Host, learnt_s: float) -> bool:
        """A removal that was not yet on disk, or was on a disk that is lost, is forgotten by a restart."""
        return host.started_s > learnt_s and (host.lost_disk_s > learnt_s or host.ended_s < learnt_s + WRITTEN_S)

    def _knows(self, host: Host, instance: TrueInstance) -> bool:
        learnt = self._learnt.get(instance.key, {}).get(host.name)
        return learnt is not None and learnt[0] is instance

    def _must_know(self, host: Host, instance: TrueInstance, now_s: float) -> bool:
        """Whether it is linked to the node that acknowledged, which has been running ever since."""
        first = self.world.hosts[instance.ended_by]
        if first.started_s > instance.ended_s:
            return False
        if host is first:
            return True
        scenario = self.world.scenario
        if instance.ended_s + scenario.spread_s < host.started_s and was_among_friends(self.world, host, first):
            return True  # it was off, and has asked those who know, however long it was
        linked_s = self.world.reach.linked_s(host.name, first.name) + RECONNECT_S + ROUND_S
        return now_s > max(linked_s, instance.ended_s) + self.world.scenario.spread_s
