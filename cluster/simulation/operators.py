"""Operators: they pull instances, servers and zones of one service out and in, at whatever node they reach."""

import random
from collections.abc import Sequence

import trio

from .history import History
from .scenario import REGION, Scenario
from .truth import Truth, Write
from .wire import Unanswered, Wire, outcome_of


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

    async def run(self) -> None:
        """Decide something now and then, until all is calm."""
        while not self._calm.is_set():
            with trio.move_on_after(self._rng.uniform(0, 2 * self._scenario.decision_s)):
                await self._calm.wait()
                return
            await self._decide()

    async def _decide(self) -> None:
        subject, path, body = self._choose()
        wanted = self._rng.random() < 0.5
        node = self._rng.choice(self._scenario.names)
        body |= {"operatorId": self.name, "token": "t", "operationComplete": not wanted}
        write = Write(subject, wanted, node, asked_s=trio.current_time())
        try:
            answer = await self._wire.ask(self.name, node, path, body)
        except Unanswered as unanswered:
            if unanswered.reached:
                self._truth.writes.append(write)
            return
        if outcome_of(answer) == "success":
            write.acknowledged_s = trio.current_time()
            self._truth.writes.append(write)
            self._history.add(self.name, f"pulls {subject} {'out' if wanted else 'in'} at {node}")

    def _choose(self) -> tuple[str, str, dict[str, object]]:
        """A subject, and how to ask for it to be pulled out."""
        clients = [name for name, number in self._clients() if number % self._scenario.services == self._mine]
        service = self._scenario.service_ids[self._mine]
        client = self._rng.choice(clients)
        match self._rng.randrange(3):
            case 0:
                key = {"regionId": REGION, "serviceId": service, "instanceId": client}
                return (
                    f"instance {client}",
                    "/api/management/operate-instance.json",
                    {
                        "instanceKey": key,
                        "operation": "pullout",
                    },
                )
            case 1:
                ip = f"10.1.0.{int(client[1:])}"
                key = {"regionId": REGION, "serverId": ip}
                return f"server {ip}", "/api/management/operate-server.json", {"serverKey": key, "operation": "pullout"}
            case _:
                zone = self._rng.choice(self._zones())
                key = {"regionId": REGION, "serviceId": service, "zoneId": zone}
                return (
                    f"zone {zone}",
                    "/api/management/zone/operate-zone-operations.json",
                    {"zoneOperationsList": [{"zoneKey": key, "operations": ["pullout"]}]},
                )

    @property
    def _mine(self) -> int:
        return self._scenario.services - 1

    def _clients(self) -> Sequence[tuple[str, int]]:
        return [(name, number) for number, name in enumerate(self._scenario.client_names)]

    def _zones(self) -> list[str]:
        return sorted({self._scenario.zone_of(number) for number in range(self._scenario.nodes)})
