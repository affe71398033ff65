"""The limits of section 5 of the REST API: each with its own clear error, and each can be set."""

import gzip
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import trio

from ..pace import PATIENCE_S
from .building import PARTIAL, REST_SUCCESS, SUCCESS, ids_of, instance, key_of, place, register
from .conftest import StartNode
from .flavours import BUSY, GATED, GUARDED, PER_CLIENT, SMALL, UNLIMITED
from .nodes import NodeProcess
from .sockets import HEARTBEAT, WATCH, websocket
from .wire import REST, RPC, Connection, ask, connected, encoded, get, message, post, rest, rpc

REGISTER = f"{RPC}/registry/register.json"
NODE_STATUS = f"{RPC}/status/node.json"

MIB = 1 << 20


# Bodies and heads


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS, "/api/discovery/lookup", "/api/management/services.json"])
async def test_a_body_over_2_mib_is_413_before_it_is_sent(node: NodeProcess, path: str) -> None:
    async with connected(node) as connection:
        await connection.send(message("POST", path, b"", content_length=str(2 * MIB + 1)))
        answer = await connection.answer()
        assert answer.status == 413
        assert str(2 * MIB) in answer.message


async def test_a_body_of_2_mib_is_taken(node: NodeProcess) -> None:
    body = b'{"instances":[]}'.ljust(2 * MIB)
    for path in (REGISTER, NODE_STATUS):
        assert (await ask(node, "POST", path, body)).status == 200


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS])
async def test_who_sends_a_large_body_regardless_reads_the_refusal_all_the_same(node: NodeProcess, path: str) -> None:
    async with connected(node) as connection, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                await connection.send(message("POST", path, bytes(8 * MIB)))
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(send)
        assert (await connection.answer()).status == 413
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS])
async def test_chunks_may_not_add_up_to_more(node: NodeProcess, path: str) -> None:
    async with connected(node) as connection:
        await connection.send(message("POST", path, b"", content_length="", transfer_encoding="chunked"))
        chunk = b"80000\r\n" + bytes(0x80000) + b"\r\n"
        for _ in range(5):
            try:
                await connection.send(chunk)
            except trio.BrokenResourceError:
                break
        assert (await connection.answer()).status == 413


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS, f"{REST}/registry/heartbeat"])
@pytest.mark.parametrize("size", [2 * MIB + 1, 1 << 30], ids=["a byte more", "a bomb"])
async def test_what_inflates_beyond_the_limit_is_413(node: NodeProcess, path: str, size: int) -> None:
    """A gigabyte of nothing is a megabyte of gzip: it passes the first limit, and must not be inflated."""
    before = node.resident_bytes()
    body = bomb(size)
    assert len(body) < 2 * MIB
    async with connected(node) as connection:
        answer = await connection.ask("POST", path, body, content_encoding="gzip")
        assert answer.status == 413
        assert str(2 * MIB) in answer.message
        assert (await connection.ask("GET", NODE_STATUS)).status == 200
    assert node.resident_bytes() - before < 64 * MIB


def bomb(size: int) -> bytes:
    if size < 1 << 25:
        return gzip.compress(b" " * size)
    member = gzip.compress(bytes(1 << 24), compresslevel=9)
    return member * (size >> 24)


@pytest.mark.parametrize("path", [REGISTER, "/health", "/nowhere"])
async def test_headers_over_32_kib_are_431(node: NodeProcess, path: str) -> None:
    answer = await ask(node, "GET", path, x_filler="x" * 33 * 1024)
    assert answer.status == 431
    assert str(32 * 1024) in answer.message


async def test_headers_of_almost_32_kib_are_fine(node: NodeProcess) -> None:
    assert (await ask(node, "GET", NODE_STATUS, x_filler="x" * 31 * 1024)).status == 200
    assert (await ask(node, "POST", REGISTER, b"{}", x_filler="x" * 31 * 1024)).status == 200


async def test_headers_without_end_are_431(node: NodeProcess) -> None:
    async with connected(node) as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(40):
            try:
                await connection.send(b"X-More: " + b"x" * 1000 + b"\r\n")
            except trio.BrokenResourceError:
                break
        assert (await connection.answer()).status == 431


# Instances


async def test_more_than_1000_instances_are_400_and_change_nothing(node: NodeProcess, name: str) -> None:
    many = [{"regionId": "lab", "serviceId": name, "instanceId": f"i{n}", "url": "u"} for n in range(1001)]
    for prefix in (RPC, REST):
        answer = await ask(node, "POST", f"{prefix}/registry/register.json", encoded({"instances": many}))
        assert answer.status == 400
        assert "1001" in answer.message
        assert "1000" in answer.message
    assert await ids_of(node, name) == []
    await register(node, *many[:1000])
    assert len(await ids_of(node, name)) == 1000
    keys = {"instanceKeys": [key_of(one) for one in many]}
    assert (await ask(node, "POST", f"{REST}/registry/unregister", encoded(keys))).status == 400


class Excess(NamedTuple):
    """What is wrong with an instance, and what its error must mention."""

    field: str
    value: Any
    hints: tuple[str, ...]


EXCESSES = [
    Excess("serviceId", "s" * 257, ("serviceId", "256")),
    Excess("instanceId", "i" * 257, ("instanceId", "256")),
    Excess("zoneId", "z" * 257, ("zoneId", "256")),
    Excess("groupId", "g" * 257, ("groupId", "256")),
    Excess("ip", "1" * 257, ("ip", "256")),
    Excess("machineName", "m" * 257, ("machineName", "256")),
    Excess("url", "http://" + "u" * 2048, ("url", "2048")),
    Excess("healthCheckUrl", "http://" + "u" * 2048, ("healthCheckUrl", "2048")),
    Excess("metadata", {f"k{number}": "v" for number in range(65)}, ("metadata", "64")),
    Excess("metadata", {"k": "v" * 16 * 1024}, ("metadata", "16384")),
    Excess("metadata", {"k": "ü" * 8 * 1024}, ("metadata", "16384")),
    Excess("serviceId", "a\nb", ("serviceId", "control")),
    Excess("instanceId", "a\x00b", ("instanceId", "control")),
    Excess("zoneId", "a\tb", ("zoneId", "control")),
    Excess("url", "http://a\r\nb", ("url", "control")),
    Excess("instanceId", "a\u202eb", ("instanceId", "unprintable")),
    Excess("status", "up\x1b[31m", ("status", "control")),
]


@pytest.mark.parametrize("excess", EXCESSES, ids=lambda excess: f"{excess.field} {excess.hints[1]}")
async def test_an_instance_beyond_a_limit_fails_and_the_others_pass(
    node: NodeProcess, name: str, excess: Excess
) -> None:
    bad = {**instance(name, "bad"), excess.field: excess.value}
    answer = await rpc(node, "registry/register", {"instances": [instance(name, "a"), bad, instance(name, "b")]})
    assert answer["responseStatus"] == PARTIAL
    (failed,) = answer["failedInstances"]
    assert failed["errorCode"] == "bad-request"
    assert all(hint in failed["errorMessage"] for hint in excess.hints)
    assert failed["instance"] == bad
    assert await ids_of(node, name) == ["a", "b"]


async def test_an_instance_at_every_limit_passes(node: NodeProcess, name: str) -> None:
    metadata = {f"k{number:02}": "v" * 253 for number in range(64)}
    full = instance(
        name.ljust(256, "s"), "i" * 256, groupId="g" * 256, url="http://".ljust(2048, "u"), metadata=metadata
    )
    await register(node, full)
    assert await ids_of(node, name.ljust(256, "s")) == ["i" * 256]


# The same limits, set to something else


SET_LIMITS: list[tuple[str, Callable[[str], dict[str, Any]], str]] = [
    ("id_characters", lambda name: instance(name, "i" * 21), "20"),
    ("url_characters", lambda name: instance(name, url="u" * 31), "30"),
    ("metadata_entries", lambda name: instance(name, metadata={"a": "", "b": "", "c": ""}), "2"),
    ("metadata_bytes", lambda name: instance(name, metadata={"k": "v" * 10}), "10"),
]


@pytest.mark.parametrize(("key", "make", "hint"), SET_LIMITS, ids=[limit[0] for limit in SET_LIMITS])
async def test_limits_of_instances_can_be_set(
    shared_node: StartNode, name: str, key: str, make: Callable[[str], dict[str, Any]], hint: str
) -> None:
    answer = await rpc(shared_node(SMALL), "registry/register", {"instances": [{**make(name), "healthCheckUrl": ""}]})
    (failed,) = answer["failedInstances"]
    assert hint in failed["errorMessage"]


async def test_limits_of_requests_can_be_set(shared_node: StartNode, name: str) -> None:
    node = shared_node(SMALL)
    body = encoded({"instances": [instance(name, f"i{number}") for number in range(4)]})
    answer = await ask(node, "POST", REGISTER, body)
    assert answer.status == 400
    assert "at most 3" in answer.message
    assert (await ask(node, "POST", REGISTER, b" " * 20_001)).status == 413
    assert (await ask(node, "GET", NODE_STATUS, x_filler="x" * 2_000)).status == 431


async def test_a_full_node_takes_nobody_new_and_keeps_who_is_there(start_node: StartNode, name: str) -> None:
    node = start_node({"limits": {"instances": 2}})
    answer = await rpc(node, "registry/register", {"instances": [instance(name, "i1"), instance(name, "i2")]})
    assert answer["responseStatus"] == SUCCESS
    answer = await rpc(node, "registry/register", {"instances": [instance(name, "i2"), instance(name, "i3")]})
    (failed,) = answer["failedInstances"]
    assert (failed["instance"]["instanceId"], failed["errorCode"]) == ("i3", "service-unavailable")
    assert "limits.instances" in failed["errorMessage"]
    answer = await rpc(node, "registry/heartbeat", {"instances": [instance(name, "i1"), instance(name, "i2")]})
    assert answer["responseStatus"] == SUCCESS


async def test_the_limit_of_texts_can_be_set(shared_node: StartNode) -> None:
    node = shared_node(SMALL)
    for path in (HEARTBEAT, WATCH):
        async with websocket(node, path) as session:
            await session.send("x" * 1024)
            await session.receive()
            await session.send("x" * 1025)
            assert (await session.closed())[0] == 1009


async def trickle(connection: Connection, head: bytes) -> None:
    """One byte after the other, until the node has had enough."""
    for position in range(len(head)):
        try:
            await connection.send(head[position : position + 1])
        except trio.BrokenResourceError:
            return
        await trio.sleep(0.05)


async def test_a_head_that_drips_in_is_408(shared_node: StartNode) -> None:
    async with connected(shared_node(SMALL)) as connection, trio.open_nursery() as nursery:
        nursery.start_soon(trickle, connection, message("GET", NODE_STATUS))
        answer = await connection.answer()
        assert answer.status == 408
        assert "headers" in answer.message
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS])
async def test_a_body_that_does_not_come_is_408(shared_node: StartNode, path: str) -> None:
    async with connected(shared_node(SMALL)) as connection:
        await connection.send(message("POST", path, b"{}", content_length="100"))
        answer = await connection.answer()
        assert answer.status == 408
        assert "body" in answer.message


@pytest.mark.parametrize("first", [None, NODE_STATUS, f"{RPC}/discovery/services.json"])
async def test_a_connection_without_requests_is_closed(shared_node: StartNode, first: str | None) -> None:
    async with connected(shared_node(SMALL)) as connection:
        if first is not None:
            assert (await connection.ask("GET", first)).status == 200
        assert await connection.is_closed()


async def test_connections_beyond_the_bound_are_told_so_and_places_become_free(shared_node: StartNode) -> None:
    node = shared_node(GATED)

    async def is_served() -> bool:
        async with connected(node) as connection:
            answer = await connection.ask("GET", "/health")
            if answer.status == 503:
                assert "connections" in answer.message
                assert answer.header("retry-after")
            return answer.status == 200

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            await nursery.start(hold_a_connection, node)
        assert not await is_served()
        nursery.cancel_scope.cancel()
    with trio.fail_after(PATIENCE_S):
        while not await is_served():  # noqa: ASYNC110 - every round is a question to the node
            await trio.sleep(0.01)


async def hold_a_connection(node: NodeProcess, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    async with connected(node) as connection:
        assert (await connection.ask("POST", REGISTER, b"{}")).status == 200
        task_status.started()
        await trio.sleep_forever()


# Rates


LIMITED = [
    ("POST", "registry/register", 3),
    ("POST", "registry/heartbeat", 3),
    ("POST", "registry/unregister", 3),
    ("POST", "replication/registry/register", 3),
    ("POST", "replication/registry/heartbeat", 3),
    ("POST", "replication/registry/unregister", 3),
    ("GET", "replication/registry/services", 3),
    ("POST", "cluster/up-registry-nodes", 3),
    ("GET", "cluster/up-discovery-nodes", 3),
    ("POST", "status/cluster", 3),
    ("GET", "status/leases", 1_000_000),
    ("GET", "status/legacy-leases", 3),
    ("GET", "status/config", 1),
    ("POST", "status/deployment", 3),
]


@pytest.mark.parametrize(("method", "call", "limit"), LIMITED, ids=[f"{row[0]} {row[1]}" for row in LIMITED])
async def test_an_operation_has_its_own_limit_for_the_whole_node(
    shared_node: StartNode, name: str, method: str, call: str, limit: int
) -> None:
    """Both prefixes and both methods count together; a refused call is HTTP 200, as clients of the contract expect."""
    node = shared_node(BUSY)
    body = {"instances": [instance(name)]}

    async def code(prefix: str) -> tuple[str, Any]:
        path = f"{prefix}/{call}.json?regionId=lab"
        answer = await post(node, path, body) if method == "POST" else await get(node, path)
        fields = [answer[field] for field in answer if field != "responseStatus"]
        return answer["responseStatus"]["errorCode"], fields

    codes = [(await code(prefix))[0] for prefix in (RPC, REST, RPC)]
    assert [one == "rate-limited" for one in codes] == [number >= limit for number in range(3)]
    if limit < 10:
        body["instances"] = [instance(name, "refused")]
        last, fields = await code(REST)
        assert last == "rate-limited"
        assert not any(fields)
        assert "refused" not in await ids_of(node, name)


@pytest.mark.parametrize(("call", "limit"), [("leases", 10), ("deployment", 30)])
async def test_status_queries_have_the_limits_of_the_original(shared_node: StartNode, call: str, limit: int) -> None:
    node = shared_node(GUARDED)
    codes = [(await get(node, f"{RPC}/status/{call}.json"))["responseStatus"]["status"] for _ in range(limit + 1)]
    assert codes == ["success"] * limit + ["fail"]


async def test_a_client_has_a_limit_of_its_own_where_one_is_set(shared_node: StartNode, name: str) -> None:
    """Who it is says a trusted proxy; the last address that no proxy of ours has is the one that counts."""
    node = shared_node(PER_CLIENT)

    async def code(forwarded_for: str) -> str:
        body = encoded({"instances": [instance(name)]})
        answer = await ask(node, "POST", REGISTER, body, x_forwarded_for=forwarded_for)
        return str(answer.json["responseStatus"]["errorCode"])

    assert [await code("10.9.0.1") for _ in range(4)] == ["success"] * 3 + ["rate-limited"]
    assert await code("10.9.0.2") == "success"
    assert await code("10.9.0.2, 10.9.0.1") == "rate-limited"
    assert await code("10.9.0.1, 127.0.0.1") == "rate-limited"


async def test_discovery_counts_for_the_limit_of_a_client_too(shared_node: StartNode, name: str) -> None:
    node = shared_node(PER_CLIENT)
    for path, document in (
        (f"{RPC}/discovery/lookup.json", place(discoveryConfigs=[{"serviceId": name}])),
        (f"{RPC}/discovery/service.json", place(discoveryConfig={"serviceId": name})),
        (f"{RPC}/discovery/services.json", {}),
    ):
        client = f"10.8.0.{len(path)}"
        answers = [await ask(node, "POST", path, encoded(document), x_forwarded_for=client) for _ in range(4)]
        codes = [answer.json["responseStatus"]["errorCode"] for answer in answers]
        assert codes == ["success"] * 3 + ["rate-limited"]


async def test_a_client_that_is_too_fast_for_resources_gets_429(shared_node: StartNode) -> None:
    node = shared_node(PER_CLIENT)
    answers = [await ask(node, "GET", "/api/routing/groups", x_forwarded_for="10.7.0.1") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].header("retry-after")
    assert answers[-1].message


async def test_heartbeats_over_a_socket_count_for_the_limit_of_a_client(shared_node: StartNode, name: str) -> None:
    node = shared_node(PER_CLIENT)
    async with websocket(node, HEARTBEAT, headers=[(b"X-Forwarded-For", b"10.6.0.1")]) as session:
        answers = [await session.ask({"instances": [instance(name)]}) for _ in range(4)]
    assert [answer["responseStatus"]["errorCode"] for answer in answers] == ["partial_fail"] * 3 + ["rate-limited"]


async def test_peers_and_watchmen_are_not_limited_as_clients_are(shared_node: StartNode, name: str) -> None:
    node = shared_node(PER_CLIENT)
    for _ in range(5):
        for path in (NODE_STATUS, "/health", "/metrics", f"{RPC}/replication/registry/services.json?regionId=lab"):
            assert b"rate-limited" not in (await ask(node, "GET", path, x_forwarded_for="10.5.0.1")).body[:100]


async def test_limits_of_rate_can_be_switched_off(shared_node: StartNode, name: str) -> None:
    node = shared_node(UNLIMITED)
    for _ in range(5):
        assert (await rest(node, "registry/register", {"instances": [instance(name)]}))[
            "responseStatus"
        ] == REST_SUCCESS
        assert (await get(node, f"{RPC}/cluster/up-registry-nodes.json"))["responseStatus"] == SUCCESS
        assert (await get(node, f"{RPC}/status/leases.json"))["responseStatus"] == SUCCESS
