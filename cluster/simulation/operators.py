"""Operators: they decide about every field of every kind of record, at any node, and change their minds at once."""

import random
from collections.abc import Mapping
from typing import Final

import trio

from .decisions import subjects
from .history import History
from .scenario import Scenario
from .spelling import Spelling
from .subjects import PULL_OUT, Subject, Wanted
from .truth import Truth, Write
from .wire import Unanswered, Wire, outcome_of

BACK_AND_FORTH: Final = 0.6
"""Probability that a decision is taken back at another node within milliseconds."""
SPREADS_S: Final = 0.3
"""What is to be taken back is first let spread for so long."""


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
        self._spelling = Spelling(rng, mixed_case=scenario.mixed_case)
        self._subjects = subjects(scenario)
        self._number = 0

    async def run(self) -> None:
        """Decide something now and then, until all is calm."""
        while not self._calm.is_set():
            with trio.move_on_after(self._rng.uniform(0, 2 * self._scenario.decision_s)):
                await self._calm.wait()
                return
            await self._decide()

    async def _decide(self) -> None:
        subject = self._rng.choice(self._subjects)
        wanted, other = self._two_values(subject)
        nodes = self._rng.sample(self._scenario.names, 2) if self._scenario.nodes > 1 else self._scenario.names * 2
        if not await self._write(subject, wanted, self._rng.choice(nodes)):
            return
        if self._rng.random() >= BACK_AND_FORTH:
            return
        await trio.sleep(self._rng.uniform(0, SPREADS_S))
        for node, value in zip(nodes * 2, (other, wanted, other)[: self._rng.choice((2, 3))], strict=False):
            if not await self._write(subject, value, node):
                return
            await trio.sleep(self._rng.choice((0.0, self._rng.uniform(0, 0.005))))

    def _two_values(self, subject: Subject) -> tuple[Wanted, Wanted]:
        if subject.is_switch:
            wanted = self._rng.random() < 0.5
            return wanted, not wanted
        self._number += 2
        return self._number - 1, self._number

    async def _write(self, subject: Subject, wanted: Wanted, node: str) -> bool:
        """Ask for something; whether it was acknowledged."""
        *before, decision = subject.asks(wanted)
        try:
            for path, body in before:
                if not _is_success(await self._ask(node, path, body)):
                    return False
        except Unanswered:
            return False
        write = Write(subject.name, wanted, node, asked_s=trio.current_time(), kind=subject.kind)
        self._truth.writes.append(write)  # it holds before this operator is told
        try:
            answer = await self._ask(node, *decision)
        except Unanswered as unanswered:
            if not unanswered.reached:
                self._truth.writes.remove(write)
            return False
        if not _is_success(answer):
            self._truth.writes.remove(write)
            return False
        write.acknowledged_s, write.doubtful = trio.current_time(), self._wire.is_misdated(node)
        self._history.add(self.name, f"decides at {node}: {subject.name} {wanted}")
        return True

    async def _ask(self, node: str, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        who = {"operatorId": self.name, "token": "t", "operation": PULL_OUT, "reason": "simulated"}
        return await self._wire.ask(self.name, node, path, {**self._spelling.spelt(body), **who})


def _is_success(answer: Mapping[str, object]) -> bool:
    """In the words of either API."""
    return answer.get("success") is True or outcome_of(answer) == "success"
