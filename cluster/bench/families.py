"""All rows of the bench, by the names that `--only` takes."""

from collections.abc import Iterator, Mapping, Sequence

from .cluster_rows import frames, spread, sync
from .management_rows import evacuation, loaded, writes
from .measurements import Measurement
from .population_rows import million, population
from .push_rows import push
from .rates import heartbeat, lookup, register
from .settings import BenchSettings, Family

FAMILIES: Mapping[str, Family] = {
    "heartbeat": heartbeat,
    "lookup": lookup,
    "register": register,
    "population": population,
    "million": million,
    "push": push,
    "spread": spread,
    "frames": frames,
    "sync": sync,
    "writes": writes,
    "evacuation": evacuation,
    "loaded": loaded,
}


def measure(settings: BenchSettings, names: Sequence[str]) -> Iterator[Measurement]:
    """Measure the named families, one after the other."""
    for name in names:
        yield from FAMILIES[name](settings)
