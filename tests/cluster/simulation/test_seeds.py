"""The promises of the cluster hold, whatever goes wrong: 60 seeds in each run, more in .ci/full and by hand.

See docs/testing.md.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Generator
from functools import partial
from multiprocessing.pool import Pool

import pytest

from artemis.cluster.simulation.scenario import Scenario
from artemis.cluster.simulation.seeds import failure_text
from artemis.cluster.simulation.simulation import simulate

from ...pace import PATIENCE_S

FIRST = int(os.environ.get("ARTEMIS_FIRST_SEED", "1"))
SEEDS = int(os.environ.get("ARTEMIS_SIMULATED_SEEDS", "60"))
SEEDS_PER_TEST = 20
JOBS = 2

FINGERPRINT = """
from artemis.cluster.simulation.scenario import Scenario
from artemis.cluster.simulation.simulation import simulate
print(simulate(5, Scenario()).fingerprint)
"""


@pytest.fixture(scope="module")
def processes() -> Generator[Pool, None, None]:
    with multiprocessing.get_context("spawn").Pool(JOBS) as pool:
        yield pool


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, SEEDS_PER_TEST))
def test_every_promise_holds_for_every_seed(first: int, processes: Pool) -> None:
    scenario = Scenario()
    seeds = range(first, min(first + SEEDS_PER_TEST, FIRST + SEEDS))
    results = processes.imap_unordered(partial(simulate, scenario=scenario), seeds)
    failures = [failure_text(result, scenario) for result in results if not result.ok]
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
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=3 * PATIENCE_S)
    assert found.stdout.strip() == simulate(5, Scenario()).fingerprint
