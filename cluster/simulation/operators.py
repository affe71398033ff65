"""Operators: they pull things out and in, describe groups, and set weights, for one service and at any node."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from .history import History
from .scenario import REGION, Scenario
from .truth import Truth, Write
from .wire import Unanswered, Wire, outcome_of

_RULE = {"status": "active", "strategy": "weighted-round-robin"}


@dataclass(frozen=True, slots=True)
class Decision:
    """Something to be written: what it is about, what is to hold from now on, and how to ask for it."""

    subject: str
    wanted: bool | int
    path: str
    body: Mapping[str, object]


class Operator:
    """Somebody who decides. The last service of a scenario is his; the others he leaves alone."""

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        *,
        wire: Wire,
        truth: Truth,
        history: History,
        rng: random.Random,
        calm: trio.Event,
    ) -> None:
        self.name = name
        self._scenario = scenario
        self._wire = wire
        self._truth = truth
        self._history = history
        self._rng = rng
        self._calm = calm
        self._number = 0

    async def run(self) -> None:
        """Decide something now and then, until all is calm."""
        while not self._calm.is_set():
            with trio.move_on_after(self._rng.uniform(0, 2 * self._scenario.decision_s)):
                await self._calm.wait()
                return
            await self._decide()

    async def _decide(self) -> None:
        self._number += 1
        decision = self._choose()
        node = self._rng.choice(self._scenario.names)
        write = Write(decision.subject, decision.wanted, node, asked_s=trio.current_time())
        body = {**decision.body, "operatorId": self.name, "token": "t", "operation": "pullout", "reason": "simulated"}
        try:
            answer = await self._wire.ask(self.name, node, f"/api/management/{decision.path}.json", body)
        except Unanswered as unanswered:
            if unanswered.reached:
                self._truth.writes.append(write)
            return
        if outcome_of(answer) == "success":
            write.acknowledged_s = trio.current_time()
            self._truth.writes.append(write)
            self._history.add(self.name, f"decides at {node}: {decision.subject} {decision.wanted}")

    def _choose(self) -> "Decision":
        clients = [name for name, number in self._clients() if number % self._scenario.services == self._mine]
        service = self._scenario.service_ids[self._mine]
        client, zone = self._rng.choice(clients), self._rng.choice(self._zones())
        out = self._rng.random() < 0.5
        match self._rng.randrange(5):
            case 0:
                key = {"regionId": REGION, "serviceId": service, "instanceId": client}
                body: dict[str, object] = {"instanceKey": key, "operationComplete": not out}
                return Decision(f"instance {client} is out:", out, "operate-instance", body)
            case 1:
                ip = f"10.1.0.{int(client[1:])}"
                body = {"serverKey": {"regionId": REGION, "serverId": ip}, "operationComplete": not out}
                return Decision(f"server {ip} is out:", out, "operate-server", body)
            case 2:
                key = {"regionId": REGION, "serviceId": service, "zoneId": zone}
                operations = [{"zoneKey": key, "operations": ["pullout"]}]
                body = {"zoneOperationsList": operations, "operationComplete": not out}
                return Decision(f"zone {zone} is out:", out, "zone/operate-zone-operations", body)
            case 3:
                group = self._group(service, zone, "described") | {"description": str(self._number)}
                return Decision(f"group of {zone} says", self._number, "group/insert-groups", {"groups": [group]})
            case _:
                group = self._group(service, zone, "weighed") | {"weight": self._number}
                body = {"routeRule": {"serviceId": service, "name": "by-weight", **_RULE}, "groups": [group]}
                return Decision(f"weight of {zone} is", self._number, "group/create-route-rule", body)

    def _group(self, service: str, zone: str, name: str) -> dict[str, object]:
        return {
            "serviceId": service,
            "regionId": REGION,
            "zoneId": zone,
            "name": name,
            "appId": "app",
            "status": "active",
        }

    @property
    def _mine(self) -> int:
        return self._scenario.services - 1

    def _clients(self) -> Sequence[tuple[str, int]]:
        return [(name, number) for number, name in enumerate(self._scenario.client_names)]

    def _zones(self) -> list[str]:
        return sorted({self._scenario.zone_of(number) for number in range(self._scenario.nodes)})
