"""What operators decided outlives the process: killed and started again, a node answers as before."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..contract.nodes import REGION, NodeProcess, Settings
from ..contract.waiting import eventually
from .world import OPERATOR, World

NAMES = ("blue", "green", "red", "canary")
"""Groups of two instances each. A kill may lose registrations of the last moment: instances register again."""


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node with a disk."""
    node = NodeProcess(tmp_path, {"data": {"directory": str(tmp_path / "data")}}).start()
    try:
        yield node
        node.stop()
    finally:
        node.destroy()


async def picture(world: World) -> dict[str, Any]:
    """Everything that callers and operators of a service can see of it, in both APIs."""
    service = {"serviceId": world.service}
    found: dict[str, Any] = {
        "answers": {name: ids for name, ids in (await world.everywhere()).items() if name != "single lookup"},
        "for canaries": await world.routed(ip="10.1.1.1"),
        "decorations": await world.decorations(),
        "instances": (await world.rpc("service", **service))["groups"],
        "groups": await world.ok("GET", f"routing/groups?serviceId={world.service}"),
        "rules": await world.ok("GET", f"routing/rules?serviceId={world.service}"),
        "canary": await world.ok("GET", f"management/canary/config/{world.service}"),
        "zones": await world.ok("GET", "management/zone/operations"),
        "audit": await world.ok("GET", "management/audit/logs?limit=1000"),
    }
    for name in ("all-instance-operations", "all-server-operations", "group/get-all-group-operations"):
        found[name] = await world.rpc(name)
    for name in ("group/get-group-instances", "group/get-service-instances", "group/get-all-route-rule-groups"):
        found[name] = await world.rpc(name)
    return found


async def decide_everything(world: World) -> None:
    """One of everything that an operator can decide, and some of it revoked."""
    await world.register_groups(*NAMES, each=2)
    groups = [await world.group(name) for name in ("blue", "green", "red")]
    key = groups[0]["groupKey"]
    await world.ok("POST", f"routing/groups/{key}/tags", {"tags": [{"key": "team", "value": "x"}]})
    await world.ok("POST", f"routing/groups/{key}/instances", {"instanceId": "green-1", **OPERATOR}, 201)
    await world.rule(f"{world.service}-1", ("blue", 70), ("green", 30))
    await world.rule(f"{world.service}-2", ("green", 1))
    await world.ok("POST", f"routing/rules/{world.service}-1/publish")
    await world.logical("static")
    canary = {"serviceId": world.service, "ipWhitelist": ["10.1.0.0/16"], **OPERATOR}
    await world.ok("POST", "management/canary/config", canary)
    await world.instance_out("blue-1")
    await world.group_out(groups[2])
    await world.group_out(groups[1])
    await world.group_out(groups[1], back=True)
    await world.zone_out("another.service")
    await world.server_out()
    await world.server_out(back=True)
    for name in ("gone", "back"):
        await world.group(name)
        await world.ok("DELETE", f"routing/groups/{world.service}:{REGION}:{world.zone}:{name}")
    await world.group("back")


async def test_a_killed_node_comes_back_with_every_decision(durable: NodeProcess) -> None:
    world = World(durable, 1)
    await decide_everything(world)
    before = await picture(world)
    assert before["answers"]["lookup"] == ["blue-2", "canary-1", "canary-2", "green-1", "green-2"]
    assert before["answers"]["get service"] == ["blue-2", "green-1"], "the rule published last, bound by hand included"
    assert before["for canaries"] == ["canary-1", "canary-2"]
    await durable.kill()
    durable.start()
    await world.register_groups(*NAMES, each=2)
    after = await picture(world)
    assert after == before
    await world.register(world.instance("blue-1", groupId="blue", metadata={"version": "2"}))
    assert "blue-1" not in await world.lookup(), "not even by registering again"
    await world.instance_out("blue-1", back=True)
    assert "blue-1" in await world.lookup()
    newest, *older = await world.ok("GET", "management/audit/logs?limit=1000")
    assert (newest["operation"], older) == ("pullin", before["audit"]), "the log goes on where it ended"


async def test_what_was_removed_stays_removed(durable: NodeProcess) -> None:
    world = World(durable, 1)
    await world.register_groups("blue")
    group = await world.group("blue")
    path = await world.rule(f"{world.service}-r", ("blue", 1))
    await world.zone_out()
    await world.ok("POST", "management/canary/config", {"serviceId": world.service, "ipWhitelist": []})
    await world.ok("DELETE", path)
    await world.ok("DELETE", f"routing/groups/{group['groupKey']}")
    await world.ok("DELETE", f"management/canary/config/{world.service}")
    await world.zone_out(back=True)
    await durable.kill()
    durable.start()
    await world.register_groups("blue")
    assert await world.lookup() == ["blue-1"]
    assert await world.decorations() == ([], [])
    for listed in ("routing/groups", "routing/rules", "management/canary/configs", "management/zone/operations"):
        assert await world.ok("GET", listed) == [], listed


async def test_a_stop_in_order_keeps_everything_too(durable: NodeProcess) -> None:
    world = World(durable, 1)
    await world.register("i1", "i2")
    await world.instance_out("i1")
    durable.stop()
    durable.start()
    assert await world.seen() == ["i2"], "warm: the instances are there, and one of them is still out"


async def test_the_audit_log_keeps_as_much_as_it_is_told_to(tmp_path: Path) -> None:
    settings: Settings = {
        "data": {"directory": str(tmp_path / "data")},
        "management": {"audit_retention_records": 100},
    }
    node = NodeProcess(tmp_path, settings).start()
    try:
        world = World(node, 1)
        for _ in range(60):
            await world.zone_out()
            await world.zone_out(back=True)
        everything = await audit(world)
        node.stop()
        node.start()
        await eventually(partial(is_kept, world, 100))
        assert await audit(world) == everything[:100], "the newest ones"
        assert await world.logs("zone-operation-logs", zoneId=world.zone) == await world.logs("zone-operation-logs")
        await world.zone_out()
        assert [entry["operation"] for entry in await audit(world)][:2] == ["pullout", "pullin"]
        node.stop()
    finally:
        node.destroy()


async def audit(world: World) -> list[Any]:
    return list(await world.ok("GET", "management/audit/logs?limit=1000"))


async def is_kept(world: World, count: int) -> bool:
    return len(await audit(world)) == count
