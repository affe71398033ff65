"""Every row of the bench against real nodes, in miniature: they measure something, and what they say they do."""

import pytest

from artemis.cluster.bench.families import FAMILIES
from artemis.cluster.bench.nodes import choose_cores
from artemis.cluster.bench.population import batches, body_of, make_instance, make_instances
from artemis.cluster.bench.settings import BenchSettings

TINY = BenchSettings(
    cores=choose_cores(),
    rounds=1,
    duration_s=0.2,
    connections=4,
    population=200,
    subscribers=5,
    news=5,
    watched_s=1.0,
    management_share=0.01,
)

ROWS = {
    "heartbeat": 5,
    "lookup": 2,
    "register": 2,
    "population": 4,
    "million": 0,
    "push": 1,
    "spread": 1,
    "frames": 2,
    "sync": 1,
    "writes": 1,
    "evacuation": 1,
    "loaded": 3,
}


def test_every_family_is_tried_here() -> None:
    assert ROWS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_measures_its_rows(name: str) -> None:
    measurements = list(FAMILIES[name](TINY))
    assert len(measurements) == ROWS[name]
    for one in measurements:
        assert one.row == name
        assert one.budget is not None
        assert one.value > 0 or name == "population"


def test_instances_differ_and_look_real() -> None:
    instances = make_instances(0, 300)
    assert len({instance["instanceId"] for instance in instances}) == 300
    assert len({instance["serviceId"] for instance in instances}) == 3
    assert 300 < len(body_of([make_instance(1)])) < 500


def test_a_population_is_registered_in_batches_without_a_gap() -> None:
    bodies = list(batches(1_200, size=500))
    assert [body.count(b"instanceId") for body in bodies] == [500, 500, 200]
