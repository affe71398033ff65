"""The promises of the cluster hold, whatever goes wrong: 200 seeds in each run, more by hand (docs/testing.md)."""

import os
import subprocess
import sys

import pytest

from artemis.cluster.simulation.scenario import Scenario
from artemis.cluster.simulation.seeds import failure_text, run_seeds
from artemis.cluster.simulation.simulation import simulate

SEEDS = int(os.environ.get("ARTEMIS_SIMULATED_SEEDS", "200"))
FIRST = int(os.environ.get("ARTEMIS_FIRST_SEED", "1"))
JOBS = 2

FINGERPRINT = """
from artemis.cluster.simulation.scenario import Scenario
from artemis.cluster.simulation.simulation import simulate
print(simulate(5, Scenario()).fingerprint)
"""


def test_every_promise_holds_for_every_seed() -> None:
    scenario = Scenario()
    failures = [
        failure_text(result, scenario)
        for result in run_seeds(range(FIRST, FIRST + SEEDS), scenario, jobs=JOBS)
        if not result.ok
    ]
    assert not failures, "\n\n".join(failures)


def test_more_nodes_and_more_clients_keep_their_promises_too() -> None:
    scenario = Scenario(nodes=5, clients=15)
    for seed in (1, 2):
        result = simulate(seed, scenario)
        assert result.ok, failure_text(result, scenario)


def test_a_seed_does_the_same_each_time() -> None:
    one, again, other = simulate(3, Scenario()), simulate(3, Scenario()), simulate(4, Scenario())
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.events == again.events > 100


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_does_the_same_in_another_process(hash_seed: str) -> None:
    """Whatever order that process keeps its sets in."""
    command = [sys.executable, "-c", FINGERPRINT]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    assert found.stdout.strip() == simulate(5, Scenario()).fingerprint
