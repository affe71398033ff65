"""One identity, however it is spelled: registered in one case, found, renewed, pushed and removed in another."""

from typing import Any

import pytest

from .building import REST_SUCCESS, SUCCESS, ids_of, instance, instances_of, key_of, lookup, place, register
from .nodes import REGION, NodeProcess
from .sockets import CHANGES, WATCH, watching, websocket
from .wire import REST, RPC, ask, encoded, get, post, rest, rpc


def spellings(name: str) -> list[str]:
    return [name, name.upper(), name.title(), name.swapcase()]


async def test_a_service_is_found_however_it_is_spelled(node: NodeProcess, name: str) -> None:
    registered = instance(name.title(), "I1")
    await register(node, registered)
    for spelling in spellings(name):
        assert await instances_of(node, spelling) == [registered]
        single = await get(node, f"{RPC}/discovery/service.json?serviceId={spelling}&regionId=LAB&zoneId=zone1")
        assert single["service"]["instances"] == [registered]
        routed = await get(node, f"{REST}/discovery/service?serviceId={spelling}")
        assert routed["service"]["instances"] == [registered]
        picked = await rest(node, "discovery/lookup", {"discoveryConfig": {"serviceId": spelling}})
        assert picked["instance"] == registered
        leases = await rpc(node, "status/leases", {"serviceIds": [spelling]})
        assert list(leases["leases"]) == [name.title()]


async def test_the_service_is_named_as_it_was_registered_last(node: NodeProcess, name: str) -> None:
    await register(node, instance(name.title()))
    assert (await lookup(node, name))["serviceId"] == name.title()
    await register(node, instance(name.upper(), "i2"))
    assert (await lookup(node, name))["serviceId"] == name.upper()
    assert await ids_of(node, name) == ["i1", "i2"]
    services = (await rpc(node, "discovery/services", {}))["services"]
    assert [one["serviceId"] for one in services if one["serviceId"].lower() == name] == [name.upper()]


async def test_there_is_one_instance_of_one_identity(node: NodeProcess, name: str) -> None:
    """In the original the older spelling becomes a zombie that is never swept."""
    for spelling in spellings(name):
        await register(node, instance(spelling, "I1", regionId="Lab"), instance(spelling, "i1", regionId="LAB"))
    (found,) = await instances_of(node, name)
    assert found == instance(spellings(name)[-1], "i1", regionId="LAB")


@pytest.mark.parametrize("form", ["instances", "instanceKeys"])
async def test_a_heartbeat_and_a_farewell_may_be_spelled_in_another_way(
    node: NodeProcess, name: str, form: str
) -> None:
    await register(node, instance(name.title(), "Inst1"))
    other: dict[str, Any] = instance(name.upper(), "INST1", regionId="LAB")
    body = {form: [other if form == "instances" else key_of(other)]}
    assert (await rest(node, "registry/heartbeat", body))["responseStatus"] == REST_SUCCESS
    assert await instances_of(node, name) == [instance(name.title(), "Inst1")]
    assert (await rest(node, "registry/unregister", body))["responseStatus"] == REST_SUCCESS
    assert await ids_of(node, name) == []


async def test_a_subscriber_hears_of_a_service_however_it_is_spelled(node: NodeProcess, name: str) -> None:
    async with websocket(node, CHANGES) as old, websocket(node, WATCH) as new:
        await old.send({"serviceId": name.upper()})
        await old.ping()
        await watching(new, name.upper())
        registered = instance(name.title(), "I1")
        await register(node, registered)
        assert (await old.receive())["instance"] == registered
        change = await new.receive()
        assert change["changes"][0]["instance"] == registered
        assert change["serviceId"].lower() == name
        await new.send({"type": "unsubscribe", "serviceId": name.swapcase()})
        assert (await new.receive())["type"] == "unsubscribed"


async def test_replication_matches_regardless_of_case(node: NodeProcess, name: str) -> None:
    await register(node, instance(name.title(), "I1"))
    other = {"instances": [instance(name.upper(), "i1", regionId="LAB")]}
    await rpc(node, "replication/registry/heartbeat", other)
    assert await instances_of(node, name) == [instance(name.title(), "I1")]
    await rpc(node, "replication/registry/unregister", other)
    assert await ids_of(node, name) == []


async def test_an_operator_may_spell_in_another_way_too(node: NodeProcess, name: str) -> None:
    await register(node, instance(name.title(), "I1"))
    key = {"regionId": REGION.upper(), "serviceId": name.upper(), "instanceId": "i1"}
    operation = {"operation": "pull-out", "operatorId": "op", "token": ""}
    path = "/api/management/operate-instance.json"
    answer = await post(node, path, {"instanceKey": key, **operation, "operationComplete": False})
    assert answer["responseStatus"] == SUCCESS
    assert await ids_of(node, name) == []
    other = {**key, "serviceId": name, "instanceId": "I1"}
    await post(node, path, {"instanceKey": other, **operation, "operationComplete": True})
    assert await ids_of(node, name) == ["I1"]


async def test_letters_beyond_ascii_have_cases_too(node: NodeProcess, name: str) -> None:
    await register(node, instance(f"{name}.Größe-Ä", "É1"))
    assert await ids_of(node, f"{name}.größe-ä") == ["É1"]
    answer = await rpc(node, "registry/heartbeat", {"instances": [instance(f"{name}.GRÖßE-ä", "é1")]})
    assert answer["responseStatus"] == SUCCESS


async def test_white_space_belongs_to_a_name(node: NodeProcess, name: str) -> None:
    """Nothing is trimmed behind the back of a client: it would not find again what it registered."""
    await register(node, instance(f" {name} "))
    assert await ids_of(node, name) == []
    assert await ids_of(node, f" {name} ") == ["i1"]


async def test_the_region_of_a_question_matches_regardless_of_case(node: NodeProcess, name: str) -> None:
    body = encoded({**place(discoveryConfigs=[{"serviceId": name}]), "regionId": "LAB", "zoneId": "ZONE1"})
    answer = await ask(node, "POST", f"{RPC}/discovery/lookup.json", body)
    assert answer.json["responseStatus"] == SUCCESS
