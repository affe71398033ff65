"""Services as they behave towards a registry: they register, heartbeat, fail over, crash, leave and come back."""

import random
from collections.abc import Mapping
from typing import Final

import trio

from .history import History
from .scenario import REGION, Scenario
from .situations import Situation
from .spelling import Spelling
from .subjects import GROUP_OPERATED
from .truth import Fate, TrueInstance, Truth, Write, data_text
from .wire import Unanswered, Wire, outcome_of

TRIES_PER_HEARTBEAT: Final = 4
"""When no node answers, the next attempt comes this many times sooner."""
MISHAP: Final = 0.15
"""Probability, per heartbeat, that the service does something else than to live on."""
UNREGISTER_ROUNDS: Final = 3
"""How often all nodes are asked to unregister before the service just goes."""


class ServiceClient:
    """One machine on which one service runs, time and again."""

    def __init__(
        self,
        name: str,
        number: int,
        scenario: Scenario,
        *,
        wire: Wire,
        truth: Truth,
        history: History,
        rng: random.Random,
        calm: trio.Event,
    ) -> None:
        """Once `calm` is set it lives on, or stays dead: nothing else happens any more."""
        self.name = name
        self._scenario = scenario
        self._wire = wire
        self._truth = truth
        self._history = history
        self._rng = rng
        self._calm = calm
        self._spelling = Spelling(rng, mixed_case=scenario.mixed_case)
        self._service_id = scenario.service_ids[number % scenario.services]
        self._zone = scenario.zone_of(number // scenario.services)
        self._group = self._rng.choice((GROUP_OPERATED, "other"))
        self._ip = f"10.1.0.{number + 1}"
        self._nodes = list(scenario.names)
        rng.shuffle(self._nodes)
        self._asks_first = rng.random() < 0.5
        """It heartbeats first and registers what is unknown, like the Java client."""
        self._data = 0
        self._is_saved = True
        """Nothing is left to be registered."""

    async def run(self) -> None:
        """Live, die, and live again."""
        await trio.sleep(self._rng.uniform(0, self._scenario.heartbeat_s))
        while not self._calm.is_set():
            instance = TrueInstance((self._service_id.lower(), self.name), self._ip, self._zone, self._group)
            instance.data = self._next_data()
            self._truth.put(instance)
            self._is_saved = True
            await self._live(instance)
            if instance.fate is Fate.UNREGISTERED and self._rng.random() < 0.5:
                continue  # a deployment: the next process is there at once
            with trio.move_on_after(self._rng.uniform(0, self._scenario.gone_s)):
                await self._calm.wait()

    async def _live(self, instance: TrueInstance) -> None:
        known = False
        while True:
            if (known or self._asks_first) and self._is_saved:
                answered = await self._heartbeat(instance)
            else:
                answered = await self._register(instance)
            known = known or answered
            await trio.sleep(self._scenario.heartbeat_s / (1 if answered else TRIES_PER_HEARTBEAT))
            if not self._calm.is_set() and self._rng.random() < MISHAP and await self._is_over(instance):
                return

    async def _is_over(self, instance: TrueInstance) -> bool:
        """Something happens; whether it ends the process."""
        match self._rng.randrange(7):
            case 0:
                self._end(instance, Fate.CRASHED, "crashes")
                return True
            case 1:
                await self._unregister(instance)
                return True
            case 2:
                instance.data = self._next_data()
                instance.unsure()
                await self._register(instance)
            case 3:
                self._rng.shuffle(self._nodes)
                self._history.add(self.name, f"goes to {self._nodes[0]}")
            case 4 | 5:
                await self._waver(instance)
            case _:
                pass
        return False

    async def _waver(self, instance: TrueInstance) -> None:
        """It has other data at one node, and within milliseconds the old data again at another one."""
        old, new = instance.data, self._next_data()
        nodes = self._rng.sample(self._nodes, min(2, len(self._nodes)))
        for node, data in zip(nodes * 2, (new, old, new)[: self._rng.choice((2, 3))], strict=False):
            instance.data = data
            instance.unsure()
            self._is_saved = await self._ask_one("register", node, instance) is not None
            if not self._is_saved:
                return
            self._history.add(self.name, f"is registered at {node} as {data}")
            instance.registered(node, now_s=trio.current_time())
            await trio.sleep(self._rng.choice((0.0, self._rng.uniform(0, 0.005))))

    def _end(self, instance: TrueInstance, fate: Fate, text: str, node: str = "") -> None:
        self._history.add(self.name, text)
        instance.fate, instance.ended_s, instance.ended_by = fate, trio.current_time(), node

    # What it asks of nodes

    async def _heartbeat(self, instance: TrueInstance) -> bool:
        asked = await self._ask("heartbeat", instance)
        if asked is None:
            return False
        node, answer = asked
        failed = answer.get("failedInstances")
        if failed:
            self._history.add(self.name, f"is not known by {node}")
            return await self._register(instance)
        known = self._wire.knows(node, instance.key, data_text(instance.data))
        if known is not instance.confirmed:
            self._history.add(self.name, f"is {'confirmed' if known else 'taken for its predecessor'} by {node}")
        every_s = 3 * self._scenario.heartbeat_s
        instance.renewed(node, known=known, now_s=trio.current_time(), every_s=every_s)
        return True

    async def _register(self, instance: TrueInstance) -> bool:
        asked = await self._ask("register", instance)
        self._is_saved = asked is not None
        if asked is None:
            return False
        self._history.add(self.name, f"is registered at {asked[0]} as {instance.data}")
        instance.registered(asked[0], now_s=trio.current_time())
        return True

    async def _unregister(self, instance: TrueInstance) -> None:
        instance.unsure()
        for _ in range(UNREGISTER_ROUNDS):
            asked = await self._ask("unregister", instance)
            if asked is not None and self._wire.is_misdated(asked[0]):
                self._end(instance, Fate.CRASHED, f"is unregistered at {asked[0]}, which nobody will believe")
                return
            if asked is not None:
                self._end(instance, Fate.UNREGISTERED, f"is unregistered at {asked[0]}", asked[0])
                instance.removal = self._wire.removal_at(asked[0], instance.key)
                return
        self._end(instance, Fate.CRASHED, "goes without having told anybody")

    async def _ask(self, operation: str, instance: TrueInstance) -> tuple[str, Mapping[str, object]] | None:
        """Ask one node after the other until one answers; that one is asked first from now on."""
        for node in list(self._nodes):
            answer = await self._ask_one(operation, node, instance)
            if answer is not None:
                return node, answer
            self._nodes.remove(node)
            self._nodes.append(node)
        return None

    async def _ask_one(self, operation: str, node: str, instance: TrueInstance) -> Mapping[str, object] | None:
        body = self._spelling.spelt({"instances": [self._describe(instance)]})
        if self._spelling.unusual:
            self._history.met(Situation.MIXED_CASE)
        write = Write(f"data of {self.name}", instance.data, node, asked_s=trio.current_time())
        try:
            answer = await self._wire.ask(self.name, node, f"/artemis/api/registry/{operation}.json", body)
        except Unanswered as unanswered:
            self._history.add(self.name, f"{operation}: {unanswered}")
            if operation == "register" and unanswered.reached:
                self._truth.registered(instance.key, write)
            return None
        if outcome_of(answer) not in ("success", "partial_fail"):
            self._history.add(self.name, f"{operation}: {node} is not serving")
            return None
        if operation == "register":
            write.acknowledged_s, write.version = trio.current_time(), self._wire.version_at(node, instance.key)
            write.doubtful = self._wire.is_misdated(node)
            self._truth.registered(instance.key, write)
        return answer

    def _describe(self, instance: TrueInstance) -> dict[str, object]:
        return {
            "regionId": REGION,
            "zoneId": instance.zone,
            "serviceId": self._service_id,
            "groupId": instance.group,
            "instanceId": self.name,
            "ip": instance.ip,
            "url": f"http://{instance.ip}:80/",
            "metadata": {"data": data_text(instance.data)},
        }

    def _next_data(self) -> int:
        self._data += 1
        return self._data
