"""The lease sweeper: prompt, patient with a paused process, and never in anybody's way."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from artemis.actors.effects import Effects
from artemis.actors.supervisor import open_supervisor
from artemis.actors.sweeper import LeaseSweeper
from artemis.store.changes import ServiceChange
from artemis.store.instances import Instance
from artemis.store.preservation import PreservationSettings
from artemis.store.registry import Registry, RegistrySettings
from artemis.store.versions import HybridClock

OFF = PreservationSettings(enabled=False)

INSTANCE = Instance(region_id="lab", zone_id="z", service_id="svc.a", instance_id="i1", url="u")


class VirtualClock:
    """Trio's clock for leases, and a wall clock that goes with it."""

    def now_s(self) -> float:
        return trio.current_time()

    def now_ms(self) -> int:
        return 1_795_000_000_000 + int(trio.current_time() * 1000)

    def stamp_ms(self) -> float:
        return 1_795_000_000_000 + trio.current_time() * 1000


class Heard:
    """A change sink that remembers when it heard what."""

    def __init__(self) -> None:
        self.deletes: list[tuple[float, str]] = []

    def post(self, changes: Sequence[ServiceChange]) -> None:
        for change in changes:
            self.deletes += [(trio.current_time(), c.key) for c in change.changes if c.change_type == "delete"]


@contextmanager
def a_registry(
    preservation: PreservationSettings | None = None, *, hourly_s: float = 300.0
) -> Generator[tuple[Registry, Effects, Heard, VirtualClock], None, None]:
    clock = VirtualClock()
    settings = RegistrySettings("lab", preservation=preservation or PreservationSettings(), granted_hourly_s=hourly_s)
    registry = Registry(settings, clock=HybridClock(1), origin=1, now_s=clock.now_s(), now_ms=clock.now_ms())
    effects, heard = Effects(), Heard()
    effects.broadcasters.append(heard)
    yield registry, effects, heard, clock


async def test_a_dead_instance_is_gone_within_two_tenths_of_a_second_after_its_lease(autojump_clock: MockClock) -> None:
    """Pitfall 11."""
    with a_registry() as (registry, effects, heard, clock):
        async with open_supervisor() as supervisor:
            supervisor.start("sweeper", lambda: LeaseSweeper(registry, effects, clock, interval_s=0.1))
            registry.register([INSTANCE], now_s=clock.now_s(), now_ms=clock.now_ms())
            await trio.sleep(25)
    ((when_s, key),) = heard.deletes
    assert key == "i1"
    assert 20.0 <= when_s <= 20.2


async def test_a_paused_process_evicts_nobody_when_it_wakes(autojump_clock: MockClock) -> None:
    """Pitfall 13: the virtual clock jumps a minute in which no task ran, as it does for a stopped process."""
    with a_registry() as (registry, effects, heard, clock):
        async with open_supervisor() as supervisor:
            sweeper = LeaseSweeper(registry, effects, clock, interval_s=0.1)
            supervisor.start("sweeper", lambda: sweeper)
            registry.register([INSTANCE], now_s=clock.now_s(), now_ms=clock.now_ms())
            await trio.sleep(5)
            autojump_clock.jump(60)
            await trio.sleep(10)
            assert heard.deletes == []
            assert sweeper.statistics.granted_s >= 60
            await trio.sleep(10)
    ((when_s, _),) = heard.deletes
    assert 80 <= when_s <= 80.5


async def test_thousands_that_expire_at_once_are_swept_in_steps(autojump_clock: MockClock) -> None:
    with a_registry(OFF) as (registry, effects, heard, clock):
        many = [Instance(region_id="lab", service_id="svc.a", instance_id=f"i{n}", url="u") for n in range(3000)]
        registry.register(many, now_s=clock.now_s(), now_ms=clock.now_ms())
        sweeper = LeaseSweeper(registry, effects, clock, interval_s=0.1, visits=100)
        async with open_supervisor() as supervisor:
            supervisor.start("sweeper", lambda: sweeper)
            await trio.sleep(21)
    assert len(heard.deletes) == 3000
    assert sweeper.statistics.expired == 3000
    assert sweeper.statistics.sweeps >= 200 + 30


async def test_pauses_are_granted_up_to_a_bound_in_any_hour(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Who can make the event loop stand must not decide how long the dead live on."""
    with a_registry(hourly_s=30) as (registry, effects, heard, clock):
        async with open_supervisor() as supervisor:
            sweeper = LeaseSweeper(registry, effects, clock, interval_s=0.1)
            supervisor.start("sweeper", lambda: sweeper)
            registry.register([INSTANCE], now_s=clock.now_s(), now_ms=clock.now_ms())
            for _ in range(8):  # 5 s of standing in each 6 s, as often as one likes
                autojump_clock.jump(5)
                await trio.sleep(1)
            assert [key for _, key in heard.deletes] == []
            assert 29 <= registry.grants.granted_s <= 30
            assert registry.grants.refused_s >= 10
            assert "in one hour they are extended by 30 s at most" in caplog.text
            autojump_clock.jump(5)
            await trio.sleep(1)
            ((when_s, _),) = heard.deletes
            assert 50 <= when_s <= 55
            await trio.sleep(3600)
            autojump_clock.jump(20)
            await trio.sleep(1)
            assert registry.grants.granted_s >= 49


async def test_what_is_protected_is_said_once_when_it_begins_and_once_when_it_ends(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with a_registry(PreservationSettings(ceiling_s=60)) as (registry, effects, heard, clock):
        many = [Instance(region_id="lab", service_id="svc.a", instance_id=f"i{n}", url="u") for n in range(30)]
        registry.register(many, now_s=clock.now_s(), now_ms=clock.now_ms())
        async with open_supervisor() as supervisor:
            supervisor.start("sweeper", lambda: LeaseSweeper(registry, effects, clock, interval_s=0.1))
            await trio.sleep(79)
            assert registry.is_protected()
            assert registry.protected_services() == ["svc.a"]
            assert (registry.overdue_count, heard.deletes) == (30, [])
            await trio.sleep(2)
        assert len(heard.deletes) == 30
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert "self-preservation: too many leases are silent" in said[0]
    assert "svc.a" in said[1]
    assert {"has ended" in line for line in said[2:]} == {True}
