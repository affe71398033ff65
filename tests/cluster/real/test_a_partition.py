"""One node cut off from two for longer than a lease: both sides serve and take writes, and agree after the heal."""

from functools import partial
from pathlib import Path
from typing import Any

import trio

from ...contract.waiting import eventually
from ...contract.wire import ask, encoded, rpc
from .clients import Fleet, instance, open_fleet
from .clusters import ANTI_ENTROPY_S, HEARTBEAT_S, LEASE_S, SWEEP_S, Place, RealCluster, open_real, while_time_passes
from .observers import GRACE_S, ids_at, open_observers

EAST, WEST = "real.east", "real.west"
PARTITION_S = 1.5 * LEASE_S


async def test_a_partition_loses_nobody_and_both_sides_agree_after_it(tmp_path: Path) -> None:
    """Without self-preservation, which would hide it if suspects were not kept."""
    settings = {"registry": {"self_preservation": False}}
    async with open_real(tmp_path, settings=settings) as cluster:
        everywhere, east, west = list(cluster.places.values()), cluster.without("c"), [cluster["c"]]
        async with (
            open_fleet(EAST, 20, east, each=2) as eastern,
            open_fleet(WEST, 10, west, each=2) as western,
            open_observers(eastern, everywhere, following=west) as seeing_east,
            open_observers(western, everywhere, following=east) as seeing_west,
        ):
            cluster.cut("a,b|c")
            cut_s = trio.current_time()
            await _write_on_both_sides(cluster, eastern, western)
            await while_time_passes(cut_s + PARTITION_S - trio.current_time())
            await _suspects_are_served_and_marked(cluster, eastern, western)
            late = eastern.services[1]
            eastern.die(late)

            cluster.heal()
            healed_s = trio.current_time()
            await eventually(cluster.has_converged, 2 * HEARTBEAT_S + ANTI_ENTROPY_S)
            print(f"converged {trio.current_time() - healed_s:.2f} s after the heal", end=", ")
            for name in cluster.places:
                await _agrees_on_writes(cluster, name)
            await _is_gone_a_lease_later(cluster, EAST, late.ids)

            # Again; and this time one dies early, so that its own side knows before the other is back.
            cluster.cut("a,b|c")
            early = western.services[1]
            western.die(early)
            await eventually(partial(_has_forgotten, cluster["c"], WEST, early.ids), LEASE_S + SWEEP_S + GRACE_S)
            for place in east:
                assert (await ids_at(place, WEST) or set()) >= early.ids, "silence behind a cut proves nothing"
            cluster.heal()
            await _is_gone_a_lease_later(cluster, WEST, early.ids)
            await eventually(cluster.sees_equality, ANTI_ENTROPY_S + GRACE_S)
            seeing_east.judge()
            seeing_west.judge()
            for name in cluster.places:
                assert (await cluster.leases(name))["overdueCount"] == 0
                await _agrees_on_writes(cluster, name)


async def _is_gone_a_lease_later(cluster: RealCluster, service_id: str, ids: set[str]) -> None:
    """A lease and a sweep after a heal, nobody knows the dead any more; and nobody is told anew."""
    healed_s = trio.current_time()
    for place in cluster.places.values():
        left_s = healed_s + LEASE_S + SWEEP_S + GRACE_S - trio.current_time()
        await eventually(partial(_has_forgotten, place, service_id, ids), left_s)
    print(f"the dead were gone everywhere {trio.current_time() - healed_s:.2f} s after the heal")
    for place in cluster.places.values():
        assert await _has_forgotten(place, service_id, ids), f"they are back at {place.name}"


async def _has_forgotten(place: Place, service_id: str, ids: set[str]) -> bool:
    found = await ids_at(place, service_id)
    return found is not None and not found & ids


async def _write_on_both_sides(cluster: RealCluster, eastern: Fleet, western: Fleet) -> None:
    """Each side registers, unregisters, and pulls out; all of it is acknowledged."""
    for name, service_id, fleet in (("a", EAST, eastern), ("c", WEST, western)):
        leaving = fleet.services[0]
        await fleet.unregister(leaving)
        born = {**instance(service_id, f"born-at-{name}"), "metadata": {"artemis.lease-ttl-ms": "3600000"}}
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
