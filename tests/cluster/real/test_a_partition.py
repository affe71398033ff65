"""One node cut off from two for longer than a lease: both sides serve and take writes, and agree after the heal."""

from pathlib import Path
from typing import Any

import trio

from ...contract.waiting import eventually
from ...contract.wire import ask, encoded, rpc
from .clients import Fleet, instance, open_fleet
from .clusters import ANTI_ENTROPY_S, HEARTBEAT_S, LEASE_S, SWEEP_S, RealCluster, open_real, while_time_passes
from .observers import GRACE_S, ids_at, open_observers

EAST, WEST = "real.east", "real.west"
PARTITION_S = 1.75 * LEASE_S


async def test_a_partition_loses_nobody_and_both_sides_agree_after_it(tmp_path: Path) -> None:
    """Without self-preservation, which would hide it if suspects were not kept."""
    settings = {"registry": {"self_preservation": False}}
    async with open_real(tmp_path, settings=settings) as cluster:
        east, west = cluster.without("c"), [cluster["c"]]
        async with (
            open_fleet(EAST, 20, east, each=2) as eastern,
            open_fleet(WEST, 10, west, each=2) as western,
            open_observers(eastern, list(cluster.places.values()), following=west) as seeing_east,
            open_observers(western, list(cluster.places.values()), following=east) as seeing_west,
        ):
            cluster.cut("a,b|c")
            cut_s = trio.current_time()
            await _write_on_both_sides(cluster, eastern, western)
            died_early = western.services[1]
            western.die(died_early)
            await while_time_passes(cut_s + PARTITION_S - trio.current_time())

            await _suspects_are_served_and_marked(cluster, eastern, western)
            assert await ids_at(cluster["c"], WEST) == western.alive | {"born-at-c"}, (
                "c heard of its own, and knows who is dead"
            )
            seeing_east.judge()
            seeing_west.judge()

            cluster.heal()
            healed_s = trio.current_time()
            await eventually(lambda: _is_gone_everywhere(cluster, died_early.ids), LEASE_S + SWEEP_S + GRACE_S)
            print(f"the dead were gone everywhere {trio.current_time() - healed_s:.2f} s after the heal")
            for name in cluster.places:
                assert (await cluster.leases(name))["overdueCount"] == 0
                await _agrees_on_writes(cluster, name)
            await eventually(cluster.has_converged, GRACE_S)
            seeing_east.judge()
            seeing_west.judge()


async def test_after_a_partition_everybody_knows_everything_within_two_heartbeats_and_a_round(tmp_path: Path) -> None:
    async with open_real(tmp_path) as cluster:
        places = list(cluster.places.values())
        async with (
            open_fleet(EAST, 10, cluster.without("c")) as eastern,
            open_fleet(WEST, 10, [cluster["c"]]) as western,
        ):
            cluster.cut("a,b|c")
            cut_s = trio.current_time()
            await _write_on_both_sides(cluster, eastern, western)
            await while_time_passes(cut_s + PARTITION_S - trio.current_time())
            # One that dies now is known everywhere, and gone everywhere a lease and a sweep later.
            died = eastern.services[1]
            eastern.die(died)

            cluster.heal()
            healed_s = trio.current_time()
            await eventually(cluster.has_converged, 2 * HEARTBEAT_S + ANTI_ENTROPY_S)
            print(f"converged {trio.current_time() - healed_s:.2f} s after the heal")
            for place in places:
                await _agrees_on_writes(cluster, place.name)
            left_s = healed_s + LEASE_S + SWEEP_S + GRACE_S - trio.current_time()
            await eventually(lambda: _is_gone_everywhere(cluster, died.ids, EAST), left_s)
            await eventually(cluster.sees_equality, 1 + GRACE_S)


async def _write_on_both_sides(cluster: RealCluster, eastern: Fleet, western: Fleet) -> None:
    """Each side registers, unregisters, and pulls out; all of it is acknowledged."""
    for name, service_id, fleet in (("a", EAST, eastern), ("c", WEST, western)):
        leaving = fleet.services[0]
        await fleet.unregister(leaving)
        born = {**instance(service_id, f"born-at-{name}"), "metadata": {"artemis.lease-ttl-ms": "60000"}}
        answer = await rpc(cluster[name], "registry/register", {"instances": [born]})
        assert answer["responseStatus"]["status"] == "success"
        pulled = max(fleet.alive)
        fleet.alive.discard(pulled)
        await pull_out(cluster, name, service_id, pulled)


async def pull_out(cluster: RealCluster, node: str, service_id: str, instance_id: str) -> None:
    key = {"regionId": "lab", "serviceId": service_id, "instanceId": instance_id}
    body = {"instanceKey": key, "operation": "pull-out", "operatorId": node, "token": "t"}
    answer = await ask(cluster[node], "POST", "/api/management/operate-instance.json", encoded(body))
    assert answer.json["responseStatus"]["status"] == "success", answer


async def _agrees_on_writes(cluster: RealCluster, name: str) -> None:
    for origin, service_id, prefix in (("a", EAST, "i0-"), ("c", WEST, "i0-")):
        found = await ids_at(cluster[name], service_id) or set()
        assert f"born-at-{origin}" in found, f"{name} does not know what was registered at {origin}"
        assert not {one for one in found if one.startswith(prefix)}, f"{name} undid an unregister"
        operations: Any = await ask(
            cluster[name], "POST", "/api/management/all-instance-operations.json", encoded({"regionId": "lab"})
        )
        pulled = [each["instanceKey"] for each in operations.json["allInstanceOperations"]]
        assert {key["serviceId"] for key in pulled} == {EAST, WEST}
        assert not found & {key["instanceId"] for key in pulled if key["serviceId"] == service_id}


async def _suspects_are_served_and_marked(cluster: RealCluster, eastern: Fleet, western: Fleet) -> None:
    for name, fleet in (("a", western), ("b", western), ("c", eastern)):
        status = await cluster.leases(name)
        marked = [lease for lease in status["leases"][fleet.service_id] if lease["suspect"]]
        assert {lease["instance"].rpartition("/")[2] for lease in marked} >= fleet.alive
        assert status["overdueCount"] >= len(fleet.alive)
        assert (await cluster.metrics(name))["artemis_leases_overdue"] == status["overdueCount"]


async def _is_gone_everywhere(cluster: RealCluster, ids: set[str], service_id: str = WEST) -> bool:
    return not any([(await ids_at(place, service_id) or set()) & ids for place in cluster.places.values()])
