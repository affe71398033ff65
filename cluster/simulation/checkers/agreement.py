"""What all nodes hold in the end."""

import json
import math
from typing import Any

import trio

from ..hosts import EPOCH_MS, Host
from ..scenario import REGION
from ..truth import Fate, Write
from .checker import Checker


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
            known = self.world.truth.instances.items()
            living = frozenset(key[1] for key, one in known if key[0] == service and one.fate is Fate.LIVING)
            for name, found in answers.items():
                if not self.world.is_operated((service, "")) and found != living:
                    self.object(f"{name} answers {sorted(found)} for {service}, and {sorted(living)} live")


class ManagementKept(Checker):
    """What operators were told is done is so on every node, unless somebody decided otherwise later."""

    def settled(self) -> None:
        subjects = {write.subject for write in self.world.truth.writes}
        for host in self.world.serving:
            decided = _decisions(host)
            for subject in sorted(subjects):
                allowed, found = self._allowed(subject), decided.get(subject, False)
                if allowed and found not in allowed:
                    wanted = " or ".join(sorted(map(str, allowed)))
                    self.object(f"at {host.name} {subject} {found}, and it was decided: {wanted}")

    def _allowed(self, subject: str) -> set[bool | int]:
        """What the last decisions allow. Of two that are closer than clocks can tell, either may win."""
        writes = [write for write in self.world.truth.writes if write.subject == subject]
        margin_s = 2 * self.world.scenario.skew_max_ms / 1000
        firm = [write for write in writes if not write.doubtful and write.acknowledged_s < math.inf]
        if not firm:
            return set()
        last_s = max(write.asked_s for write in firm)
        return {write.wanted for write in writes if _end_s(write) + margin_s >= last_s}


def _end_s(write: Write) -> float:
    """When it had taken effect at the latest."""
    return write.acknowledged_s if write.acknowledged_s < math.inf else write.asked_s + 60.0


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


def _decisions(host: Host) -> dict[str, bool | int]:
    """By subject, what holds at this node, asked as a client would. What is not out is left out."""

    def ask(path: str, field: str) -> list[dict[str, Any]]:
        body = json.dumps({"regionId": REGION}).encode()
        return json.loads(host.peek(f"/api/management/{path}.json", body))[field] or []

    instances = ask("all-instance-operations", "allInstanceOperations")
    servers = ask("all-server-operations", "allServerOperations")
    zones = ask("zone/get-all-zone-operations", "allZoneOperations")
    groups = {row["groupId"]: row for row in ask("group/get-all-groups", "groups")}
    weights = ask("group/get-all-route-rule-groups", "routeRuleGroups")
    return {
        **{f"instance {row['instanceKey']['instanceId']} is out:": True for row in instances},
        **{f"server {row['serverKey']['serverId']} is out:": True for row in servers},
        **{f"zone {row['zoneKey']['zoneId']} is out:": True for row in zones},
        **{f"group of {row['zoneId']} says": int(row["description"]) for row in groups.values() if row["description"]},
        **{
            f"weight of {groups[row['groupId']]['zoneId']} is": row["unreleasedWeight"]
            for row in weights
            if row["groupId"] in groups
        },
    }
