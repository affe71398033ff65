"""Failures that earlier registries shipped are planted in the nodes, and the checker whose promise they break sees it.

The seeds are early ones that show it, so that a run is short; `SEEDS_MAX` is what may be searched when the simulation
has changed and they no longer do.
"""

from collections.abc import Callable, Iterable

import pytest

from artemis.cluster.simulation.scenario import Scenario
from artemis.cluster.simulation.simulation import Result, simulate

from .plants import FOUND, PLANTS

SEEDS_MAX = 200

EVICTED, LOST, DIFFERENT = "NoSurpriseEviction", "NoLiveInstanceLost", "Convergence"
DECIDED = {"ManagementKept", "DecisionsSpread"}

CASES = [
    pytest.param(1, {EVICTED, LOST, "SuspectsKept"}, 9, id="expiry is replicated"),
    pytest.param(2, {LOST, "RefusedAreNotReady"}, 2, id="ready before it has synchronised"),
    pytest.param(3, {DIFFERENT, LOST, *DECIDED}, 1, id="events for a peer that is down are dropped"),
    pytest.param(4, {DIFFERENT, LOST, *DECIDED}, 1, id="renewals of unknown instances are ignored"),
    pytest.param(5, {EVICTED, LOST, DIFFERENT}, 3, id="commands are batched by type"),
    pytest.param(13, {EVICTED}, 9, id="pauses are not noticed"),
    pytest.param(19, {"SubscribersInStep"}, 1, id="pushes are skipped"),
]


def search(first: int) -> Iterable[Result]:
    """The results of seeds from the first on."""
    return (simulate(seed, Scenario()) for seed in range(first, first + SEEDS_MAX))


FOUND_CASES = [
    pytest.param("removals", {"UnregisterSticks"}, 1, id="removals are not remembered"),
    pytest.param("unknown", DECIDED, 8, id="removals of what is not known here are forgotten"),
    pytest.param("decisions", DECIDED, 1, id="decisions that change nothing here are forgotten"),
    pytest.param("registrations", {"RegistrationsKept"}, 16, id="registrations that change nothing here only renew"),
    pytest.param("ranges", DECIDED, 1, id="removals by id or term mean what is here"),
    pytest.param("suspects", {"SuspectsKept"}, 9, id="suspects expire while the network is cut"),
    pytest.param("zones", {"PulledOutIsHidden"}, 3, id="zones are told apart by case"),
    pytest.param("refusals", {"RefusedAreNotReady"}, 2, id="nodes that all others refuse are ready"),
    pytest.param("dates", {"NobodyIsDated"}, 28, id="rows from the future are believed"),
    pytest.param("absences", {"UnregisterSticks"}, 281, id="long absences do not count"),
    pytest.param("ceilings", {"NoZombie"}, 3, id="suspicion never ends"),
    pytest.param("overflows", {"DecisionsSpread"}, 1, id="what overflows is lost"),
]


@pytest.mark.parametrize(("pitfall", "checkers", "first"), CASES)
def test_a_planted_pitfall_is_seen(pitfall: int, checkers: set[str], first: int) -> None:
    see(PLANTS[pitfall], checkers, first)


@pytest.mark.parametrize(("name", "checkers", "first"), FOUND_CASES)
def test_a_bug_of_our_own_would_be_found_again(name: str, checkers: set[str], first: int) -> None:
    see(FOUND[name], checkers, first)


def see(plant: Callable[[pytest.MonkeyPatch], None], checkers: set[str], first: int) -> None:
    """The first seed that fails with the plant breaks one of these promises, and none without the plant."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        failed = next((result for result in search(first) if not result.ok), None)
    assert failed is not None, f"{SEEDS_MAX} seeds did not show it"
    assert failed.violations[0].checker in checkers, f"seed {failed.seed}: {failed.violations[0]}"
    untouched = simulate(failed.seed, Scenario())
    assert untouched.ok, f"seed {failed.seed} fails by itself: {untouched.violations[0]}"
