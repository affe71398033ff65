"""The transport rules of section 1.1 of the RPC API, which hold for every endpoint: media types, methods, CORS."""

import gzip
import json
import zlib
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from .building import SUCCESS, ids_of, instance, register
from .conftest import StartNode
from .flavours import GATED, OPEN
from .nodes import REGION, NodeProcess
from .wire import REST, RPC, ask, connected, encoded, get, java_message, message

REGISTER = f"{RPC}/registry/register.json"
LOOKUP = f"{RPC}/discovery/lookup.json"
NODE_STATUS = f"{RPC}/status/node.json"
GROUPS = "/api/management/group/get-all-groups.json"

HOT_AND_COLD = [LOOKUP, NODE_STATUS, "/api/discovery/lookup", "/api/status/node.json"]
"""Paths of both lanes, under both prefixes."""

POSTED = [*HOT_AND_COLD, REGISTER, f"{RPC}/cluster/up-registry-nodes.json", GROUPS]


# Media types


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_a_body_that_is_not_called_json_is_415(node: NodeProcess, path: str, content_type: str) -> None:
    answer = await ask(node, "POST", path, b"{}", content_type=content_type)
    assert answer.status == 415
    assert "application/json" in answer.message


@pytest.mark.parametrize(
    "content_type", ["application/json;charset=UTF-8", "application/json ; x=y", "Application/Json"]
)
async def test_parameters_and_case_of_the_content_type_do_not_matter(node: NodeProcess, content_type: str) -> None:
    assert (await ask(node, "POST", NODE_STATUS, b"{}", content_type=content_type)).status == 200
    assert (await ask(node, "POST", REGISTER, b"{}", content_type=content_type)).status == 200


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406),
        ("application/xml, text/*;q=0.5", 406),
        ("application/json;q=0, text/html", 406),
        ("application/json", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, */*;q=0.1", 200),
    ],
)
async def test_an_accept_header_that_excludes_json_is_406(
    node: NodeProcess, path: str, accept: str, status: int
) -> None:
    answer = await ask(node, "POST", path, b"{}", accept=accept)
    assert answer.status in {status, 400 if status == 200 else status}
    if status == 406:
        assert answer.message


@pytest.mark.parametrize("path", [*HOT_AND_COLD, "/nowhere"])
async def test_every_answer_is_json(node: NodeProcess, path: str) -> None:
    for method, body in (("POST", b"{}"), ("POST", b"not json"), ("DELETE", None)):
        answer = await ask(node, method, path, body)
        assert answer.header("content-type") in ("application/json", "application/json;charset=UTF-8")
        json.loads(answer.body.decode("utf-8"))


# Bodies


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_the_java_client_sends_gzip_in_chunks_each_in_a_segment_of_its_own(
    node: NodeProcess, name: str, pieces: int
) -> None:
    """Between two segments another connection is answered: the node has seen the one, and waits for the next."""
    parts = java_message(REGISTER, {"instances": [instance(name)]}, pieces=pieces)
    async with connected(node) as connection, connected(node) as other:
        for part in parts:
            assert (await other.ask("GET", NODE_STATUS)).status == 200
            await connection.send(part)
        assert (await connection.answer()).json["responseStatus"] == SUCCESS
        await connection.send(*java_message(REGISTER, {"instances": [instance(name, "i2")]}))
        assert (await connection.answer()).json["responseStatus"] == SUCCESS
    assert await ids_of(node, name) == ["i1", "i2"]


ENCODINGS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", lambda data: zlib.compress(data)[2:-4]),
    ("identity", bytes),
]


@pytest.mark.parametrize(("encoding", "compress"), ENCODINGS)
@pytest.mark.parametrize("path", ["registry/register", "replication/registry/register"])
async def test_compressed_bodies_are_inflated(
    node: NodeProcess, name: str, path: str, encoding: str, compress: Any
) -> None:
    body = compress(encoded({"instances": [instance(name)]}))
    answer = await ask(node, "POST", f"{RPC}/{path}.json", body, content_encoding=encoding)
    assert answer.json["responseStatus"] == SUCCESS
    assert await ids_of(node, name) == ["i1"]


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
@pytest.mark.parametrize("body", [b"{}", gzip.compress(b"{}")[:-3], b"\x1f\x8b"], ids=["plain", "cut", "a stub"])
async def test_a_body_that_is_not_compressed_as_it_says_is_400(
    node: NodeProcess, path: str, encoding: str, body: bytes
) -> None:
    answer = await ask(node, "POST", path, body, content_encoding=encoding)
    assert answer.status == 400
    assert answer.message


async def test_an_encoding_that_nobody_speaks_is_415_and_says_which_are(node: NodeProcess) -> None:
    for path in (REGISTER, NODE_STATUS):
        answer = await ask(node, "POST", path, b"{}", content_encoding="br")
        assert answer.status == 415
        assert "gzip" in answer.message


MALFORMED = {
    "nothing": b"",
    "blank": b"  ",
    "null": b"null",
    "an array": b"[]",
    "a text": b'"text"',
    "a number": b"5",
    "half": b'{"instances":[',
    "words": b"instances",
    "two": b"{}{}",
    "not UTF-8": b'{"serviceId":"\xff"}',
    "a trailing comma": b'{"instances":[],}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize(
    "path", [REGISTER, LOOKUP, f"{RPC}/replication/registry/heartbeat.json", "/api/discovery/service", GROUPS]
)
async def test_a_body_that_is_no_json_object_is_400(node: NodeProcess, path: str, body: bytes) -> None:
    answer = await ask(node, "POST", path, body)
    assert answer.status == 400
    assert "body" in answer.message


async def test_a_body_nested_beyond_reason_is_400(node: NodeProcess) -> None:
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b'{"instances":' + b"[" * 50_000 + b"]" * 50_000 + b"}"):
        assert (await ask(node, "POST", REGISTER, body)).status == 400


async def test_after_a_refusal_the_connection_lives_on(node: NodeProcess, name: str) -> None:
    async with connected(node) as connection:
        for bad in (message("POST", REGISTER, b"null"), message("POST", REGISTER, b"{}", content_type="text/plain")):
            await connection.send(bad)
            assert (await connection.answer()).status in (400, 415)
        answer = await connection.ask("POST", REGISTER, encoded({"instances": [instance(name)]}))
        assert answer.json["responseStatus"] == SUCCESS


# Paths and methods


@pytest.mark.parametrize("path", [REGISTER, LOOKUP, NODE_STATUS, f"{RPC}/discovery/service.json"])
async def test_a_trailing_slash_is_tolerated(node: NodeProcess, path: str) -> None:
    assert (await ask(node, "POST", f"{path}/", b"{}")).status == 200
    assert (await ask(node, "GET", f"{RPC}/discovery/services.json/")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nowhere",
        "/artemis",
        f"{RPC}/registry",
        f"{RPC}/registry/register",
        f"{RPC}/management/services.json",
        "/artemis/api/registry/Register.json",
        "/artemis//api/registry/register.json",
        "/artemis/api/registry/register.json/more",
        "/%2e%2e/etc/passwd",
    ],
)
async def test_an_unknown_path_is_a_json_404(node: NodeProcess, path: str) -> None:
    for method, body in (("GET", None), ("POST", b"{}")):
        answer = await ask(node, method, path, body)
        assert answer.status == 404
        assert answer.message
        assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", REGISTER, {"POST"}),
        ("DELETE", REGISTER, {"POST"}),
        ("PUT", f"{RPC}/discovery/service.json", {"GET", "HEAD", "POST"}),
        ("POST", f"{RPC}/status/websocket/connection.json", {"GET", "HEAD"}),
        ("PATCH", NODE_STATUS, {"GET", "HEAD", "POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_405_and_told_the_right_ones(
    node: NodeProcess, method: str, path: str, allowed: set[str]
) -> None:
    answer = await ask(node, method, path, b"{}" if method != "GET" else None)
    assert answer.status == 405
    assert answer.message
    assert {name.strip() for name in (answer.header("allow") or "").split(",")} - {"OPTIONS"} == allowed


@pytest.mark.parametrize("path", [NODE_STATUS, f"{RPC}/discovery/services.json", "/health", "/metrics"])
async def test_head_works_where_get_does(node: NodeProcess, path: str) -> None:
    async with connected(node) as connection:
        answer = await connection.ask("HEAD", path)
        assert answer.status == 200
        assert answer.header("content-type")
        assert (await connection.ask("GET", path)).status == 200  # and nothing was left over from the first


async def test_head_is_refused_where_get_is(node: NodeProcess) -> None:
    async with connected(node) as connection:
        assert (await connection.ask("HEAD", REGISTER)).status == 405
        assert (await connection.ask("HEAD", f"{RPC}/discovery/service.json")).status == 400


async def test_a_required_parameter_that_is_missing_is_400(node: NodeProcess) -> None:
    for path, needed in (("discovery/service", "serviceId"), ("replication/registry/services", "regionId")):
        answer = await ask(node, "GET", f"{RPC}/{path}.json?{needed.upper()}=x")
        assert answer.status == 400
        assert needed in answer.message


async def test_parameters_of_a_query_are_decoded(node: NodeProcess, name: str) -> None:
    odd = f"{name} ä+&=/?"
    await register(node, instance(odd))

    for query in (urlencode({"serviceId": odd}), f"serviceId={quote(odd, safe='')}"):
        answer = await get(node, f"{RPC}/discovery/service.json?{query}&regionId={REGION}&zoneId=zone1")
        assert answer["service"]["instances"] == [instance(odd)]


# Browsers of other origins


@pytest.mark.parametrize("path", [*HOT_AND_COLD[:2], REGISTER, f"{RPC}/nowhere", f"{RPC}/discovery/service.json"])
async def test_every_answer_may_be_read_by_every_origin_if_that_is_wanted(shared_node: StartNode, path: str) -> None:
    """Errors too: a console in a browser must be able to show them. Credentials are left out, see the deviations."""
    node = shared_node(OPEN)
    for method, body in (("POST", b"{}"), ("POST", b"null"), ("DELETE", None), ("GET", None)):
        answer = await ask(node, method, path, body, origin="http://console.example")
        assert answer.header("access-control-allow-origin") == "*"
        assert answer.header("access-control-expose-headers") == "*"
        assert "Accept-Encoding" in (answer.header("vary") or "")


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS, f"{RPC}/nowhere", "/artemis/anything"])
async def test_options_are_answered_with_what_was_asked_for(shared_node: StartNode, path: str) -> None:
    node = shared_node(OPEN)
    answer = await ask(
        node,
        "OPTIONS",
        path,
        origin="http://console.example",
        access_control_request_method="PUT",
        access_control_request_headers="X-One, x-two",
    )
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("access-control-allow-methods") == "PUT"
    assert answer.header("access-control-allow-headers") == "X-One, x-two"
    assert answer.header("access-control-max-age") == "3600"
    assert answer.header("access-control-allow-origin") == "*"


@pytest.mark.parametrize("path", [REGISTER, NODE_STATUS, f"{REST}/registry/register", GROUPS, "/health"])
async def test_options_without_a_question_are_answered_too(node: NodeProcess, path: str) -> None:
    answer = await ask(node, "OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")


async def test_an_origin_that_an_operator_names_may_use_every_path_and_no_other_origin_may(
    shared_node: StartNode,
) -> None:
    node = shared_node(GATED)
    for path in (NODE_STATUS, REGISTER, GROUPS, "/api/routing/groups"):
        for method, body in (("POST", b"{}"), ("OPTIONS", None)):
            asked = {"access_control_request_method": "POST"}
            named = await ask(node, method, path, body, origin="http://console.example", **asked)
            assert named.header("access-control-allow-origin") == "http://console.example"
            assert named.header("access-control-allow-credentials") == "true"
            assert "Origin" in (named.header("vary") or "")
            other = await ask(node, method, path, body, origin="http://evil.example", **asked)
            assert not [name for name, _ in other.headers if name.startswith("access-control-allow")]


# Several requests


async def test_pipelined_requests_are_answered_in_order_whatever_answers_them(node: NodeProcess, name: str) -> None:
    """The third one is not for the fast lane; what follows it is for it again, on the same connection."""
    await register(node, instance(name))
    asked = [
        message("POST", f"{RPC}/registry/heartbeat.json", encoded({"instances": [instance(name)]})),
        message("GET", f"{RPC}/discovery/service.json?serviceId={name}&regionId=lab&zoneId=zone1"),
        message("GET", NODE_STATUS),
        message("POST", REGISTER, b"{}"),
        message("GET", "/nowhere"),
        message("GET", f"{RPC}/cluster/up-registry-nodes.json"),
    ]
    async with connected(node) as connection:
        await connection.send(b"".join(asked))
        answers = [await connection.answer() for _ in asked]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 200]
    fields = [next(iter(set(answer.json) - {"responseStatus"})) for answer in answers if answer.status == 200]
    assert fields == ["failedInstances", "service", "nodeStatus", "failedInstances", "nodes"]


async def test_a_client_that_expects_100_continue_gets_it(node: NodeProcess, name: str) -> None:
    body = encoded({"instances": [instance(name)]})
    head = message("POST", REGISTER, body, expect="100-continue")[: -len(body)]
    async with connected(node) as connection:
        await connection.send(head)
        assert (await connection.answer()).status == 100
        await connection.send(body)
        assert (await connection.answer()).json["responseStatus"] == SUCCESS


async def test_answers_may_be_asked_for_compressed(node: NodeProcess, name: str) -> None:
    """Compressing them is optional: plain answers are right too, and a compressed one must be what it says."""
    await register(node, *(instance(name, f"i{number}") for number in range(50)))
    body = encoded({"regionId": REGION, "zoneId": "zone1", "discoveryConfigs": [{"serviceId": name}]})
    answer = await ask(node, "POST", LOOKUP, body, accept_encoding="gzip,deflate")
    content = gzip.decompress(answer.body) if answer.header("content-encoding") == "gzip" else answer.body
    assert len(json.loads(content)["services"][0]["instances"]) == 50
