"""What goes wrong: one thing after the other, sometimes two at a time, and everything is healed at the end."""

import math
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from ..faults import Cut, Flow
from .history import History
from .hosts import Host
from .network import Network
from .reach import Reach
from .scenario import SECRET, Scenario
from .situations import Situation

Fault = Callable[[float], Awaitable[None]]
"""Breaks something, waits for so long, and mends it."""

OTHER_SECRET: Final = "the secret of another cluster"
CALM: Final = 0.15
"""Probability that the cluster is given time to recover before the next blow."""


class Nemesis:
    """Breaks hosts and the network between them, by lot."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        hosts: Mapping[str, Host],
        network: Network,
        reach: Reach,
        history: History,
        rng: random.Random,
        before_loss: Callable[[Host], None],
    ) -> None:
        """`before_loss` is told of a host whose disk is about to be lost."""
        self._scenario = scenario
        self._hosts = hosts
        self._network = network
        self._reach = reach
        self._history = history
        self._rng = rng
        self._before_loss = before_loss
        self._busy: set[str] = set()
        """Hosts to which something is being done."""
        self._faults: list[tuple[int, Fault]] = [
            (3, self._partition),
            (3, self._one_way),
            (2, self._isolate),
            (1, self._clients_cut_off),
            (2, self._clog),
            (2, self._swizzle),
            (2, self._slow),
            (2, self._lossy),
            (5, self._pause),
            (3, self._stutter),
            (4, self._kill),
            (2, self._power_loss),
            (3, self._new_disk),
            (2, self._restart),
            (1, self._reset),
        ]
        if scenario.ceiling_s < scenario.faults_last_s:
            self._faults.append((12, self._long_isolation))
        if scenario.old_disks:
            self._faults += [(8, self._old_disk), (4, self._restarts)]
        if scenario.misfits:
            self._faults += [(5, self._other_secret), (4, self._wrong_clock), (4, self._clock_jumps)]

    async def run(self) -> None:
        """Break things until time is up, then mend everything."""
        scenario, rng = self._scenario, self._rng
        async with trio.open_nursery() as nursery:
            end_s = trio.current_time() + scenario.trouble_s
            while True:
                await trio.sleep(rng.expovariate(1 / scenario.faults_pause_s))
                if rng.random() < CALM:
                    await trio.sleep(scenario.converged_s)
                if trio.current_time() >= end_s:
                    break
                fault = rng.choices([fault for _, fault in self._faults], [weight for weight, _ in self._faults])[0]
                lasts_s = min(rng.expovariate(1 / scenario.faults_last_s), end_s - trio.current_time())
                nursery.start_soon(fault, lasts_s)
        self._network.heal()
        for host in self._hosts.values():
            if not host.is_running:
                host.start()
        self._history.add("-", "everything is healed")

    # The network

    async def _partition(self, lasts_s: float) -> None:
        names = list(self._hosts)
        self._rng.shuffle(names)
        at = self._rng.randrange(1, len(names))
        one, other = sorted(names[:at]), sorted(names[at:])
        # Clients live on one side or the other.
        for client in (*self._scenario.client_names, *self._scenario.subscriber_names, *self._scenario.operator_names):
            (one if self._rng.random() < 0.5 else other).append(client)
        flows = list(self._network.faults.between(one, other))
        self._history.met(Situation.PARTITION)
        await self._cut(flows, lasts_s, f"{','.join(one)} | {','.join(other)}")

    async def _one_way(self, lasts_s: float) -> None:
        one, other = self._rng.sample(list(self._hosts), 2)
        await self._cut([(one, other)], lasts_s, f"nothing comes from {one} to {other}")

    async def _isolate(self, lasts_s: float) -> None:
        name = self._rng.choice(list(self._hosts))
        flows = list(self._network.faults.between([name], self._hosts))
        await self._cut(flows, lasts_s, f"{name} | all other nodes")

    async def _long_isolation(self, lasts_s: float) -> None:
        """Longer than a node keeps what it can no longer hear of."""
        kept_s = self._scenario.ceiling_s + self._scenario.lease_s
        await self._isolate(max(lasts_s, self._rng.uniform(kept_s, 4 * kept_s)))

    async def _clients_cut_off(self, lasts_s: float) -> None:
        name = self._rng.choice(list(self._hosts))
        flows = list(
            self._network.faults.between([name], [*self._scenario.client_names, *self._scenario.subscriber_names])
        )
        await self._cut(flows, lasts_s, f"{name} | all clients")

    async def _cut(self, flows: list[Flow], lasts_s: float, text: str) -> None:
        cut = Cut.RESET if self._rng.random() < 0.25 else Cut.SILENT
        self._history.add("-", f"cut ({cut.value}): {text}")
        self._network.cut(flows, cut=cut)
        await trio.sleep(lasts_s)
        self._history.add("-", f"healed: {text}")
        self._network.heal(flows)

    async def _clog(self, lasts_s: float) -> None:
        one, other = self._rng.sample(list(self._hosts), 2)
        self._history.add("-", f"clogged: from {one} to {other}")
        await self._network.clog([(one, other)], seconds=min(lasts_s, 8.0))

    async def _swizzle(self, lasts_s: float) -> None:
        names = list(self._hosts)
        flows = [(a, b) for a in names for b in names if a != b]
        chosen = self._rng.sample(flows, self._rng.randrange(2, len(flows) + 1))
        self._history.add("-", f"swizzle: {' '.join(f'{a}>{b}' for a, b in chosen)}")
        await self._network.swizzle(chosen, pause_s=lasts_s / 2 / len(chosen))
        self._history.add("-", "swizzle is over")

    async def _slow(self, lasts_s: float) -> None:
        name = self._rng.choice(list(self._hosts))
        flows = list(self._network.faults.between([name], self._hosts))
        delay_s = self._rng.uniform(0.05, 0.8)
        self._history.add("-", f"slow: {name} by {delay_s:.2f} s")
        self._network.slow(flows, delay_s=delay_s, jitter_s=delay_s)
        await trio.sleep(lasts_s)
        self._history.add("-", f"healed: {name} is no longer slow")
        self._network.heal(flows)

    async def _lossy(self, lasts_s: float) -> None:
        name = self._rng.choice(list(self._hosts))
        flows = list(self._network.faults.between([name], self._hosts))
        loss = self._rng.uniform(0.05, 0.4)
        self._history.add("-", f"lossy: {name} by {loss:.0%}")
        self._network.lossy(flows, loss=loss)
        await trio.sleep(lasts_s)
        self._history.add("-", f"healed: {name} is no longer lossy")
        self._network.heal(flows)

    async def _reset(self, lasts_s: float) -> None:
        one, other = self._rng.sample(list(self._hosts), 2)
        self._history.add("-", f"links reset: {one} {other}")
        self._network.reset(one, other)
        await trio.lowlevel.checkpoint()

    # The hosts

    def _take(self) -> Host | None:
        """A host to which nothing is being done; one at least is left in peace, and serves."""
        free = [host for host in self._hosts.values() if host.name not in self._busy and host.status == "up"]
        if len(free) < 2:
            return None
        host = self._rng.choice(free)
        self._busy.add(host.name)
        return host

    async def _pause(self, lasts_s: float) -> None:
        host = self._take()
        if host is None:
            return
        lasts_s = max(lasts_s, self._rng.uniform(0, 1.5 * self._scenario.lease_s))
        if lasts_s > self._scenario.lease_s:
            self._history.met(Situation.PAUSE)
        host.freeze()
        self._reach.note_pause(host.name)
        await trio.sleep(lasts_s)
        self._reach.note_end_of_pause(host.name)
        host.thaw()
        self._busy.discard(host.name)

    async def _stutter(self, lasts_s: float) -> None:
        """A host that has too little of its processor: it runs in short spells."""
        host = self._take()
        if host is None:
            return
        end_s = trio.current_time() + lasts_s
        while trio.current_time() < end_s:
            host.freeze()
            self._reach.note_pause(host.name)
            await trio.sleep(self._rng.uniform(0.1, 2.5))
            self._reach.note_end_of_pause(host.name)
            host.thaw()
            await trio.sleep(self._rng.uniform(0.01, 0.5))
        self._busy.discard(host.name)

    async def _kill(self, lasts_s: float) -> None:
        await self._end_and_start(lasts_s, silently=False)

    async def _power_loss(self, lasts_s: float) -> None:
        await self._end_and_start(lasts_s, silently=True)

    async def _new_disk(self, lasts_s: float) -> None:
        await self._end_and_start(lasts_s, silently=self._rng.random() < 0.5, new_disk=True)

    async def _end_and_start(self, lasts_s: float, *, silently: bool, new_disk: bool = False) -> None:
        host = self._take()
        if host is None:
            return
        if new_disk:
            self._before_loss(host)
        await host.kill(silently=silently)
        if new_disk:
            host.replace_disk()
            self._history.met(Situation.DISK_LOST)
        await trio.sleep(self._rng.uniform(0, lasts_s))
        host.start()
        self._busy.discard(host.name)

    async def _other_secret(self, lasts_s: float) -> None:
        """A node is started with another secret, as when somebody changes it at one node only."""
        host = self._take_misfit()
        if host is not None:
            await host.kill()
            host.set_secret(OTHER_SECRET)
            await self._live_as_misfit(host, lasts_s)

    async def _wrong_clock(self, lasts_s: float) -> None:
        """A node is started while its clock is minutes ahead, or behind."""
        host = self._take_misfit()
        if host is not None:
            self._before_loss(host)
            await host.kill()
            host.set_clock(self._minutes_ms())
            await self._live_as_misfit(host, lasts_s)

    async def _clock_jumps(self, lasts_s: float) -> None:
        """The clock of a node that runs is set wrong by minutes."""
        host = self._take_misfit()
        if host is not None:
            self._before_loss(host)
            host.set_clock(self._minutes_ms())
            self._history.met(Situation.CLOCK_JUMP)
            await self._mend(host, lasts_s)

    async def _live_as_misfit(self, host: Host, lasts_s: float) -> None:
        host.start()
        await self._mend(host, lasts_s)

    async def _mend(self, host: Host, lasts_s: float) -> None:
        """Let it be for a while; then somebody mends it, and restarts it, which is what the manual says."""
        await trio.sleep(max(lasts_s, self._rng.uniform(2.0, 2 * self._scenario.lease_s)))
        if host.is_running:
            await host.kill()
        host.mend(SECRET)
        host.start()
        self._busy.discard(host.name)

    def _minutes_ms(self) -> int:
        """More than a fault lasts: what such a clock dates ahead is still ahead when the clock is right again."""
        return self._rng.choice((-1, 1)) * self._rng.randint(200_000, 600_000)

    def _take_misfit(self) -> Host | None:
        """One at a time: two would have each other for a cluster."""
        if any(host.misfit_s < math.inf for host in self._hosts.values()):
            return None
        return self._take()

    async def _old_disk(self, lasts_s: float) -> None:
        """A machine is set back to an image that was made some time ago."""
        host = self._take()
        if host is None:
            return
        if host.image_s == math.inf:
            host.take_image()
            await trio.sleep(max(lasts_s, self._rng.uniform(1.0, 1.5 * self._scenario.lease_s)))
        if host.is_running and not host.frozen and host.node is not None:
            age_s = trio.current_time() - host.image_s
            if age_s > self._scenario.tombstone_s:
                self._history.met(Situation.OLD_IMAGE)
            self._history.met(Situation.IMAGE)
            self._before_loss(host)
            await host.kill(silently=self._rng.random() < 0.5)
            host.restore_image()
            await trio.sleep(self._rng.uniform(0, 3.0))
            host.start()
        self._busy.discard(host.name)

    async def _restarts(self, lasts_s: float) -> None:
        """A node is started again and again, and never runs for long."""
        host = self._take()
        if host is None:
            return
        self._history.met(Situation.RESTARTS)
        for _ in range(self._rng.randint(3, 6)):
            await host.kill()
            await trio.sleep(self._rng.uniform(0, 1.0))
            host.start()
            await trio.sleep(self._rng.uniform(0.1, max(0.5, lasts_s / 2)))
        self._busy.discard(host.name)

    async def _restart(self, lasts_s: float) -> None:
        """As an operator does it."""
        host = self._take()
        if host is None:
            return
        await host.stop()
        await trio.sleep(self._rng.uniform(0, min(lasts_s, 5.0)))
        host.start()
        self._busy.discard(host.name)
