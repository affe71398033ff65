"""Self-preservation: many leases that fall silent at once are the network's fault, up to a ceiling."""

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artemis.store.preservation import PreservationSettings
from artemis.store.registry import Registry
from artemis.store.table import RegistrySettings
from artemis.store.versions import HybridClock

from .building import NOW_MS, REGION, instance, registry

TTL_S = 20.0
CEILING_S = 60.0
TICK_S = 0.2
"""A lease is looked at within two ticks of the wheel."""
SERVICE = "svc.a"


@dataclass
class Agent:
    """Renews its instances, all of them in one request, at a period of its own."""

    keys: list[str]
    period_s: float
    next_s: float
    stops_s: float = float("inf")


@dataclass
class World:
    """A registry, and agents that renew, on a clock of a tenth of a second."""

    agents: list[Agent]
    table: Registry = field(default_factory=lambda: registry(preservation=PreservationSettings(ceiling_s=CEILING_S)))
    now_s: float = 0.0
    protected_s: list[float] = field(default_factory=list[float])
    expired_s: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        for agent in self.agents:
            self.register(*agent.keys)

    def register(self, *keys: str, metadata: dict[str, str | None] | None = None) -> None:
        instances = [instance(key, SERVICE, metadata=metadata) for key in keys]
        self.table.register(instances, now_s=self.now_s, now_ms=NOW_MS)

    def renew(self, *keys: str) -> None:
        for key in keys:
            self.table.renew(SERVICE, key, lease_s=self.table.lease_time(self.now_s))

    def run(self, until_s: float) -> None:
        """Time passes, in order: whoever renews at a moment does it before the sweep of that moment."""
        steps = range(round(self.now_s * 10) + 1, round(until_s * 10) + 1)
        for step in steps:
            sweep_s = step / 10
            for agent in self.agents:
                while agent.next_s <= min(sweep_s, agent.stops_s):
                    self.now_s = max(self.now_s, agent.next_s)
                    self.renew(*agent.keys)
                    agent.next_s += agent.period_s
            self.now_s = sweep_s
            self.sweep()

    def sweep(self) -> None:
        more = True
        while more:
            outcome = self.table.sweep(now_s=self.now_s, now_ms=NOW_MS)
            self.expired_s |= {entry.key: self.now_s for entry in outcome.entries if entry.gone}
            more = outcome.more
        if self.table.is_protected() or self.table.protected_services():
            self.protected_s.append(self.now_s)


def named(prefix: str, size: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(size)]


@st.composite
def fleets(draw: st.DrawFn, *, size_max: int = 40, period_max_s: float = TTL_S / 2) -> list[Agent]:
    """Agents of all sizes, periods up to half a lease, and phases."""
    names = count()
    return [
        Agent(
            [f"i{next(names)}" for _ in range(draw(st.integers(1, size_max)))],
            period_s := draw(st.floats(1.0, period_max_s)),
            draw(st.floats(0.0, period_s)),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]


@settings(deadline=None, max_examples=60)
@given(fleets())
def test_while_every_lease_is_renewed_in_time_nothing_is_doubted(agents: list[Agent]) -> None:
    """Whatever the periods, the phases, and how many are renewed in one request."""
    world = World(agents)
    world.run(90)
    assert world.protected_s == []
    assert world.expired_s == {}
    assert world.table.overdue_count == 0


@pytest.mark.parametrize("period_s", [5.0, 5.3, 6.0, 9.99, 10.0, 15.0, 19.5])
@pytest.mark.parametrize("phase_s", [0.0, 0.05, 2.5])
def test_one_agent_that_renews_a_hundred_at_once_never_triggers_it(period_s: float, phase_s: float) -> None:
    world = World([Agent(named("i", 100), period_s, phase_s)])
    world.run(200)
    assert (world.protected_s, world.expired_s) == ([], {})


@settings(deadline=None, max_examples=40)
@given(fleets(), st.data())
def test_a_few_that_die_expire_as_ever(agents: list[Agent], data: st.DataObject) -> None:
    living = sum(len(agent.keys) for agent in agents)
    dying = data.draw(st.integers(1, max(1, living // 8)))
    last_s = data.draw(st.floats(0, TTL_S - 1))
    world = World([*agents, Agent(named("dead", dying), TTL_S, last_s, stops_s=last_s)])
    world.run(last_s + TTL_S - 0.1)
    assert world.expired_s == {}
    world.run(last_s + TTL_S + 5)
    assert set(world.expired_s) == set(named("dead", dying))
    assert max(world.expired_s.values()) <= last_s + TTL_S + 2 + 2 * TICK_S  # 2 s: renewals at exactly half a lease
    assert world.protected_s == []


@settings(deadline=None, max_examples=40)
@given(fleets(), st.data())
def test_when_many_stop_at_once_none_of_them_expires_until_the_ceiling_and_then_all_do(
    agents: list[Agent], data: st.DataObject
) -> None:
    silent = data.draw(st.lists(st.sampled_from(range(len(agents))), min_size=1, unique=True))
    size = sum(len(agent.keys) for agent in agents)
    stopping = {key for number in silent for key in agents[number].keys}
    share = len(stopping) / size
    world = World(agents)
    stop_s = data.draw(st.floats(30, 45))
    for number in silent:
        agents[number].stops_s = stop_s
    world.run(stop_s + 3 * TTL_S + CEILING_S)
    first_due_s = min(agents[number].next_s - agents[number].period_s + TTL_S for number in silent)
    assert set(world.expired_s) == stopping
    if share > 0.151 and size >= 25:
        assert min(world.expired_s.values()) >= first_due_s + CEILING_S
        assert world.protected_s
        assert max(world.expired_s.values()) <= stop_s + TTL_S + CEILING_S + 2 * TICK_S
        assert max(world.protected_s) <= stop_s + TTL_S + CEILING_S + 2 * TICK_S
    elif share < 0.149 or size < 25:
        assert max(world.expired_s.values()) <= stop_s + TTL_S + 2 + 2 * TICK_S
        assert world.protected_s == []


def test_renewals_that_are_back_end_it_at_once_and_nobody_was_lost() -> None:
    agent = Agent(named("i", 50), 5.0, 1.0, stops_s=40)
    world = World([agent])
    world.run(80)
    assert (world.table.overdue_count, world.table.is_protected()) == (50, True)
    agent.stops_s = float("inf")
    agent.next_s = 80.05
    world.run(80.2)
    assert (world.table.overdue_count, world.table.is_protected()) == (0, False)
    assert world.table.protected_services() == []
    assert world.expired_s == {}


def test_a_loss_that_was_accepted_is_not_doubted_again() -> None:
    """Twice the same number dies; each time it takes one ceiling, and there is no third."""
    world = World([Agent(named("a", 60), 5.0, 1.0), Agent(named("b", 30), 5.0, 2.0, stops_s=40)])
    world.run(300)
    assert max(world.protected_s) < 40 + TTL_S + CEILING_S + 1
    assert len(world.expired_s) == 30


def test_those_who_die_one_by_one_while_others_are_protected_go_with_them() -> None:
    world = World([Agent(named("a", 60), 5.0, 1.0), Agent(named("b", 30), 5.0, 2.0, stops_s=40)])
    world.agents.append(Agent(["late"], 5.0, 0.5, stops_s=70))
    world.register("late")
    world.run(40 + TTL_S + CEILING_S - 6)
    assert world.expired_s == {}
    world.run(40 + TTL_S + CEILING_S + 3)
    assert set(world.expired_s) == {"late", *named("b", 30)}


def test_a_small_service_may_die_altogether_in_a_large_node() -> None:
    world = World([Agent(named("a", 200), 5.0, 1.0)])
    world.table.register([instance(key, "svc.small") for key in named("s", 24)], now_s=0, now_ms=NOW_MS)
    world.run(TTL_S + 1)
    assert "svc.small" not in world.table.services


def test_a_large_service_that_dies_is_doubted_though_the_node_is_well() -> None:
    world = World([Agent(named("a", 1000), 5.0, 1.0)])
    world.table.register([instance(key, "svc.b") for key in named("b", 25)], now_s=0, now_ms=NOW_MS)
    world.run(TTL_S + 5)
    assert world.table.services["svc.b"].live_count == 25
    assert world.table.protected_services() == ["svc.b"]
    assert not world.table.is_protected()
    world.run(TTL_S + CEILING_S + 1)
    assert "svc.b" not in world.table.services
    assert world.table.protected_services() == []


def test_leases_of_very_different_length_are_judged_by_their_own_time() -> None:
    """Half of them speak once in half an hour: that is not silence."""
    world = World([Agent(named("a", 50), 5.0, 1.0)])
    world.register(*named("hourly", 50), metadata={"artemis.lease-ttl-ms": "3600000"})
    world.register("dead")
    world.run(TTL_S + 1)
    assert set(world.expired_s) == {"dead"}
    assert world.protected_s == []


def test_who_said_farewell_counts_so_the_few_that_could_not_are_not_doubted() -> None:
    """A service is scaled down: nearly all unregister, some are killed before they can."""
    world = World([Agent(named("a", 300), 5.0, 1.0, stops_s=42), Agent(named("b", 30), 5.0, 1.0, stops_s=40)])
    world.run(42)
    world.table.unregister([(SERVICE, key) for key in named("a", 300)], now_s=world.now_s, now_ms=NOW_MS)
    world.run(40 + TTL_S + 1)
    assert set(world.expired_s) >= set(named("b", 30))
    assert world.protected_s == []


def test_those_who_unregister_while_protected_leave_at_once() -> None:
    world = World([Agent(named("a", 50), 5.0, 1.0, stops_s=40)])
    world.run(70)
    assert world.table.is_protected()
    world.table.unregister([(SERVICE, "a0")], now_s=world.now_s, now_ms=NOW_MS)
    assert world.table.overdue_count == 49
    assert world.table.services[SERVICE].live_count == 49


def test_it_can_be_switched_off() -> None:
    world = World([Agent(named("a", 50), 5.0, 1.0, stops_s=40)], registry())
    world.run(40 + TTL_S + 1)
    assert len(world.expired_s) == 50
    assert world.protected_s == []


def test_leases_of_grace_end_with_their_grace_and_excite_nobody() -> None:
    """What was restored and is not heard of was gone before; that it is silent proves nothing about the network."""
    old = registry()
    old.register([instance(key, SERVICE) for key in named("old", 100)], now_s=0, now_ms=NOW_MS)
    rows = [(entry.full_key, entry.version, entry.json, NOW_MS, 0) for entry in old.services[SERVICE].entries.values()]
    world = World([])
    world.table.restore(rows, now_s=0, now_ms=NOW_MS)
    world.agents.append(Agent(named("new", 40), 5.0, 1.0))
    world.register(*named("new", 40))
    world.run(TTL_S + 1)
    assert set(world.expired_s) == set(named("old", 100))
    assert world.protected_s == []


def test_suspects_do_not_make_the_node_doubt_what_it_hears_itself() -> None:
    """Half of the leases were renewed by a peer that is out of reach; one of ours dies, and that is not doubted."""
    world = World([Agent(named("a", 50), 5.0, 1.0), Agent(["dead"], 5.0, 1.0, stops_s=30)])
    peer = 77
    world.register(*named("theirs", 50))
    renewals = [
        (entry.full_key, entry.version, 0)
        for entry in world.table.services[SERVICE].entries.values()
        if entry.key.startswith("theirs")
    ]
    for step in range(6):
        world.run(5.0 * step + 2)
        world.table.renew_from_peer(renewals, via=peer, now_s=world.now_s)
    world.table.peer_lost(peer, now_s=world.now_s)
    world.run(30 + TTL_S + 1)
    assert set(world.expired_s) == {"dead"}
    assert world.table.overdue_count == 50
    assert world.protected_s == []
    world.run(35 + CEILING_S + 25)
    assert set(world.expired_s) == {"dead", *named("theirs", 50)}


def test_suspects_do_not_make_what_the_node_hears_itself_look_well() -> None:
    """Six of thirty that it heard itself fall silent: a fifth of them, though few beside the suspects."""
    world = World([Agent(named("a", 24), 5.0, 1.0), Agent(named("silent", 6), 5.0, 1.0, stops_s=30)])
    peer = 77
    world.register(*named("theirs", 70))
    table = world.table.services[SERVICE].entries.values()
    renewals = [(entry.full_key, entry.version, 0) for entry in table if entry.key.startswith("theirs")]
    for step in range(6):
        world.run(5.0 * step + 2)
        world.table.renew_from_peer(renewals, via=peer, now_s=world.now_s)
    world.table.peer_lost(peer, now_s=world.now_s)
    world.run(30 + TTL_S + 1)
    assert world.expired_s == {}
    assert world.table.is_protected()


def test_a_pause_that_is_not_granted_makes_all_silent_at_once_and_that_is_doubted() -> None:
    """All of them are due in one sweep: the first ones must not be judged before the last ones are counted."""
    limits = RegistrySettings(
        REGION, granted_hourly_s=0, preservation=PreservationSettings(ceiling_s=CEILING_S), entries_max=10_000
    )
    table = Registry(limits, clock=HybridClock(1), origin=1, now_s=0, now_ms=NOW_MS)
    world = World([Agent(named("a", 3000), 5.0, 1.0)], table)
    world.run(30)
    world.now_s = 90
    world.sweep()
    assert world.expired_s == {}
    assert table.is_protected()
    world.agents[0].next_s = 90.05
    world.run(91)
    assert (world.expired_s, table.overdue_count) == ({}, 0)


def test_nobody_is_judged_in_a_step_of_a_sweep_before_the_rest_was_counted() -> None:
    """The first step finds few that are silent among many that are not; the others follow."""
    limits = RegistrySettings(REGION, granted_hourly_s=0, preservation=PreservationSettings(ceiling_s=CEILING_S))
    table = Registry(limits, clock=HybridClock(1), origin=1, now_s=0, now_ms=NOW_MS)
    names = [*named("silent", 90), *named("living", 600), *named("silent-too", 400)]
    instances = [instance(name, "svc") for name in names]
    table.register(instances, now_s=0, now_ms=NOW_MS)
    for name in named("living", 600):
        assert table.renew("svc", name, lease_s=table.lease_time(15)) is not None
    while (outcome := table.sweep(now_s=TTL_S + 0.2, now_ms=NOW_MS)).more:
        assert outcome.expired == 0
    assert (outcome.expired, table.live_count) == (0, 1090)


def test_slow_clients_cost_a_death_half_a_lease_at_most() -> None:
    """Who renews less than twice in a lease is often late; that must not keep the dead for long."""
    agents = [Agent([f"i{number}"], 16.0, number * 0.16) for number in range(100)]
    world = World([*agents, Agent(["dead"], 5.0, 1.0, stops_s=30)])
    world.run(26 + 1.5 * TTL_S + 1)
    assert set(world.expired_s) == {"dead"}
    assert world.protected_s == []
