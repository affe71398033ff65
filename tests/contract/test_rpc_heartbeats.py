"""Heartbeats over a WebSocket, row 92: section 2.2 of the RPC API."""

import json
from typing import Any

import pytest

from .building import PARTIAL, SUCCESS, fails_with, ids_of, instance, register
from .conftest import StartNode
from .flavours import FORCED_DOWN, SMALL
from .nodes import NodeProcess
from .sockets import HEARTBEAT, websocket
from .wire import rpc

DONE = {"failedInstances": None, "responseStatus": SUCCESS}


async def test_row_92_a_heartbeat_renews(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, HEARTBEAT) as session:
        assert await session.ask({"instances": [instance(name)]}) == DONE


async def test_an_unknown_instance_comes_back_complete(node: NodeProcess, name: str) -> None:
    unknown = instance(name, groupId="G1", metadata={"k": None, "l": ""})
    async with websocket(node, HEARTBEAT) as session:
        answer = await session.ask({"instances": [unknown]})
        assert answer["responseStatus"] == PARTIAL
        (failed,) = answer["failedInstances"]
        assert failed["errorCode"] == "data-not-found"
        assert failed["instance"] == unknown
        await register(node, failed["instance"])
        assert await session.ask({"instances": [unknown]}) == DONE


@pytest.mark.parametrize("text", ["garbage", "", "{", '"text"', "[]", "5", '{"instances":{}}', "\x00"])
async def test_a_text_that_is_no_heartbeat_is_answered_with_success(node: NodeProcess, text: str) -> None:
    """As the original does it: its client would otherwise leave for another node."""
    async with websocket(node, HEARTBEAT) as session:
        assert await session.ask(text) == DONE
        assert await session.ask("again garbage") == DONE


@pytest.mark.parametrize("text", ["null", " null "])
async def test_null_is_a_bad_request(node: NodeProcess, text: str) -> None:
    async with websocket(node, HEARTBEAT) as session:
        answer = await session.ask(text)
        assert fails_with(answer, "bad-request")
        assert answer["failedInstances"] is None
        await session.ping()


@pytest.mark.parametrize("request_", [{}, {"instances": []}, {"instances": None}])
async def test_no_instances_are_a_bad_request_and_the_connection_stays_open(
    node: NodeProcess, request_: dict[str, Any]
) -> None:
    async with websocket(node, HEARTBEAT) as session:
        for _ in range(2):
            fails_with(await session.ask(request_), "bad-request")


async def test_texts_are_read_as_tolerantly_as_bodies(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    text = json.dumps({"INSTANCES": [instance(name)], "unknown": 1}).replace('"serviceId"', '"SERVICEID"')
    async with websocket(node, HEARTBEAT) as session:
        assert await session.ask(text) == DONE


async def test_every_request_has_one_answer_and_they_come_in_order(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, HEARTBEAT) as session:
        for number in range(200):
            await session.send({"instances": [instance(name, "i1" if number % 2 else f"unknown{number}")]})
        for number in range(200):
            answer = await session.receive()
            failed = answer["failedInstances"]
            if number % 2:
                assert failed is None
            else:
                assert failed[0]["instance"]["instanceId"] == f"unknown{number}"
        await session.ping()


async def test_the_rules_are_those_of_the_http_call(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    body = {
        "instances": [
            instance(name, regionId="other"),
            None,
            instance(name, url=""),
            instance(name, "unknown"),
            instance(name),
        ]
    }
    async with websocket(node, HEARTBEAT) as session:
        assert await session.ask(body) == await rpc(node, "registry/heartbeat", body)


async def test_a_node_that_does_not_serve_says_so(shared_node: StartNode, name: str) -> None:
    """The Java client then connects to another address."""
    async with websocket(shared_node(FORCED_DOWN), HEARTBEAT) as session:
        answer = await session.ask({"instances": [instance(name)]})
        assert "status: down" in fails_with(answer, "service-unavailable")


async def test_an_answer_fits_into_what_the_client_can_receive(node: NodeProcess, name: str) -> None:
    """8 KiB: more makes the Java client drop the session. What is left out is unknown again at the next heartbeat."""
    unknown = {f"i{number}": instance(name, f"i{number}", metadata={"k": "v" * 500}) for number in range(40)}
    async with websocket(node, HEARTBEAT) as session:
        for _ in range(len(unknown)):
            await session.send({"instances": list(unknown.values())})
            text = await session.connection.get_message()
            assert len(text) <= 8 * 1024
            answer = json.loads(text)
            if answer["responseStatus"] == SUCCESS:
                break
            for failed in answer["failedInstances"]:
                assert failed["instance"] == unknown[failed["instance"]["instanceId"]]
            await register(node, *(failed["instance"] for failed in answer["failedInstances"]))
    assert len(await ids_of(node, name)) == len(unknown)


async def test_one_large_instance_is_echoed_whole_all_the_same(node: NodeProcess, name: str) -> None:
    large = instance(name, metadata={"k": "v" * 10_000})
    async with websocket(node, HEARTBEAT) as session:
        answer = await session.ask({"instances": [large]})
        assert answer["failedInstances"][0]["instance"] == large


async def test_heartbeats_over_a_socket_count_against_the_same_limit(shared_node: StartNode, name: str) -> None:
    node = shared_node(SMALL)
    async with websocket(node, HEARTBEAT) as session:
        codes = [(await session.ask({"instances": [instance(name)]}))["responseStatus"]["errorCode"] for _ in range(4)]
    assert codes == ["partial_fail"] * 3 + ["rate-limited"]
    fails_with(await rpc(node, "registry/heartbeat", {"instances": [instance(name)]}), "rate-limited")
