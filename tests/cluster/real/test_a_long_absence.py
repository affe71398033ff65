"""Nodes that were off: for longer than tombstones live, again and again, or while their instances were suspected."""

from functools import partial
from pathlib import Path
from typing import Final

import trio

from ...contract.waiting import eventually
from ...contract.wire import post
from ...pace import PATIENCE_S, paced
from .clients import REGISTER, UNREGISTER, instance
from .clusters import LEASE_S, SWEEP_S, Place, open_real, while_time_passes
from .observers import ids_at

SERVICE: Final = "real.away"
TOMBSTONE_S: Final = 5.0
HOUR: Final = {"artemis.lease-ttl-ms": "3600000"}
LOOK_S: Final = 0.02


async def register(place: Place, *names: str, metadata: dict[str, str] | None = None) -> None:
    instances = [instance(SERVICE, name, metadata=metadata) for name in names]
    assert (await post(place, REGISTER, {"instances": instances}))["responseStatus"]["status"] == "success"


async def first_answer(place: Place) -> set[str]:
    """The first answer of a node that starts; until then it says that it does not serve."""
    while True:
        found = await ids_at(place, SERVICE)
        if found is not None:
            return found
        await trio.sleep(LOOK_S)


async def test_what_was_removed_while_a_node_was_off_for_long_is_served_by_nobody(tmp_path: Path) -> None:
    async with open_real(tmp_path, 2, settings={"registry": {"tombstone_ttl_s": TOMBSTONE_S}}) as cluster:
        a, b = cluster["a"], cluster["b"]
        await register(b, "gone", "there", metadata=HOUR)
        await eventually(lambda: _serves(a, {"gone", "there"}))
        await while_time_passes(paced(3.0))  # they see that they hold the same, and note it
        cluster.launcher.kill("b")
        answer = await post(a, UNREGISTER, {"instances": [instance(SERVICE, "gone")]})
        assert answer["responseStatus"]["status"] == "success"
        assert await ids_at(a, SERVICE) == {"there"}
        await while_time_passes(TOMBSTONE_S + 7)
        assert (await cluster.metrics("a"))["artemis_instances"] == 1
        cluster.begin("b")
        with trio.fail_after(PATIENCE_S):
            assert await first_answer(b) == {"there"}
        with trio.move_on_after(3 * LEASE_S):
            while True:
                assert await ids_at(a, SERVICE) == {"there"}
                assert await ids_at(b, SERVICE) == {"there"}
                await trio.sleep(LOOK_S)
        await eventually(cluster.has_converged)


async def test_restarts_in_a_row_serve_the_dead_for_one_lease_of_grace_in_all(tmp_path: Path) -> None:
    async with open_real(tmp_path, 1) as cluster:
        a, served_s = cluster["a"], 0.0
        await register(a, "dead")
        await while_time_passes(paced(0.5))  # for the disk
        for _ in range(5):
            cluster.launcher.kill("a")
            cluster.begin("a")
            with trio.fail_after(PATIENCE_S):
                await first_answer(a)
            with trio.move_on_after(LEASE_S / 2):
                while "dead" in (await ids_at(a, SERVICE) or ()):
                    looked_s = trio.current_time()
                    await trio.sleep(LOOK_S)
                    served_s += trio.current_time() - looked_s
        assert await ids_at(a, SERVICE) == set()
        assert served_s <= 2 * LEASE_S + SWEEP_S


async def test_a_killed_node_takes_its_suspects_over_and_ends_them_with_the_others(tmp_path: Path) -> None:
    async with open_real(tmp_path, 3) as cluster:
        names = {f"i{number}" for number in range(5)}
        await register(cluster["b"], *names)
        for place in cluster.places.values():
            await eventually(partial(_serves, place, names))
        cluster.launcher.kill("b")
        cluster.forget("b")
        await while_time_passes(2 * LEASE_S)
        assert await ids_at(cluster["a"], SERVICE) == await ids_at(cluster["c"], SERVICE) == names
        cluster.begin("b")
        with trio.fail_after(PATIENCE_S):
            assert await first_answer(cluster["b"]) == names
        for place in cluster.places.values():
            await eventually(partial(_serves, place, set()))


async def _serves(place: Place, names: set[str]) -> bool:
    return await ids_at(place, SERVICE) == names
