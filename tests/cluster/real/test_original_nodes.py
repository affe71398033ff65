"""A cluster that is moved over node by node: the RPC dialect, with a node of ours in the place of an original one.

Its replication endpoints are the contract, so what reaches it over them would reach the original too.
"""

import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from artemis.cluster.processes import Child, free_ports, node_command
from artemis.cluster.topology import encode_toml
from artemis.cluster.watch import read_metrics

from ...contract.waiting import eventually
from ...contract.wire import ask, rpc
from ...pace import PATIENCE_S
from .clients import instance, open_fleet
from .clusters import LEASE_S, REGION, SECRET, SETTINGS, START_S, Place, merged, read_events, while_time_passes
from .observers import GRACE_S, ids_at, open_observers

SERVICE: Final = "real.moves"
POLL_S: Final = 5.0
"""How often nodes of this dialect ask each other how they are, by contract; and how long news may wait for it."""
HOUR: Final = {"artemis.lease-ttl-ms": "3600000"}
NOWHERE: Final = "http://127.0.0.3:1"
"""What the original calls itself; our nodes must be told where it is."""


class Moving:
    """Nodes that speak the RPC dialect to some, and links to others."""

    def __init__(self, directory: Path, names: Sequence[str], *, original: str) -> None:
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.places = {name: Place(name, "127.0.0.1", port) for name, port in ports.items()}
        self.urls = {name: NOWHERE if name == original else self.places[name].url for name in names}
        self._directory = directory
        self._children: dict[str, Child] = {}
        for name in names:
            rpc_peers = [other for other in names if other != name and original in (name, other)]
            settings = merged(
                SETTINGS,
                {
                    "node": {"id": name, "region": REGION, "port": ports[name], "url": self.urls[name]},
                    "data": {"directory": str(directory / name / "data")},
                    "cluster": {
                        "nodes": {"zone1": sorted(self.urls.values())},
                        "dialects": {self.urls[other]: "rpc" for other in rpc_peers},
                        "dial": {NOWHERE: self.places[original].url} if name != original else {},
                        "secret": SECRET,
                    },
                },
            )
            home = directory / name
            home.mkdir()
            (home / "artemis.toml").write_text(encode_toml(settings), encoding="utf-8")
            self._children[name] = Child(node_command(home / "artemis.toml"), self._log(name))

    def _log(self, name: str) -> Path:
        return self._directory / name / "node.log"

    async def up(self, name: str) -> str:
        """Start a node and wait until it is up; what it says about why."""
        before = len(read_events(self._log(name))) if self._log(name).exists() else 0
        self._children[name].start()

        def reasons() -> list[str]:
            messages = [event["message"] for event in read_events(self._log(name))[before:]]
            return [message for message in messages if "this node is up" in message]

        await eventually(lambda: bool(reasons()), START_S)
        return reasons()[0]

    def kill(self, name: str) -> None:
        self._children[name].kill()

    def forget(self, name: str) -> None:
        """Take away what a node that does not run has on disk."""
        shutil.rmtree(self._directory / name / "data")

    async def stop(self) -> None:
        """End all nodes in good order, and look through their logs."""
        async with trio.open_nursery() as nursery:
            for child in self._children.values():
                nursery.start_soon(child.stop)
        for name in self._children:
            errors = [event for event in read_events(self._log(name)) if event["level"] in ("error", "critical")]
            assert not errors, f"node {name} complained: {errors[:5]}"

    def destroy(self) -> None:
        for child in self._children.values():
            child.kill()

    async def calls(self, name: str) -> dict[str, float]:
        """How many calls of each replication endpoint a node has answered."""
        answer = await ask(self.places[name], "GET", "/metrics")
        found = read_metrics(answer.body.decode())
        wanted = {f"replicate-{what}": 0.0 for what in ("register", "heartbeat", "unregister", "services")}
        for key, value in found.items():
            for what in wanted:
                if key.startswith("artemis_requests_total") and f'"{what}"' in key:
                    wanted[what] += value
        return wanted


@asynccontextmanager
async def open_moving(directory: Path, names: Sequence[str], *, original: str) -> AsyncGenerator[Moving, None]:
    moving = Moving(directory, names, original=original)
    try:
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(moving.up, name)
            yield moving
            await moving.stop()
    finally:
        moving.destroy()


async def holds(place: Place, ids: set[str]) -> bool:
    return await ids_at(place, SERVICE) == ids


async def write(place: Place, what: str, *ids: str, metadata: Mapping[str, str] | None = None) -> None:
    """`register` or `unregister`, by a client of one node."""
    instances = [{**instance(SERVICE, one), "metadata": metadata} for one in ids]
    answer = await rpc(place, f"registry/{what}", {"instances": instances})
    assert answer["responseStatus"]["status"] == "success", answer


async def test_a_cluster_can_be_moved_over_node_by_node(tmp_path: Path) -> None:
    """An original node beside two of ours, which are linked to each other."""
    async with open_moving(tmp_path, ["old", "new", "newer"], original="old") as moving:
        await _everybody_is_told_once(moving)
        old, new = moving.places["old"], moving.places["new"]
        async with (
            open_fleet(SERVICE, 4, [old], prefix="at-old-") as at_old,
            open_fleet(SERVICE, 4, [new], prefix="at-new-") as at_new,
        ):
            everybody = at_old.alive | at_new.alive
            for place in moving.places.values():
                await eventually(partial(holds, place, everybody), POLL_S)
            async with (
                open_observers(at_old, [new], following=[new]) as seeing_old,
                open_observers(at_new, [old], following=[old]) as seeing_new,
            ):
                await while_time_passes(1.25 * LEASE_S)  # heartbeats alone keep them there, across the dialect
                seeing_old.judge()
                seeing_new.judge()
            moving.kill("newer")  # or it would be asked first
            for name, other, known in (("new", "old", at_old.alive), ("old", "new", at_new.alive)):
                moving.kill(name)
                moving.forget(name)
                said = await moving.up(name)
                assert f"synchronised with {moving.urls[other]}" in said, said
                assert (await ids_at(moving.places[name], SERVICE) or set()) >= known, "ready without a cold start"
                assert (await moving.calls(other))["replicate-services"] == 1
                await eventually(partial(holds, moving.places[name], everybody), POLL_S)


async def _everybody_is_told_once(moving: Moving) -> None:
    """By the node that took the call, in either dialect, and by nobody else."""
    places, old, new = list(moving.places.values()), moving.places["old"], moving.places["new"]
    # Each finds within one poll that the other serves; what is written until then is told then, if it still lives.
    await write(old, "register", "first", metadata=HOUR)
    await write(new, "register", "second", metadata=HOUR)
    await write(moving.places["newer"], "register", "third", metadata=HOUR)
    for place in places:
        await eventually(partial(holds, place, {"first", "second", "third"}), POLL_S + GRACE_S)
    before = {name: await moving.calls(name) for name in moving.places}

    await write(old, "register", *(f"old-{n}" for n in range(10)))
    await write(new, "register", *(f"new-{n}" for n in range(10)))
    await write(new, "unregister", "first", "second")
    await write(old, "unregister", "third")
    final = {f"{origin}-{n}" for origin in ("old", "new") for n in range(10)}
    for place in places:
        await eventually(partial(holds, place, final), GRACE_S)
    # Whoever forwards would have done so by the time that heartbeats have been collected and told.
    async with open_fleet("real.clockwork", 1, [old]) as clockwork:
        await eventually(lambda: clockwork.heartbeats >= 3)
    after = {name: await moving.calls(name) for name in moving.places}
    done = {name: {what: after[name][what] - before[name][what] for what in after[name]} for name in after}
    # What came in one call goes out in one.
    assert (done["old"]["replicate-register"], done["old"]["replicate-unregister"]) == (1, 1), done
    for name in ("new", "newer"):
        # The second is the clockwork.
        assert (done[name]["replicate-register"], done[name]["replicate-unregister"]) == (2, 1), done
    await write(old, "unregister", *final)
    for place in places:
        await eventually(partial(holds, place, set()), GRACE_S)
