"""Changes pushed over WebSockets, rows 93 and 94: sections 2.3 to 2.5 of the RPC API."""

from typing import Any

import pytest
import trio

from .building import bare_instance, ids_of, instance, instances_of, register, unregister
from .conftest import StartNode
from .flavours import QUICK
from .matching import EPOCH_MS
from .nodes import REGION, NodeProcess
from .sockets import ALL_CHANGES, CHANGES, Session, websocket
from .wire import post, rpc

OPERATOR = {"operation": "pull-out", "operatorId": "op", "token": "t", "extensions": "{}", "reason": "test"}


async def subscribe(session: Session, *services: str) -> None:
    """Subscribe, and return when the node has read it: there is no acknowledgement."""
    for service in services:
        await session.send({"serviceId": service, "regionId": None, "zoneId": None, "discoveryData": None})
    await session.ping()


def pushed(change_type: str, changed: dict[str, Any]) -> dict[str, Any]:
    """The whole InstanceChange."""
    return {"changeTime": EPOCH_MS, "changeType": change_type, "instance": changed}


async def nothing_before(session: Session, node: NodeProcess, service_id: str) -> None:
    """Show that nothing is under way: what happens now is the next that is heard."""
    marker = instance(service_id, "marker")
    await register(node, marker)
    assert await session.receive() == pushed("new", marker)


async def test_row_93_changes_of_the_subscribed_services_are_pushed(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as session:
        await subscribe(session, f"{name}.a", f"{name}.b")
        await register(node, instance(f"{name}.other"))
        await register(node, instance(f"{name}.b"))
        assert await session.receive() == pushed("new", instance(f"{name}.b"))
        await register(node, instance(f"{name}.a"))
        assert await session.receive() == pushed("new", instance(f"{name}.a"))
        await unregister(node, instance(f"{name}.b"))
        assert await session.receive() == pushed("delete", instance(f"{name}.b"))


async def test_row_94_every_change_of_every_service_is_pushed(shared_node: StartNode, name: str) -> None:
    node = shared_node({})
    async with websocket(node, ALL_CHANGES) as session:
        await session.send("whatever the client says is ignored")
        await session.send({"serviceId": "nothing.else"})
        await session.ping()
        await register(node, instance(f"{name}.a"))
        await register(node, instance(f"{name}.b"))
        await unregister(node, instance(f"{name}.a"))
        assert [await session.receive() for _ in range(3)] == [
            pushed("new", instance(f"{name}.a")),
            pushed("new", instance(f"{name}.b")),
            pushed("delete", instance(f"{name}.a")),
        ]


async def test_there_is_no_acknowledgement_and_no_snapshot(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        await nothing_before(session, node, name)


@pytest.mark.parametrize("text", ["garbage", "", "null", "[]", "{}", '{"serviceId":null}', '{"serviceId":" "}', "5"])
async def test_what_is_no_subscription_is_ignored_in_silence(node: NodeProcess, name: str, text: str) -> None:
    async with websocket(node, CHANGES) as session:
        await session.send(text)
        await subscribe(session, name)
        await nothing_before(session, node, name)


async def test_subscribing_twice_is_subscribing_once(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name, name, name.upper())
        await register(node, instance(name))
        assert await session.receive() == pushed("new", instance(name))
        await nothing_before(session, node, name)


async def test_subscriptions_die_with_their_session(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
    async with websocket(node, CHANGES) as session:
        await register(node, instance(name))
        await subscribe(session, name)
        await nothing_before(session, node, name)


async def test_changed_data_is_pushed_as_new(node: NodeProcess, name: str) -> None:
    """Clients of this contract never saw a `change`: they replace what they have by what is new."""
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        await register(node, instance(name))
        await register(node, instance(name, url="http://elsewhere/"))
        assert await session.receive() == pushed("new", instance(name))
        assert await session.receive() == pushed("new", instance(name, url="http://elsewhere/"))


async def test_unchanged_data_is_not_pushed(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        await register(node, instance(name))
        assert await session.receive() == pushed("new", instance(name))
        await register(node, instance(name))
        await rpc(node, "registry/heartbeat", {"instances": [instance(name, url="http://elsewhere/")]})
        await rpc(node, "replication/registry/register", {"instances": [instance(name)]})
        await nothing_before(session, node, name)


async def test_replicated_changes_are_pushed_too(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        for call, change_type in (("heartbeat", "new"), ("unregister", "delete"), ("register", "new")):
            await rpc(node, f"replication/registry/{call}", {"instances": [instance(name)]})
            assert await session.receive() == pushed(change_type, instance(name))


@pytest.mark.parametrize("metadata", [None, {"java_registry": "1"}, {"artemis.lease-ttl-ms": "300"}])
async def test_a_lease_that_runs_out_is_pushed_as_a_deletion(
    shared_node: StartNode, name: str, metadata: dict[str, str] | None
) -> None:
    node = shared_node(QUICK)
    mortal = instance(name, metadata=metadata)
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        await register(node, mortal)
        assert await session.receive() == pushed("new", mortal)
        assert await ids_of(node, name) == ["i1"]
        assert await session.receive() == pushed("delete", mortal)
        assert await ids_of(node, name) == []
        answer = await rpc(node, "registry/heartbeat", {"instances": [mortal]})
        assert answer["failedInstances"][0]["errorCode"] == "data-not-found"


async def test_a_heartbeat_keeps_a_lease_alive(shared_node: StartNode, name: str) -> None:
    """Until another instance, registered with it and silent, has been swept twice over."""
    node = shared_node(QUICK)
    async with websocket(node, CHANGES) as session:
        await subscribe(session, f"{name}.silent")
        await register(node, instance(name))
        for _ in range(2):
            await register(node, instance(f"{name}.silent"))
            assert (await session.receive())["changeType"] == "new"
            while True:
                with trio.move_on_after(0.1):
                    assert (await session.receive())["changeType"] == "delete"
                    break
                answer = await rpc(node, "registry/heartbeat", {"instances": [instance(name)]})
                assert answer["failedInstances"] is None
        assert await ids_of(node, name) == ["i1"]


async def test_pushes_and_answers_agree_at_every_moment(node: NodeProcess, name: str) -> None:
    """An answer never contains an instance whose removal was pushed, and contains what was pushed as new."""
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        for number in range(20):
            await register(node, instance(name, f"i{number}"))
            assert (await session.receive())["changeType"] == "new"
            assert f"i{number}" in await ids_of(node, name)
            await unregister(node, instance(name, f"i{number}"))
            assert (await session.receive())["changeType"] == "delete"
            assert await ids_of(node, name) == []


async def test_changes_of_one_request_are_pushed_in_order_and_one_by_one(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        several = [instance(name, f"i{number}") for number in range(30)]
        await register(node, *several)
        assert [await session.receive() for _ in several] == [pushed("new", one) for one in several]


async def test_an_instance_that_is_pulled_out_is_pushed_as_gone_and_back(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    key = {"regionId": REGION, "serviceId": name, "instanceId": "i1"}
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        for complete, change_type in ((False, "delete"), (True, "new")):
            body = {**OPERATOR, "instanceKey": key, "operationComplete": complete}
            await post(node, "/api/management/operate-instance.json", body)
            assert await session.receive() == pushed(change_type, instance(name))
            assert await instances_of(node, name) == ([] if change_type == "delete" else [instance(name)])


async def test_what_registers_while_it_is_pulled_out_is_not_pushed(node: NodeProcess, name: str) -> None:
    key = {"regionId": REGION, "serviceId": name, "instanceId": "i1"}
    body = {**OPERATOR, "instanceKey": key, "operationComplete": False}
    await post(node, "/api/management/operate-instance.json", body)
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        await register(node, instance(name))
        await nothing_before(session, node, name)
        assert await ids_of(node, name) == ["marker"]


async def test_a_zone_that_is_pulled_out_is_one_reload_per_service(node: NodeProcess, name: str) -> None:
    """With a fake instance, of which only the service is real."""
    await register(node, instance(name, "a"), instance(name, "b"))
    zone = {"regionId": REGION, "serviceId": name, "zoneId": "zone1"}
    fake = bare_instance(name, instanceId="reload", ip="0.0.0.0", url="http://serviceId/reload")
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        for complete in (False, True):
            operations = [{"zoneKey": zone, "operations": ["pull-out"]}]
            body = {**OPERATOR, "zoneOperationsList": operations, "operationComplete": complete}
            await post(node, "/api/management/zone/operate-zone-operations.json", body)
            assert await session.receive() == pushed("reload", fake)
            assert len(await ids_of(node, name)) == (2 if complete else 0)


async def test_a_change_too_large_for_the_client_is_a_reload(node: NodeProcess, name: str) -> None:
    """The Java client drops a session over a text of more than 8 KiB; reloading it can."""
    async with websocket(node, CHANGES) as session:
        await subscribe(session, name)
        await register(node, instance(name, metadata={"k": "v" * 9000}))
        fake = bare_instance(name, instanceId="reload", ip="0.0.0.0", url="http://serviceId/reload")
        assert await session.receive() == pushed("reload", fake)
