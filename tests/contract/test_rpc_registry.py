"""Register, heartbeat, unregister: sections 1.4 and 3.1 of the RPC API, rule by rule."""

from typing import Any

import pytest
import trio

from .building import (
    PARTIAL,
    SUCCESS,
    bare_instance,
    fails_with,
    ids_of,
    instance,
    instances_of,
    place,
    register,
    unregister,
)
from .conftest import StartNode
from .flavours import FORCED_DOWN, STRICT
from .matching import Including, Text
from .nodes import LEASE_S, REGION, ZONE, NodeProcess
from .wire import RPC, ask, encoded, rpc

CALLS = ("register", "heartbeat", "unregister")


async def failures(node: NodeProcess, call: str, *instances: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The failed instances of a call that partly failed."""
    answer = await rpc(node, f"registry/{call}", {"instances": list(instances)})
    assert answer["responseStatus"] == PARTIAL
    found = answer["failedInstances"]
    assert isinstance(found, list)
    assert found
    return found


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", [{}, {"instances": None}, {"instances": []}], ids=["missing", "null", "empty"])
async def test_a_call_without_instances_is_a_bad_request(node: NodeProcess, call: str, body: dict[str, Any]) -> None:
    answer = await rpc(node, f"registry/{call}", body)
    assert fails_with(answer, "bad-request")
    assert answer["failedInstances"] is None


@pytest.mark.parametrize("call", CALLS)
async def test_instances_that_are_null_are_skipped_in_silence(node: NodeProcess, name: str, call: str) -> None:
    await register(node, instance(name))
    answer = await rpc(node, f"registry/{call}", {"instances": [None, instance(name), None]})
    assert answer == {"failedInstances": None, "responseStatus": SUCCESS}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("region", ["other", "", "  ", None])
async def test_an_instance_of_another_region_is_refused(
    node: NodeProcess, name: str, call: str, region: str | None
) -> None:
    (failed,) = await failures(node, call, instance(name, regionId=region))
    assert failed["errorCode"] == "no-permission"
    assert failed["instance"] == instance(name, regionId=region)
    assert "regionId" in failed["errorMessage"]
    assert await ids_of(node, name) == []


@pytest.mark.parametrize("call", CALLS)
async def test_regions_match_regardless_of_case(node: NodeProcess, name: str, call: str) -> None:
    await register(node, instance(name))
    answer = await rpc(node, f"registry/{call}", {"instances": [instance(name, regionId="LaB")]})
    assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize("call", CALLS)
async def test_other_zones_are_welcome_where_they_are_allowed(node: NodeProcess, name: str, call: str) -> None:
    await register(node, instance(name))
    answer = await rpc(node, f"registry/{call}", {"instances": [instance(name, zoneId="zone9")]})
    assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("zone", ["zone9", "", None])
async def test_other_zones_are_refused_where_they_are_not(
    shared_node: StartNode, name: str, call: str, zone: str | None
) -> None:
    node = shared_node(STRICT)
    (failed,) = await failures(node, call, instance(name, zoneId=zone))
    assert failed["errorCode"] == "no-permission"
    assert "zoneId" in failed["errorMessage"]


@pytest.mark.parametrize("call", CALLS)
async def test_the_own_zone_matches_regardless_of_case(shared_node: StartNode, name: str, call: str) -> None:
    node = shared_node(STRICT)
    await register(node, instance(name))
    answer = await rpc(node, f"registry/{call}", {"instances": [instance(name, zoneId=ZONE.upper())]})
    assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("field", ["serviceId", "instanceId", "url"])
@pytest.mark.parametrize("blank", ["", "   ", None])
async def test_a_blank_field_is_an_internal_error_of_that_instance(
    node: NodeProcess, name: str, call: str, field: str, blank: str | None
) -> None:
    """Not a bad request: the Java client treats the two differently."""
    (failed,) = await failures(node, call, {**instance(name), field: blank})
    assert failed["errorCode"] == "internal-service-error"
    assert field in failed["errorMessage"]


async def test_region_comes_before_zone_and_zone_before_blanks(shared_node: StartNode, name: str) -> None:
    node = shared_node(STRICT)
    wrong = instance(name, regionId="other", zoneId="zone9", url="")
    failed = await failures(node, "register", wrong, {**wrong, "regionId": REGION})
    messages = [one["errorMessage"] for one in failed]
    assert "regionId" in messages[0]
    assert "zoneId" in messages[1]


@pytest.mark.parametrize("call", ["register", "unregister"])
async def test_what_is_wrong_with_one_instance_harms_no_other(node: NodeProcess, name: str, call: str) -> None:
    await register(node, instance(name, "old"))
    failed = await failures(
        node, call, instance(name, "old"), instance(name, "b", regionId="other"), instance(name, "c")
    )
    assert [one["instance"]["instanceId"] for one in failed] == ["b"]
    assert await ids_of(node, name) == (["c", "old"] if call == "register" else [])


async def test_a_heartbeat_renews_the_others_when_one_is_unknown(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    (failed,) = await failures(node, "heartbeat", instance(name), instance(name, "unknown"))
    assert failed["errorCode"] == "data-not-found"
    assert failed["instance"] == instance(name, "unknown")


async def test_a_call_of_which_everything_failed_is_a_partial_failure_too(node: NodeProcess, name: str) -> None:
    failed = await failures(node, "heartbeat", instance(name, "a"), instance(name, "b"))
    assert [one["errorCode"] for one in failed] == ["data-not-found", "data-not-found"]


async def test_a_failed_instance_comes_back_complete(node: NodeProcess, name: str) -> None:
    """The Java client registers exactly the object that it gets back."""
    sent = instance(
        name,
        groupId="G1",
        machineName="VM1",
        healthCheckUrl="http://10.0.0.1/health",
        status="starting",
        metadata={"k": "v", "empty": "", "nothing": None},
    )
    (failed,) = await failures(node, "heartbeat", sent)
    assert failed["instance"] == sent
    await register(node, failed["instance"])
    assert await instances_of(node, name) == [sent]


async def test_what_was_not_said_of_a_failed_instance_comes_back_as_null(node: NodeProcess, name: str) -> None:
    said = {"regionId": "LAB", "zoneId": "zoneX", "serviceId": name, "instanceId": "i1", "url": "u"}
    (failed,) = await failures(node, "heartbeat", said)
    assert failed["instance"] == bare_instance(name, **{key: said[key] for key in said if key != "serviceId"})


@pytest.mark.parametrize(("group", "text"), [("G1", "/g1/i1"), (None, "/i1"), ("", "/i1"), (" ", "/i1")])
async def test_a_failure_names_its_instance_in_lower_case(
    node: NodeProcess, name: str, group: str | None, text: str
) -> None:
    (failed,) = await failures(node, "heartbeat", instance(name.upper(), "I1", regionId="LAB", groupId=group))
    assert failed["errorMessage"].startswith(f"lab/zone1/{name}{text}: ")


@pytest.mark.parametrize("call", CALLS)
async def test_missing_instances_come_before_the_state_of_the_node(shared_node: StartNode, call: str) -> None:
    assert fails_with(await rpc(shared_node(FORCED_DOWN), f"registry/{call}", {"instances": []}), "bad-request")


@pytest.mark.parametrize("call", CALLS)
async def test_the_state_of_the_node_comes_before_the_instances(shared_node: StartNode, name: str, call: str) -> None:
    node = shared_node(FORCED_DOWN)
    answer = await rpc(node, f"registry/{call}", {"instances": [instance(name, regionId="other", url="")]})
    message = fails_with(answer, "service-unavailable")
    assert answer["failedInstances"] is None
    assert f"{REGION}/{ZONE}/{node.url}" in message
    assert "status: down" in message


async def test_a_heartbeat_never_changes_what_is_known_of_an_instance(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    changed = instance(name, url="http://elsewhere/", metadata={"k": "other"})
    answer = await rpc(node, "registry/heartbeat", {"instances": [changed]})
    assert answer["responseStatus"] == SUCCESS
    assert await instances_of(node, name) == [instance(name)]


async def test_registering_again_replaces_what_is_known_of_an_instance(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    changed = instance(name, url="http://elsewhere/", metadata={"k": "other"}, zoneId="zone2", groupId="g")
    await register(node, changed)
    assert await instances_of(node, name) == [changed]


async def test_of_twins_in_one_call_the_last_one_counts(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, port=1), instance(name, port=2))
    assert [found["port"] for found in await instances_of(node, name)] == [2]


async def test_unregistering_what_is_unknown_succeeds(node: NodeProcess, name: str) -> None:
    await unregister(node, instance(name))


async def test_an_instance_is_gone_with_the_answer_that_says_so(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b"))
    await unregister(node, instance(name, "a"))
    assert await ids_of(node, name) == ["b"]
    (failed,) = await failures(node, "heartbeat", instance(name, "a"))
    assert failed["errorCode"] == "data-not-found"


async def test_one_request_may_be_about_many_services(node: NodeProcess, name: str) -> None:
    services = [f"{name}.{number}" for number in range(20)]
    await register(node, *(instance(service, f"i{number}") for service in services for number in range(5)))
    for service in services:
        assert len(await ids_of(node, service)) == 5


async def test_concurrent_registrations_of_one_service_lose_none(node: NodeProcess, name: str) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(register, node, instance(name, f"i{number}"))
    assert len(await ids_of(node, name)) == 50


@pytest.mark.parametrize(
    ("wish", "ttl"),
    [
        ("60000", 60_000),
        (60_000, 60_000),
        ("1", 5_000),
        ("99999999999", 86_400_000),
        ("soon", LEASE_S * 1000),
        ("", LEASE_S * 1000),
    ],
)
async def test_an_instance_may_ask_for_a_lease_of_its_own_within_bounds(
    node: NodeProcess, name: str, wish: str | int, ttl: int
) -> None:
    await register(node, instance(name, metadata={"artemis.lease-ttl-ms": wish}))
    answer = await rpc(node, "status/leases", {"serviceIds": [name]})
    assert answer["leases"][name] == [Including({"ttl": ttl})]


async def test_a_legacy_instance_has_the_other_lease(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "old", metadata={"java_registry": "1"}), instance(name, "new"))
    legacy = (await rpc(node, "status/legacy-leases", {"serviceIds": [name]}))["leases"]
    ordinary = (await rpc(node, "status/leases", {"serviceIds": [name]}))["leases"]
    assert legacy == {name: [Including({"instance": Text(".*/old"), "ttl": 90_000})]}
    assert ordinary == {name: [Including({"instance": Text(".*/new"), "ttl": LEASE_S * 1000})]}


async def test_a_plain_body_is_read_like_a_compressed_one(node: NodeProcess, name: str) -> None:
    body = encoded({"instances": [instance(name)]})
    answer = await ask(node, "POST", f"{RPC}/registry/register.json", body)
    assert answer.json == {"failedInstances": None, "responseStatus": SUCCESS}
    assert await ids_of(node, name) == ["i1"]


async def test_services_of_instances_that_all_left_are_empty_not_missing(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    await unregister(node, instance(name))
    answer = await rpc(node, "discovery/lookup", place(discoveryConfigs=[{"serviceId": name}]))
    (service,) = answer["services"]
    assert (service["serviceId"], service["instances"]) == (name, [])
