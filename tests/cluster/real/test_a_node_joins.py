"""A node that joins a large cluster is not ready before it knows everything, and the others keep serving meanwhile."""

from pathlib import Path
from typing import Any, Final

import trio

from ...contract.waiting import eventually
from ...pace import PATIENCE_S, paced
from .clients import REGISTER, Client, Line, Unanswered, instance, open_fleet, request_of
from .clusters import Place, RealCluster, open_real
from .observers import ids_at, knows, lookup_of, open_observers

POPULATION: Final = 20_000
PER_SERVICE: Final = 100
PER_REQUEST: Final = 500
SERVICE = "real.joins"
LATENCY_S: Final = paced(0.5)
"""Of the slowest answer of those who serve; generous, since everybody shares two cores here."""


async def test_a_node_is_not_ready_before_it_knows_20000_instances_and_others_keep_serving(tmp_path: Path) -> None:
    settings = {"registry": {"lease_ttl_s": 600.0}, "cluster": {"anti_entropy_interval_s": 30.0}}
    async with open_real(tmp_path, later=["c"], settings=settings) as cluster:
        await _populate(cluster["a"])
        await eventually(lambda: _holds(cluster, "b", POPULATION))
        others = cluster.without("c")
        async with (
            open_fleet(SERVICE, 20, others) as fleet,
            open_observers(fleet, others, following=others) as observers,
        ):
            cluster.begin("c")
            began_s = trio.current_time()
            codes, lookups, statuses = await _until_ready(cluster, "c", PER_SERVICE)
            ready_s = trio.current_time() - began_s
            metrics = await cluster.metrics("c")
            assert metrics["artemis_instances"] >= POPULATION
            assert codes.keys() == {200, 503}
            assert lookups["service-unavailable"] > 0
            assert statuses - {"up"} == {"starting"}
            assert await knows(cluster["c"], fleet)
            observers.judge()
            worst_s = max(max(prober.latencies_s) for prober in observers.probers.values())
            print(f"ready after {ready_s:.2f} s, start included; slowest answer of the others {worst_s * 1000:.0f} ms")
            assert worst_s < LATENCY_S
            assert all(prober.refusals == 0 for prober in observers.probers.values())
            await eventually(cluster.has_converged, paced(5))
            assert "synchronised with" in (await cluster.says("c", "this node is up"))["message"]


async def _populate(place: Place) -> None:
    client = Client([place])
    everybody = [instance(f"real.many-{n % (POPULATION // PER_SERVICE)}", f"i{n}") for n in range(POPULATION)]
    for start in range(0, POPULATION, PER_REQUEST):
        answer = await client.call(request_of(REGISTER, {"instances": everybody[start : start + PER_REQUEST]}))
        assert answer["responseStatus"]["status"] == "success"
    client.close()


async def _holds(cluster: RealCluster, name: str, count: int) -> bool:
    return (await cluster.metrics(name))["artemis_instances"] >= count


async def _until_ready(
    cluster: RealCluster, name: str, complete: int
) -> tuple[dict[int, int], dict[str, int], set[str]]:
    """Ask for readiness and for a service until both are given; whatever is answered as good must be complete."""
    codes: dict[int, int] = {}
    lookups: dict[str, int] = {}
    statuses: set[str] = set()
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                answer = await _lookup(cluster[name], "real.many-7")
                code, health = await cluster.health(name)
            except (OSError, Unanswered):
                await trio.sleep(0.005)
                continue
            codes[code] = codes.get(code, 0) + 1
            statuses.add(health["status"])
            error = answer["responseStatus"]["errorCode"]
            lookups[error] = lookups.get(error, 0) + 1
            if error == "success":
                assert len(answer["services"][0]["instances"]) == complete, "a list that is not complete"
            else:
                assert error == "service-unavailable", answer
            if code == 200:
                assert await ids_at(cluster[name], "real.many-7"), "ready, and does not serve"
                return codes, lookups, statuses
            assert code == 503, code


async def _lookup(place: Place, service_id: str) -> dict[str, Any]:
    line = Line(place)
    try:
        return await line.call(lookup_of(service_id))
    finally:
        line.close()
