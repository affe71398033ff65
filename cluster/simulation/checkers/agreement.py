"""What all nodes hold in the end."""

import math

import trio

from ..clocks import EPOCH_MS
from ..decisions import subjects
from ..hosts import Host
from ..situations import Situation
from ..truth import Fate, allowed, data_text
from .checker import Checker, World
from .liveness import settled_s


class Convergence(Checker):
    """After the last heal all nodes hold the same, and answer the same, and it is the truth."""

    def converged(self) -> None:
        """Dead instances apart, whose leases end at each node in its own time."""
        self._compare_rows(self._dead())

    def settled(self) -> None:
        self._compare_rows(set())
        hosts = self.world.serving
        digests = {host.name: host.node.cluster.own_word().digests for host in hosts if host.node is not None}
        for table in ("records", "audits"):
            if len({found[table] for found in digests.values()}) > 1:
                self.object(f"the nodes differ in their {table}")
        self._compare_answers()

    def _dead(self) -> set[str]:
        alive = (Fate.LIVING, Fate.UNREGISTERED)
        return {"\n".join(key) for key, one in self.world.truth.instances.items() if one.fate not in alive}

    def _compare_rows(self, but: set[str]) -> None:
        rows = {host.name: _rows(host, self.world.scenario.tombstone_kept_ms) for host in self.world.serving}
        for key in sorted(set().union(*rows.values()) - but):
            versions = {name: found.get(key) for name, found in rows.items()}
            if len(set(versions.values())) > 1:
                told = ", ".join(f"{name}: {_tell(version)}" for name, version in versions.items())
                self.object(f"{' '.join(key.split())} differs ({told})")

    def _compare_answers(self) -> None:
        services = [service.lower() for service in self.world.scenario.service_ids]
        for service in services:
            answers = {name: answer.get(service, frozenset()) for name, answer in self.world.answers.items()}
            if len(set(answers.values())) > 1:
                told = ", ".join(f"{name}: {sorted(found)}" for name, found in answers.items())
                self.object(f"the answers for {service} differ ({told})")
            instances = self.world.truth.instances.values()
            living = [one for one in instances if one.key[0] == service and one.fate is Fate.LIVING]
            for name, found in answers.items():
                host = self.world.hosts[name]
                wanted = frozenset(one.key[1] for one in living if not self.world.is_out(host, one))
                if found != wanted:
                    self.object(f"{name} answers {sorted(found)} for {service}, and {sorted(wanted)} live and are in")


class ManagementKept(Checker):
    """What operators were told is done is so on every node, unless somebody decided otherwise later."""

    def settled(self) -> None:
        for subject in subjects(self.world.scenario):
            writes = [write for write in self.world.truth.writes if write.subject == subject.name]
            found = allowed(writes, margin_s=self.world.margin_s)
            for host in self.world.serving:
                assert host.node is not None
                held = subject.held(host.node.management.tables)
                if found and held not in found:
                    wanted = " or ".join(sorted(map(str, found)))
                    self.object(f"at {host.name} {subject.name} {held}, and it was decided: {wanted}")


class DecisionsSpread(Checker):
    """What an operator was told is done, is so within a second on every node that is linked to the one that took it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._subjects = subjects(world.scenario)

    def observe(self) -> None:
        now_s, scenario, world = trio.current_time(), self.world.scenario, self.world
        recent = [write for write in world.truth.writes if write.acknowledged_s > now_s - scenario.anti_entropy_s]
        by_subject = {write.subject: write for write in recent}
        for subject in self._subjects if by_subject else ():
            write = by_subject.get(subject.name)
            if write is None or write.acknowledged_s + scenario.spread_s > now_s or write.acknowledged_s == math.inf:
                continue
            writes = [other for other in world.truth.writes if other.subject == subject.name]
            if allowed(writes, margin_s=world.margin_s) != {write.wanted}:
                continue
            for host in world.serving:
                known_s = max(write.acknowledged_s, settled_s(world, host, world.hosts[write.node]))
                if host.name == write.node or now_s < known_s + scenario.spread_s:
                    continue
                assert host.node is not None
                held = subject.held(host.node.management.tables)
                if held != write.wanted:
                    self.object(f"at {host.name} {subject.name} {held}; it was decided at {write.node}: {write.wanted}")


class PulledOutIsHidden(Checker):
    """No answer of a node shows what operators have pulled out, as far as that node knows."""

    def observe(self) -> None:
        for host in self.world.serving:
            for service, names in self.world.answers[host.name].items():
                for name in names:
                    instance = self.world.truth.instances.get((service, name))
                    if instance is not None and self.world.is_out(host, instance):
                        self.object(f"{host.name} shows {name} of {service}, and holds a decision that it is out")
        for instance in self.world.truth.instances.values():
            if instance.fate is Fate.LIVING and any(self.world.is_out(host, instance) for host in self.world.serving):
                self.world.history.met(Situation.PULLED_OUT)


class RegistrationsKept(Checker):
    """An instance is shown everywhere with the data of its last registration that was acknowledged, as long as the node
    that acknowledged runs and holds its lease until others know."""

    def observe(self) -> None:
        for key, writes in self.world.truth.registrations.items():
            for write in reversed(writes):
                if write.acknowledged_s < math.inf:
                    host = self.world.hosts[write.node]
                    write.doubtful |= host.started_s > write.acknowledged_s or host.version_of(key) < write.version
                    if not write.doubtful:
                        break

    def settled(self) -> None:
        for key, writes in self.world.truth.registrations.items():
            instance = self.world.truth.instances.get(key)
            if instance is None or instance.fate is not Fate.LIVING:
                continue
            found = allowed(writes, margin_s=self.world.margin_s)
            for host in self.world.serving:
                shown = host.text_of(key)
                if found and shown and not any(data_text(number) in shown for number in found):
                    wanted = " or ".join(map(data_text, sorted(found)))
                    self.object(f"{host.name} shows {key[1]} of {key[0]} as {shown}, and it registered as {wanted}")


def _rows(host: Host, tombstone_kept_ms: int) -> dict[str, int]:
    """Version by full key, tombstones that are about to be forgotten left out."""
    assert host.node is not None
    oldest_ms = EPOCH_MS + int(trio.current_time() * 1000) - tombstone_kept_ms
    return {
        entry.full_key: entry.version
        for service in host.node.registry.services.values()
        for entry in service.entries.values()
        if entry.live or entry.version >> 48 > oldest_ms
    }


def _tell(version: int | None) -> str:
    if version is None:
        return "nothing"
    return f"{((version >> 48) - EPOCH_MS) / 1000:.3f}/{version & 0xFFFF_FFFF_FFFF:x}"
