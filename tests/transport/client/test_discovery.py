"""The discovery client: questions and answers, with nodes of other versions and nodes that fail."""

import json

import httpx
import pytest
import trio
from trio.testing import MockClock

from artemis.transport.client import Incomprehensible, Refused, Unreachable, open_discovery_client

OK = {"status": "success", "errorCode": "success", "message": ""}
A, B = "http://a:1", "http://b:2"


def node_answering(status: int, body: object, asked: list[httpx.Request] | None = None) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        return httpx.Response(status, json=body) if not isinstance(body, str) else httpx.Response(status, text=body)

    return httpx.MockTransport(handle)


async def test_a_service_is_read_and_what_a_newer_node_adds_is_ignored() -> None:
    instance = {"instanceId": "o1", "url": "http://10.0.0.1/", "port": 80, "colour": "red", "metadata": {"k": "v"}}
    body = {"services": [{"serviceId": "orders", "instances": [instance], "news": 1}], "responseStatus": OK}
    asked: list[httpx.Request] = []
    transport = node_answering(200, body, asked)
    async with open_discovery_client(A, region_id="lab", zone_id="z1", transport=transport) as discovery:
        service = await discovery.service("orders", data={"ip": "10.0.0.9"})
    assert service.service_id == "orders"
    (found,) = service.instances
    assert (found.instance_id, found.port, found.metadata) == ("o1", 80, {"k": "v"})
    assert json.loads(asked[0].content) == {
        "discoveryConfigs": [{"serviceId": "orders", "discoveryData": {"ip": "10.0.0.9"}}],
        "regionId": "lab",
        "zoneId": "z1",
    }


async def test_a_service_that_nobody_registered_is_empty() -> None:
    body = {"services": [{"serviceId": "orders", "instances": None}], "responseStatus": OK}
    async with open_discovery_client(A, transport=node_answering(200, body)) as discovery:
        assert (await discovery.service("orders")).instances == ()


async def test_services_are_sorted_by_name() -> None:
    body = {"services": [{"serviceId": "b"}, {"serviceId": "A"}], "version": 1, "responseStatus": OK}
    async with open_discovery_client(A, transport=node_answering(200, body)) as discovery:
        assert [service.service_id for service in await discovery.services()] == ["A", "b"]


async def test_one_instance_is_chosen_or_there_is_none() -> None:
    found = {"success": True, "instance": {"instanceId": "o1"}}
    async with open_discovery_client(A, transport=node_answering(200, found)) as discovery:
        chosen = await discovery.choose("orders", strategy="round-robin")
        assert chosen is not None
        assert chosen.instance_id == "o1"
    missing = {"success": False, "message": "no instance"}
    async with open_discovery_client(A, transport=node_answering(404, missing)) as discovery:
        assert await discovery.choose("orders") is None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {"responseStatus": {"status": "fail", "errorCode": "no-permission", "message": "m"}}, "no-permission"),
        (200, {"responseStatus": {"status": "fail", "errorCode": "rate-limited", "message": "m"}}, "rate-limited"),
        (429, {"success": False, "message": "slow down"}, "rate-limited"),
        (400, {"success": False, "message": "bad"}, "bad-request"),
        (404, "<html>not found</html>", "data-not-found"),
    ],
)
async def test_a_refusal_has_its_code_and_another_node_is_not_asked(status: int, body: object, code: str) -> None:
    asked: list[httpx.Request] = []
    async with open_discovery_client(A, B, transport=node_answering(status, body, asked)) as discovery:
        with pytest.raises(Refused) as caught:
            await discovery.services()
    assert caught.value.code == code
    assert len(asked) == 1


@pytest.mark.parametrize("body", ["hello", '{"services": 3}'])
async def test_something_else_on_that_port_is_told_from_a_node(body: str) -> None:
    async with open_discovery_client(A, transport=node_answering(200, body)) as discovery:
        with pytest.raises(Incomprehensible):
            await discovery.services()


async def test_every_node_is_asked_once_before_giving_up() -> None:
    asked: list[httpx.Request] = []
    body = {"responseStatus": {"status": "fail", "errorCode": "service-unavailable", "message": "starting"}}
    async with open_discovery_client(A, B, transport=node_answering(200, body, asked)) as discovery:
        with pytest.raises(Unreachable, match="starting"):
            await discovery.services()
    assert [request.url.host for request in asked] == ["a", "b"]


async def test_a_node_that_does_not_answer_is_given_up_after_the_timeout(autojump_clock: MockClock) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    async with open_discovery_client(A, timeout_s=3, transport=httpx.MockTransport(handle)) as discovery:
        with pytest.raises(Unreachable, match="no answer within 3 s"):
            await discovery.services()
    assert trio.current_time() == pytest.approx(3)
