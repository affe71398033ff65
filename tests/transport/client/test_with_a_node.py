"""The SDK against a real node: what its fakes promise is what a node does."""

from collections.abc import Iterator
from itertools import count

import pytest
import trio

from artemis.transport.client import Instance, Refused, RegistryClient, open_discovery_client, open_registry_client

from ...node.running import RunningNode, running_node
from ...pace import PATIENCE_S, paced


@pytest.fixture(scope="module")
def node() -> Iterator[RunningNode]:
    with running_node("--set", "registry.lease_ttl_min_s=0.5") as running:
        yield running


def instance(service: str, number: int = 1) -> Instance:
    return Instance(region_id="default", service_id=service, instance_id=f"i{number}", url="http://10.0.0.1/")


async def test_what_is_registered_outlives_its_lease_and_ends_with_the_block(node: RunningNode) -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_discovery_client(node.url) as discovery, discovery.watch("lasting") as updates:
            assert (await updates.receive()).instances == ()
            async with open_registry_client(node.url, lease_ttl_s=paced(0.6)) as registry:
                await registry.register(instance("lasting"))
                assert (await updates.receive()).changes[0].change_type == "new"
                with trio.move_on_after(paced(1.5)):
                    unexpected = await updates.receive()
                    raise AssertionError(unexpected)
                assert registry.heartbeat_count >= 5
            assert (await updates.receive()).changes[0].change_type == "delete"


async def test_an_instance_that_was_taken_out_registers_again(node: RunningNode) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            open_discovery_client(node.url) as discovery,
            discovery.watch("returning") as updates,
            open_registry_client(node.url, lease_ttl_s=paced(0.8)) as registry,
            open_registry_client(node.url) as somebody,
        ):
            assert (await updates.receive()).kind == "snapshot"
            await registry.register(instance("returning"))
            await somebody.unregister(instance("returning"))
            kinds: list[str] = []
            while len(kinds) < 3:
                kinds += [change.change_type for change in (await updates.receive()).changes]
    assert kinds == ["new", "delete", "new"]


async def test_questions_are_answered(node: RunningNode) -> None:
    async with open_registry_client(node.url) as registry, open_discovery_client(node.url) as discovery:
        await registry.register(instance("Asked", 1), instance("Asked", 2))
        service = await discovery.service("asked")
        assert service.service_id == "Asked"
        assert {each.instance_id for each in service.instances} == {"i1", "i2"}
        assert "Asked" in [each.service_id for each in await discovery.services()]
        chosen = await discovery.choose("asked", strategy="round-robin")
        assert chosen is not None
        assert chosen.instance_id in ("i1", "i2")
        assert await discovery.choose("nobody") is None


async def test_a_refusal_of_the_node_has_its_code(node: RunningNode) -> None:
    async with open_registry_client(node.url) as registry:
        with pytest.raises(Refused) as caught:
            await registry.register(Instance(region_id="default", service_id="x", instance_id="", url="http://a/"))
    assert caught.value.code == "bad-request"


async def test_the_changes_of_all_services_can_be_watched(node: RunningNode) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            open_discovery_client(node.url) as discovery,
            discovery.watch("*") as updates,
            open_registry_client(node.url) as registry,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(register_until_cancelled, registry)
            update = await updates.receive()
            nursery.cancel_scope.cancel()
    assert update.service_id.startswith("any-")
    assert update.changes[0].change_type == "new"


async def register_until_cancelled(registry: RegistryClient) -> None:
    """Nothing tells when a subscription to everything has begun, so something keeps happening."""
    for number in count():
        await registry.register(instance(f"any-{number}"))
        await trio.sleep(0.05)
