"""One simulation: workload and nemesis, then peace, then the question whether every promise was kept."""

import gc
import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from artemis.store.changes import ServiceChange

from .checkers import ALL, Checker, World
from .checkers.checker import LOOK_S, Violation
from .clients import ServiceClient
from .clocks import HostClock
from .history import History, listening
from .hosts import Host
from .nemesis import Nemesis
from .network import Network, Weather
from .operators import Operator
from .reach import Reach
from .scenario import Scenario
from .scheduling import RunQueue, run
from .situations import Situation
from .spelling import Spelling
from .subscribers import Subscriber
from .truth import Truth
from .wire import Wire

CLOCKS_AGREE: Final = 0.5
"""Probability that no clock is wrong: then the last of several writes is known, however close together they are."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one seed."""

    seed: int
    violations: Sequence[Violation]
    transcript: Sequence[str]
    """The last events, up to the first violation if there is one."""
    fingerprint: str
    events: int
    seconds: float
    """Processor time it took."""
    situations: Sequence[Situation] = ()
    """What occurred."""

    @property
    def ok(self) -> bool:
        return not self.violations


class Simulation:
    """Everything that belongs to one seed, made anew for each."""

    def __init__(self, seed: int, scenario: Scenario, *, checkers: Sequence[type[Checker]] = ALL) -> None:
        self.seed = seed
        self.scenario = scenario = scenario.of_seed(seed)
        self.history = History()
        self._rng = random.Random(seed)
        self._clocks_agree = self._rng.random() < CLOCKS_AGREE
        self._kinds = checkers
        self._checkers: list[Checker] = []
        self._calm = trio.Event()
        self._over = trio.Event()

    def run(self) -> Result:
        """Run to the end, or to the first promise that is broken."""
        began_s = time.process_time()
        crashes: list[Violation] = []
        with listening(self.history):
            try:
                run(self._rng.randrange(2**32), self._main)
            except Exception as error:  # the boundary of a seed
                # A seed that nobody foresaw must be told like any other: what raised may be a node as well as we.
                crashes.append(Violation("Crash", None, "".join(traceback.format_exception(error))))
        violations = crashes + [violation for checker in self._checkers for violation in checker.violations]
        return Result(
            seed=self.seed,
            violations=violations,
            transcript=self.history.last(),
            fingerprint=self.history.fingerprint(),
            events=self.history.count,
            seconds=time.process_time() - began_s,
            situations=sorted(self.history.situations),
        )

    async def _main(self, queue: RunQueue) -> None:
        scenario, names = self.scenario, self.scenario
        everybody = [*names.names, *names.client_names, *names.subscriber_names, *names.operator_names]
        hosts_by_ip = {scenario.ip_of(name): name for name in scenario.names}
        network = Network(everybody, rng=self._chance(), weather=Weather(loss=0.0005), hosts=hosts_by_ip)
        async with trio.open_nursery() as nursery:

            def opened() -> None:
                self._ask(world, Checker.observe)

            hosts = {name: self._host(name, network, queue, nursery, opened) for name in scenario.names}
            truth, reach = Truth(), Reach(network, hosts)
            subscribers = [self._subscriber(name, network) for name in scenario.subscriber_names]
            world = World(scenario, hosts, subscribers, truth, reach, self.history)
            self._checkers = [kind(world) for kind in self._kinds]
            wire = Wire(network, hosts)
            for host in hosts.values():
                host.start()
            for client in self._clients(wire, truth):
                nursery.start_soon(client.run, name=client.name)
            for operator in self._operators(wire, truth):
                nursery.start_soon(operator.run, name=operator.name)
            for subscriber in subscribers:
                nursery.start_soon(subscriber.run, name=subscriber.name)
            nursery.start_soon(self._watch, world)
            nursery.start_soon(self._script, world, network)
            await self._over.wait()
            for host in hosts.values():
                if host.frozen:  # else it could not even end
                    host.thaw()
            nursery.cancel_scope.cancel()
        for host in hosts.values():
            host.scrap()

    async def _script(self, world: World, network: Network) -> None:
        nemesis = Nemesis(
            self.scenario,
            hosts=world.hosts,
            network=network,
            reach=world.reach,
            history=self.history,
            rng=self._chance(),
            before_loss=world.disk_will_be_lost,
        )
        await trio.sleep(self.scenario.heartbeat_s)
        await nemesis.run()
        self._calm.set()
        calm_s = trio.current_time()
        await trio.sleep_until(calm_s + self.scenario.converged_s)
        self._ask(world, Checker.converged)
        await trio.sleep_until(calm_s + self.scenario.settle_s)
        self._ask(world, Checker.settled)
        self.history.add("-", "the end")
        self._end()

    def _ask(self, world: World, question: Callable[[Checker], None]) -> None:
        world.look()
        for checker in self._checkers:
            getattr(checker, question.__name__)()
        self._stop_if_over()

    async def _watch(self, world: World) -> None:
        while True:
            await trio.sleep(LOOK_S)
            self._ask(world, Checker.observe)

    def _seen(self, host: Host, change: ServiceChange) -> None:
        self.history.add(host.name, _describe(change))
        for checker in self._checkers:
            checker.changed(host, change)
        self._stop_if_over()

    def _stop_if_over(self) -> None:
        for checker in self._checkers:
            if checker.violations and not self._over.is_set():
                self.history.add("-", f"VIOLATION {checker.violations[0]}")
                self._end()

    def _end(self) -> None:
        self._over.set()
        self.history.close()

    # Who takes part

    def _chance(self) -> random.Random:
        return random.Random(self._rng.randrange(2**32))

    def _host(
        self, name: str, network: Network, queue: RunQueue, nursery: trio.Nursery, opened: Callable[[], None]
    ) -> Host:
        skew_ms = self._rng.randint(-self.scenario.skew_max_ms, self.scenario.skew_max_ms)
        if self._clocks_agree:
            skew_ms = 0
        return Host(
            name,
            self.scenario.config_of(name),
            network=network,
            queue=queue,
            history=self.history,
            nursery=nursery,
            clock=HostClock(skew_ms=skew_ms, uptime_s=self._rng.uniform(100, 1_000_000)),
            seed=self._rng.randrange(2**32),
            seen=self._seen,
            opened=opened,
        )

    def _clients(self, wire: Wire, truth: Truth) -> list[ServiceClient]:
        return [
            ServiceClient(
                name,
                number,
                self.scenario,
                wire=wire,
                truth=truth,
                history=self.history,
                rng=self._chance(),
                calm=self._calm,
            )
            for number, name in enumerate(self.scenario.client_names)
        ]

    def _operators(self, wire: Wire, truth: Truth) -> list[Operator]:
        return [
            Operator(
                name,
                self.scenario,
                wire=wire,
                truth=truth,
                history=self.history,
                rng=self._chance(),
                calm=self._calm,
            )
            for name in self.scenario.operator_names
        ]

    def _subscriber(self, name: str, network: Network) -> Subscriber:
        rng = self._chance()
        count = rng.randint(1, self.scenario.services)
        spelling = Spelling(rng, mixed_case=self.scenario.mixed_case)
        services = [spelling.id(service) for service in rng.sample(self.scenario.service_ids, count)]
        return Subscriber(name, services, self.scenario.names, network=network, history=self.history, rng=rng)


def crashed(seed: int, how: str) -> Result:
    """The result of a seed of which nothing is known but how it ended."""
    return Result(seed, [Violation("Crash", None, how)], transcript=(), fingerprint="", events=0, seconds=0.0)


def simulate(seed: int, scenario: Scenario, *, checkers: Sequence[type[Checker]] = ALL) -> Result:
    """Run one seed, and leave no garbage behind."""
    was_enabled = gc.isenabled()
    gc.disable()  # one collection afterwards costs a fraction of many in between
    try:
        return Simulation(seed, scenario, checkers=checkers).run()
    finally:
        if was_enabled:
            gc.enable()


def _describe(change: ServiceChange) -> str:
    told = ", ".join(f"{one.change_type} {one.key}" for one in change.changes) or "reload"
    return f"tells {change.service_key} {change.revision & 0xFFFFF}: {told}"
