"""What operators decide holds on every node: at once, after restarts and failovers, and after edits on two sides."""

from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from ...contract.waiting import POLL_S, eventually
from ...contract.wire import ask, encoded, get
from ...pace import paced
from .clients import Client, Fleet, Line, Service, open_fleet, request_of
from .clusters import ANTI_ENTROPY_S, REGION, Place, RealCluster, open_real
from .observers import Observers, RpcFollower, ids_at, ids_in, knows, lookup_of, open_observers

SERVICE: Final = "real.managed"
ROUNDS: Final = 20
PROMISED_S: Final = paced(0.1)
GENEROUS_S: Final = paced(3.0)
"""What a machine may take that runs other things, too; what was measured is printed."""


async def manage(place: Place, name: str, document: dict[str, object]) -> Any:
    """A management call of the RPC API that must succeed."""
    answer = await ask(place, "POST", f"/api/management/{name}.json", encoded(document))
    assert answer.status == 200, answer
    assert answer.json["responseStatus"]["status"] == "success", answer.json
    return answer.json


async def pull(place: Place, instance_id: str, *, complete: bool = False, operation: str = "pull-out") -> None:
    """Pull an instance out, or back in when `complete`."""
    key = {"regionId": REGION, "serviceId": SERVICE, "instanceId": instance_id}
    who = {"operatorId": f"operator at {place.name}", "token": "t"}
    await manage(
        place,
        "operate-instance",
        {"instanceKey": key, "operation": operation, "operationComplete": complete, **who},
    )


async def audit(place: Place) -> list[dict[str, Any]]:
    answer = await get(place, "/api/management/audit/logs?pageSize=500")
    rows: list[dict[str, Any]] = answer["data"]
    return rows


async def test_a_pull_out_is_effective_everywhere_at_once_and_outlives_whatever_happens_to_nodes(
    tmp_path: Path,
) -> None:
    """Pitfalls 7 and 15."""
    async with open_real(tmp_path) as cluster:
        places = list(cluster.places.values())
        async with (
            open_fleet(SERVICE, 12, places) as fleet,
            open_observers(fleet, places, following=[cluster["c"]]) as observers,
        ):
            await _takes_effect_at_once(cluster, fleet, observers)
            pulled, at_the_last_moment = fleet.services[0], fleet.services[2]
            fleet.alive -= pulled.ids | at_the_last_moment.ids
            await pull(cluster["a"], *pulled.ids)
            for place in cluster.without("a"):
                await eventually(partial(_hides, place, pulled), GENEROUS_S)
            await pull(cluster["a"], *at_the_last_moment.ids)
            cluster.launcher.kill("a")
            await _stays_hidden(cluster.without("a"), pulled)

            cluster.begin("a")
            await cluster.up("a")
            assert await knows(cluster["a"], fleet)
            await _stays_hidden([cluster["a"]], at_the_last_moment)
            for place in places:
                await eventually(partial(_hides, place, at_the_last_moment), GENEROUS_S)
            await _stays_hidden(places, pulled)

            cluster.launcher.kill("c")
            cluster.forget("c")
            cluster.begin("c")
            await cluster.up("c")
            assert await knows(cluster["c"], fleet)
            assert await _hides(cluster["c"], pulled), "new, ready, and not told"
            assert await audit(cluster["c"]) == await audit(cluster["b"])
            observers.judge()

            await pull(cluster["c"], *pulled.ids, complete=True)
            fleet.alive |= pulled.ids
            for place in places:
                await eventually(partial(knows, place, fleet), GENEROUS_S)


async def _takes_effect_at_once(cluster: RealCluster, fleet: Fleet, observers: Observers) -> None:
    """Time from the answer to the operator until the others' answers have changed; pushes come as fast."""
    (instance_id,) = fleet.services[1].ids
    fleet.alive.discard(instance_id)
    rpc = next(follower for follower in observers.followers if isinstance(follower, RpcFollower))
    delays_s: list[float] = []
    for complete in [False, True] * (ROUNDS // 2):
        await pull(cluster["a"], instance_id, complete=complete)
        answered_s = trio.current_time()
        for place in cluster.without("a"):
            line = Line(place)
            while (instance_id in ids_in(await line.call(lookup_of(SERVICE)))) != complete:
                assert trio.current_time() < answered_s + GENEROUS_S, f"{place.name} was not told"
            delays_s.append(trio.current_time() - answered_s)
            line.close()
        while (instance_id in rpc.picture) != complete:
            assert trio.current_time() < answered_s + GENEROUS_S, "the subscriber was not told"
            await trio.sleep(POLL_S)
    fleet.alive.add(instance_id)
    delays_s.sort()
    print(f"effective on the other nodes after {delays_s[len(delays_s) // 2] * 1000:.1f} ms", end=", ")
    print(f"at most {delays_s[-1] * 1000:.1f} ms")
    assert delays_s[len(delays_s) // 2] < PROMISED_S


async def _stays_hidden(places: list[Place], pulled: Service) -> None:
    """Not even registering again shows it."""
    for place in places:
        client = Client([place])
        await client.call(request_of("/artemis/api/registry/register.json", {"instances": pulled.instances}))
        client.close()
        assert await _hides(place, pulled)


async def _hides(place: Place, pulled: Service) -> bool:
    found = await ids_at(place, SERVICE)
    return found is not None and not found & pulled.ids


async def test_edits_on_both_sides_of_a_partition_converge_and_all_audits_are_everywhere(tmp_path: Path) -> None:
    async with open_real(tmp_path) as cluster:
        places = list(cluster.places.values())
        async with open_fleet(SERVICE, 6, places) as fleet:
            for place in places:
                await eventually(partial(knows, place, fleet))
            one, other, both, *_ = sorted(fleet.alive)
            cluster.cut("a,b|c")
            for name, own in (("a", one), ("c", other)):
                place = cluster[name]
                await pull(place, own)
                await pull(place, both, operation=f"from-{name}")
                await _put_group(place, description=f"as {name} sees it")
            await pull(cluster["a"], both, operation="from-a", complete=True)
            assert await _eventual_ids(cluster["c"], fleet, lacking={other, both})
            assert await _eventual_ids(cluster["b"], fleet, lacking={one})

            cluster.heal()
            await eventually(cluster.has_converged, ANTI_ENTROPY_S + GENEROUS_S)
            groups = [await _groups(place) for place in places]
            assert groups[0] == groups[1] == groups[2]
            assert len(groups[0]) == 1, "one natural key is one group, wherever it was made"
            for place in places:
                # An operation is a record of its own: taking one back leaves the other in force.
                assert await ids_at(place, SERVICE) == fleet.alive - {one, other, both}
            logs = [await audit(place) for place in places]
            assert logs[0] == logs[1] == logs[2]
            assert {row["operatorId"] for row in logs[0]} >= {"operator at a", "operator at c"}
            assert len({row["nodeId"] for row in logs[0]}) == 2
            assert len(logs[0]) == 7


async def _put_group(place: Place, *, description: str) -> None:
    group = {
        "serviceId": SERVICE,
        "regionId": REGION,
        "zoneId": "zone1",
        "name": "blue",
        "appId": "app",
        "description": description,
        "status": "active",
    }
    who = {"operatorId": f"operator at {place.name}", "token": "t", "operation": "create", "reason": "a test"}
    await manage(place, "group/insert-groups", {**who, "groups": [group]})


async def _groups(place: Place) -> list[dict[str, Any]]:
    answer = await manage(place, "group/get-groups", {"serviceId": SERVICE})
    found: list[dict[str, Any]] = answer["groups"]
    return found


async def _eventual_ids(place: Place, fleet: Fleet, *, lacking: set[str]) -> bool:
    async def seen() -> bool:
        return await ids_at(place, SERVICE) == fleet.alive - lacking

    await eventually(seen, GENEROUS_S)
    return True
