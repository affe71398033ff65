"""The registry client against nodes that forget, refuse, and fall silent."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
import trio
from trio.testing import MockClock

from artemis.transport.client import Instance, Refused, RegistryClient, Unreachable, open_registry_client

A, B = "http://a:1", "http://b:2"
Key = tuple[str, str]


@dataclass
class FakeNode:
    """What a node does as far as a registry client can tell."""

    up: bool = True
    status: str = "up"
    region: str = "lab"
    registered: dict[Key, dict[str, object]] = field(default_factory=dict[Key, dict[str, object]])
    calls: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def answer(self, operation: str, items: list[dict[str, str]]) -> dict[str, object]:
        self.calls.append((trio.current_time(), operation))
        if self.status != "up":
            return {"responseStatus": {"status": "fail", "errorCode": "service-unavailable", "message": self.status}}
        failed: list[dict[str, object]] = []
        for item in items:
            key = (item["serviceId"], item["instanceId"])
            if operation == "register" and item["regionId"] != self.region:
                failed.append({**item, "errorCode": "no-permission", "errorMessage": "another region"})
            elif operation == "register":
                self.registered[key] = dict(item)
            elif operation == "unregister":
                self.registered.pop(key, None)
            elif key not in self.registered:
                failed.append({**item, "errorCode": "data-not-found", "errorMessage": "register again"})
        status = "partial_fail" if failed else "success"
        field = "failedInstances" if operation == "register" else "failedInstanceKeys"
        return {field: failed or None, "responseStatus": {"status": status, "errorCode": status}}

    def times_of(self, operation: str) -> list[float]:
        return [time_s for time_s, name in self.calls if name == operation]


class Network(httpx.AsyncBaseTransport):
    """Leads requests to fake nodes; a node that is not up refuses connections."""

    def __init__(self, **nodes: FakeNode) -> None:
        self.nodes = nodes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        node = self.nodes[request.url.host]
        if not node.up:
            raise httpx.ConnectError("connection refused")
        body = json.loads(request.content)
        operation = request.url.path.removeprefix("/api/registry/").removesuffix(".json")
        return httpx.Response(200, json=node.answer(operation, body.get("instances") or body["instanceKeys"]))


def instance(number: int = 1, region: str = "lab") -> Instance:
    return Instance(region_id=region, service_id="orders", instance_id=f"o{number}", url="http://10.0.0.1/")


@asynccontextmanager
async def client_of(
    *urls: str, lease_ttl_s: float | None = None, **nodes: FakeNode
) -> AsyncGenerator[RegistryClient, None]:
    async with open_registry_client(*urls, lease_ttl_s=lease_ttl_s, transport=Network(**nodes)) as client:
        yield client


async def test_an_instance_is_heartbeated_at_a_quarter_of_its_lease(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(instance())
        await trio.sleep(16)
        assert node.times_of("heartbeat") == pytest.approx([5, 10, 15])
    assert node.times_of("register") == [0]


async def test_a_lease_of_ones_own_is_asked_for_and_kept(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, lease_ttl_s=4, a=node) as client:
        await client.register(instance())
        await trio.sleep(2.5)
    assert node.times_of("heartbeat") == pytest.approx([1, 2])


async def test_the_end_of_the_block_unregisters(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(instance(1), instance(2))
        assert len(node.registered) == 2
    assert node.registered == {}


async def test_an_exception_in_the_block_comes_out_bare_and_still_unregisters(autojump_clock: MockClock) -> None:
    node = FakeNode()

    async def serve_and_fail() -> None:
        async with client_of(A, a=node) as client:
            await client.register(instance())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await serve_and_fail()
    assert node.registered == {}


async def test_what_the_node_forgot_is_registered_again(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(instance(1), instance(2))
        node.registered.pop(("orders", "o2"))
        await trio.sleep(5.5)
        assert set(node.registered) == {("orders", "o1"), ("orders", "o2")}
        assert client.heartbeat_count == 1


async def test_another_node_takes_over_when_one_dies(autojump_clock: MockClock) -> None:
    first, second = FakeNode(), FakeNode()
    async with client_of(A, B, a=first, b=second) as client:
        await client.register(instance())
        first.up = False
        await trio.sleep(5.5)
        assert ("orders", "o1") in second.registered
        first.up = True
        await trio.sleep(20)
        assert len(first.times_of("heartbeat")) == 0


async def test_a_node_that_is_draining_is_left_for_another(autojump_clock: MockClock) -> None:
    first, second = FakeNode(), FakeNode()
    async with client_of(A, B, a=first, b=second) as client:
        await client.register(instance())
        first.status = "draining"
        await trio.sleep(5.5)
        assert ("orders", "o1") in second.registered


async def test_after_an_outage_of_all_nodes_the_next_heartbeat_comes_sooner(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(instance())
        node.up = False
        await trio.sleep(11)
        node.up = True
        await trio.sleep(1.26)
        assert client.heartbeat_count == 1


async def test_registering_with_nobody_there_says_what_happened_at_each_node(autojump_clock: MockClock) -> None:
    with pytest.raises(Unreachable) as caught:
        async with client_of(A, B, a=FakeNode(up=False), b=FakeNode(up=False)) as client:
            await client.register(instance())
    assert dict(caught.value.causes) == {A: "connection refused", B: "connection refused"}


async def test_a_refused_instance_is_not_kept_and_the_others_are(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        with pytest.raises(Refused, match="another region") as caught:
            await client.register(instance(1, region="elsewhere"), instance(2))
        assert caught.value.code == "no-permission"
        assert [kept.instance_id for kept in client.instances] == ["o2"]


async def test_leaving_takes_a_bounded_time_when_no_node_answers(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(instance())
        node.up = False
    assert trio.current_time() <= 2


async def test_an_unregistered_instance_is_not_heartbeated_back(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(instance())
        await client.unregister(instance())
        await trio.sleep(20)
    assert node.registered == {}
    assert node.times_of("heartbeat") == []


async def test_many_instances_go_out_in_requests_of_a_bounded_size(autojump_clock: MockClock) -> None:
    node = FakeNode()
    async with client_of(A, a=node) as client:
        await client.register(*(instance(number) for number in range(1001)))
        assert len(node.times_of("register")) == 3
        assert len(node.registered) == 1001


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "", "ftp://a"])
async def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        async with open_registry_client(url):
            pass
