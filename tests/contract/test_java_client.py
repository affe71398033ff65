"""The Java client, step by step: what sections 4.2 to 4.6 of the RPC API and its captured start-up order describe.

The client is played here by hand, with its own bytes: gzip in chunks, its bare handshake, and its way of registering
through a heartbeat that fails.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from ..pace import PATIENCE_S
from .building import SUCCESS, instance
from .conftest import StartNode
from .flavours import QUICK
from .nodes import NodeProcess
from .sockets import CHANGES, HEARTBEAT, Session, websocket
from .waiting import eventually
from .wire import RPC, connected, java_message, post

PLACE = {"regionId": "lab", "zoneId": "zone1"}


class JavaClient:
    """Application client of one service: it registers instances, and discovers its own service."""

    def __init__(self, node: NodeProcess, service: str) -> None:
        self.domain = node
        self.service = service
        self.instances: dict[str, dict[str, Any]] = {}
        self.registered: list[str] = []
        """What was registered because a heartbeat had failed."""
        self.known: dict[str, dict[str, Any]] = {}
        """The instances of the discovered service, by id."""
        self.events: list[tuple[str, str]] = []

    # 4.2 addresses

    async def find_nodes(self, call: str) -> list[str]:
        """Only the urls are read; without any, the domain url itself is used."""
        answer = await post(self.domain, f"{RPC}/cluster/{call}.json", PLACE)
        return [node["url"].rstrip("/") for node in answer["nodes"] or ()]

    # 4.3 calls

    async def call(self, name: str, document: object) -> dict[str, Any]:
        """Any status from 300 on, and any answer without responseStatus, would make the client leave the node."""
        answer = await post(self.domain, f"{RPC}/{name}.json", document)
        assert answer["responseStatus"]["errorCode"] not in ("internal-service-error", "service-unavailable")
        assert isinstance(answer, dict)
        return answer

    # 4.4 discovery

    async def discover(self) -> None:
        config = {"serviceId": self.service, "regionId": None, "zoneId": None, "discoveryData": None}
        answer = await self.call("discovery/lookup", {"discoveryConfigs": [config], **PLACE})
        assert answer["responseStatus"]["status"] == "success"
        (service,) = answer["services"]
        assert service["serviceId"].lower() == self.service.lower()
        self.known = {one["instanceId"]: one for one in service["instances"] or ()}

    async def subscribe(self, session: Session) -> None:
        await session.send({"serviceId": self.service, "regionId": None, "zoneId": None, "discoveryData": None})
        await session.ping()

    async def hear(self, session: Session) -> None:
        """Take one push: `reload` asks anew, `new` and `change` replace or add, `delete` removes."""
        push = await session.receive()
        change_type, changed = push["changeType"], push["instance"]
        assert changed["serviceId"] == self.service
        if change_type == "reload":
            await self.discover()
        elif change_type == "delete":
            self.known.pop(changed["instanceId"], None)
        else:
            assert change_type in ("new", "change")
            self.known[changed["instanceId"]] = changed
        self.events.append((change_type, changed["instanceId"]))

    # 4.5 registration

    async def register(self, *instances: dict[str, Any]) -> None:
        """First unregister them, then only remember them: the heartbeat does the rest."""
        await self.call("registry/unregister", {"instances": list(instances)})
        self.instances |= {one["instanceId"]: one for one in instances}

    async def heartbeat(self, session: Session) -> None:
        """One message with all instances; what fails is registered as it was echoed."""
        answer = await session.ask({"instances": list(self.instances.values())})
        failed = [
            one["instance"]
            for one in answer["failedInstances"] or ()
            if one["errorCode"] in ("data-not-found", "unknown")
        ]
        if failed:
            done = await self.call("registry/register", {"instances": failed})
            assert done == {"failedInstances": None, "responseStatus": SUCCESS}
            self.registered += [one["instanceId"] for one in failed]

    async def unregister(self, *ids: str) -> None:
        await self.call("registry/unregister", {"instances": [self.instances.pop(one) for one in ids]})


@asynccontextmanager
async def java_session(node: NodeProcess, path: str) -> AsyncGenerator[Session, None]:
    """4.6: a session, whose health is a PONG within a second."""
    async with websocket(node, path) as session:
        with trio.fail_after(PATIENCE_S):
            await session.ping()
        yield session


async def test_the_captured_start_up_order(node: NodeProcess, name: str) -> None:
    client = JavaClient(node, name)
    for call in ("up-discovery-nodes", "up-registry-nodes"):
        for _ in range(2):
            assert await client.find_nodes(call) == [node.url]
    await client.discover()
    assert client.known == {}
    async with java_session(node, CHANGES) as discovery:
        await client.subscribe(discovery)
        own = [instance(name, "i1"), instance(name, "i2")]
        await client.register(*own)
        async with java_session(node, HEARTBEAT) as registry:
            await client.heartbeat(registry)
            assert client.registered == ["i1", "i2"]
            await client.hear(discovery)
            await client.hear(discovery)
            assert client.known == {"i1": own[0], "i2": own[1]}
            await client.heartbeat(registry)
            assert client.registered == ["i1", "i2"], "registered once"
            await client.unregister("i1", "i2")
            await client.hear(discovery)
            await client.hear(discovery)
    assert client.events == [("new", "i1"), ("new", "i2"), ("delete", "i1"), ("delete", "i2")]
    assert client.known == {}


async def test_a_client_that_restarts_is_gone_and_back_for_its_consumers(node: NodeProcess, name: str) -> None:
    """register() begins with an unregister: consumers see the old process go, and the new one come."""
    old, new, consumer = (JavaClient(node, name) for _ in range(3))
    async with java_session(node, CHANGES) as discovery, java_session(node, HEARTBEAT) as registry:
        await old.register(instance(name))
        await old.heartbeat(registry)
        await consumer.discover()
        await consumer.subscribe(discovery)
        assert list(consumer.known) == ["i1"]
        await new.register(instance(name, metadata={"build": "2"}))
        await consumer.hear(discovery)
        assert consumer.known == {}
        await new.heartbeat(registry)
        await consumer.hear(discovery)
        assert consumer.known == {"i1": instance(name, metadata={"build": "2"})}


async def test_a_client_whose_lease_ran_out_registers_itself_again(shared_node: StartNode, name: str) -> None:
    """A garbage collection longer than the lease: the next heartbeat fails, and that repairs it."""
    node = shared_node(QUICK)
    client = JavaClient(node, name)
    async with java_session(node, CHANGES) as discovery:
        await client.subscribe(discovery)
        async with java_session(node, HEARTBEAT) as registry:
            await client.register(instance(name))
            await client.heartbeat(registry)
            await client.hear(discovery)
            await client.hear(discovery)  # the lease has run out
            await client.heartbeat(registry)
            await client.hear(discovery)
    assert client.events == [("new", "i1"), ("delete", "i1"), ("new", "i1")]
    assert client.registered == ["i1", "i1"]


async def test_a_session_that_the_node_ends_is_replaced_without_a_trace(shared_node: StartNode, name: str) -> None:
    """A new session, the same subscriptions again, and nothing is registered or lost meanwhile."""
    node = shared_node(QUICK)
    client = JavaClient(node, name)
    async with java_session(node, HEARTBEAT) as registry:
        await client.register(instance(name))
        await client.heartbeat(registry)
        await beat_until_closed(client, registry)
    async with java_session(node, HEARTBEAT) as registry, java_session(node, CHANGES) as discovery:
        await client.subscribe(discovery)
        await client.heartbeat(registry)
        await client.discover()
    assert client.registered == ["i1"]
    assert list(client.known) == ["i1"]


async def beat_until_closed(client: JavaClient, session: Session) -> None:
    """Heartbeat several times per lease until the node closes the session normally."""
    while session.connection.closed is None:
        with trio.move_on_after(0.1):
            code, _reason = await session.closed()
            assert code == 1000
            return
        await client.heartbeat(session)


async def test_an_upper_case_service_works_for_a_client_that_reloads(node: NodeProcess, name: str) -> None:
    """Incremental pushes are for lower-case ids only in the Java client; lookups are for all."""
    client = JavaClient(node, name.upper())
    async with java_session(node, HEARTBEAT) as registry:
        await client.register(instance(name.upper()))
        await client.heartbeat(registry)
    await client.discover()
    assert list(client.known) == ["i1"]


async def test_a_lost_answer_makes_the_client_repeat_itself_harmlessly(node: NodeProcess, name: str) -> None:
    """Up to five attempts: registering and unregistering twice is the same as once."""
    client = JavaClient(node, name)
    body = {"instances": [instance(name)]}
    async with connected(node) as connection:
        await connection.send(*java_message(f"{RPC}/registry/register.json", body))
        # and hangs up before the answer has come

    async def is_registered() -> bool:
        await client.discover()
        return list(client.known) == ["i1"]

    await eventually(is_registered)
    for call in ("register", "register", "unregister", "unregister"):
        answer = await client.call(f"registry/{call}", body)
        assert answer["responseStatus"] == SUCCESS


@pytest.mark.parametrize("count", [1, 150])
async def test_a_client_with_many_instances_gets_them_all_registered(node: NodeProcess, name: str, count: int) -> None:
    """A heartbeat of more than some twenty instances is larger than what the original takes, its answer too."""
    client = JavaClient(node, name)
    await client.register(*(instance(name, f"i{number}") for number in range(count)))
    async with java_session(node, HEARTBEAT) as registry:

        async def is_settled() -> bool:
            before = len(client.registered)
            await client.heartbeat(registry)
            return len(client.registered) == before

        await eventually(is_settled)
    await client.discover()
    assert len(client.known) == count == len(client.registered)
