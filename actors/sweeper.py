"""The lease sweeper: ends leases that ran out, in steps so small that nobody waits for it."""

import logging
import time
from dataclasses import dataclass
from typing import Final

import trio

from artemis.store.registry import Registry, SweepOutcome

from .clock import Clock
from .effects import Effects

logger = logging.getLogger(__name__)

NAMED_MAX: Final = 5
"""Services that one line of the log names."""


@dataclass(slots=True)
class SweepStatistics:
    """What the sweeper has done since the node started."""

    sweeps: int = 0
    expired: int = 0
    protected: int = 0
    longest_s: float = 0.0
    """The longest single step, in seconds of processor time: what it costs, not what neighbours on the machine take."""
    granted_s: float = 0.0
    """Time that was granted to all leases because the process did not run."""
    refused_s: float = 0.0
    """Time in which the process did not run, and that was not granted."""
    behind_s: float = 0.0
    """By how much the last sweep came too late."""


class LeaseSweeper:
    """Sweeps the registry at an interval. Holds nothing that a successor would miss."""

    def __init__(
        self,
        registry: Registry,
        effects: Effects,
        clock: Clock,
        *,
        interval_s: float,
        visits: int = 500,
        statistics: SweepStatistics | None = None,
    ) -> None:
        """`interval_s` between sweeps; `visits` leases are looked at before others get their turn."""
        self._registry = registry
        self._effects = effects
        self._clock = clock
        self._interval_s = interval_s
        self._visits = visits
        self.statistics = statistics or SweepStatistics()
        self._was_protected = False
        self._services: dict[str, None] = {}
        """Services that were protected at the last look."""

    async def run(self) -> None:
        next_s = trio.current_time()
        while True:
            next_s = max(next_s + self._interval_s, trio.current_time())
            await trio.sleep_until(next_s)
            self.statistics.behind_s = max(0.0, trio.current_time() - next_s)
            while self._step().more:
                await trio.lowlevel.checkpoint()
            self._report()

    def _step(self) -> SweepOutcome:
        started_s = time.thread_time()
        now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
        outcome = self._registry.sweep(now_s=now_s, now_ms=now_ms, visits=self._visits)
        self._effects.merged(outcome.entries, outcome.changes)
        statistics = self.statistics
        statistics.sweeps += 1
        statistics.expired += outcome.expired
        statistics.protected += outcome.protected
        statistics.longest_s = max(statistics.longest_s, time.thread_time() - started_s)
        return outcome

    def _report(self) -> None:
        self._report_pauses()
        protected = self._registry.is_protected()
        if protected != self._was_protected:
            self._was_protected = protected
            if protected:
                logger.warning(
                    "self-preservation: too many leases are silent at once; none of this node expires for now"
                )
            else:
                logger.info("self-preservation has ended; leases expire again")
        if self._registry.judge.protected or self._services:
            self._report_services()

    def _report_services(self) -> None:
        services = dict.fromkeys(self._registry.judge.protected)
        begun = [key for key in services if key not in self._services]
        ended = [key for key in self._services if key not in services]
        self._services = services
        if begun:
            logger.warning("self-preservation: too many leases of %s are silent at once; none expires", _named(begun))
        if ended:
            logger.info("self-preservation of %s has ended", _named(ended))

    def _report_pauses(self) -> None:
        grants, statistics = self._registry.grants, self.statistics
        granted_s, refused_s = grants.granted_s - statistics.granted_s, grants.refused_s - statistics.refused_s
        statistics.granted_s, statistics.refused_s = grants.granted_s, grants.refused_s
        if refused_s > 0:
            logger.error(
                "this process did not run for %.1f s; every lease is extended by %.1f s only:"
                " in one hour they are extended by %.0f s at most",
                granted_s + refused_s,
                granted_s,
                self._registry.settings.granted_hourly_s,
            )
        elif granted_s > 0:
            logger.warning("this process did not run for %.1f s; every lease is extended by that time", granted_s)


def _named(keys: list[str]) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(keys) - NAMED_MAX} more services" if len(keys) > NAMED_MAX else ""
    return ", ".join(keys[:NAMED_MAX]) + more
