"""How requests are told apart and their bodies put together, in both lanes."""

import gzip
import json
import zlib

import pytest
import trio

from .serving import ROOMY, chunked, connected, message, serving

BODY = json.dumps({"instances": [{"serviceId": "a", "instanceId": str(n)} for n in range(20)]}).encode()


async def test_a_connection_is_kept_alive(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for number in range(3):
            answer = await client.ask("POST", "/echo", b"%d" % number)
            assert (answer.status, answer.body) == (200, b"%d" % number)
            assert answer.header("date") is not None
        assert server.statistics().connections == 1


async def test_a_client_that_says_close_is_closed(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("POST", "/echo", b"1", connection="close")
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await client.ended()


async def test_http_1_0_is_closed_unless_it_asks_to_be_kept(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        await client.send(b"GET /facts HTTP/1.0\r\n\r\n")
        assert (await client.answer()).json["path"] == "/facts"
        assert await client.ended()


async def test_http_1_0_may_ask_to_be_kept() -> None:
    async with serving() as server, connected(server) as client:
        for _ in range(2):
            await client.send(b"GET /facts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.answer()).header("connection") == "keep-alive"


async def test_pipelined_requests_are_answered_in_order(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        await client.send(b"".join(message("POST", "/echo", b"[%d]" % number) for number in range(100)))
        assert [(await client.answer()).body for _ in range(100)] == [b"[%d]" % number for number in range(100)]


async def test_a_pipeline_may_turn_cold_in_the_middle() -> None:
    """Nothing is lost or answered twice."""
    paths = ["/echo", "/echo", "/cold", "/echo", "/cold"]
    async with serving() as server, connected(server) as client:
        await client.send(b"".join(message("POST", path, b"[%d]" % number) for number, path in enumerate(paths)))
        assert [(await client.answer()).body for _ in paths] == [b"[%d]" % number for number in range(len(paths))]


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
async def test_a_request_may_arrive_in_pieces_of_any_size(fast_lane: bool, size: int) -> None:
    data = message("POST", "/echo", BODY[:300]) * 2
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for start in range(0, len(data), size):
            await client.send(data[start : start + size])
            await trio.lowlevel.checkpoint()
        assert [(await client.answer()).body for _ in range(2)] == [BODY[:300]] * 2


@pytest.mark.parametrize("size", [1, 100, 10_000])
async def test_bodies_may_be_chunked(fast_lane: bool, size: int) -> None:
    head = message("POST", "/echo", content_type="application/json", transfer_encoding="chunked")
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for _ in range(2):
            await client.send(head + chunked(BODY, size))
            assert (await client.answer()).body == BODY


async def test_chunked_requests_may_be_pipelined(fast_lane: bool) -> None:
    head = message("POST", "/echo", content_type="application/json", transfer_encoding="chunked")
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        await client.send(b"".join(head + chunked(b"[%d]" % number, 2) for number in range(50)))
        assert [(await client.answer()).body for _ in range(50)] == [b"[%d]" % number for number in range(50)]


async def test_the_java_client_sends_gzip_in_chunks_after_its_head(fast_lane: bool) -> None:
    head = message(
        "POST",
        "/artemis/api/echo.json",
        content_type="application/json",
        content_encoding="gzip",
        transfer_encoding="chunked",
        accept="application/json",
    )
    body = chunked(gzip.compress(BODY), 64)
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for _ in range(2):
            await client.send(head)
            await client.send(body[:70])
            await client.send(body[70:])
            assert (await client.answer()).body == BODY


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
        ("GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("identity", BODY),
    ],
)
async def test_compressed_bodies_are_inflated(fast_lane: bool, encoding: str, body: bytes) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", body, content_encoding=encoding)).body == BODY


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", BODY),
        ("gzip", gzip.compress(BODY)[:-9]),
        ("gzip", gzip.compress(BODY) + b"more"),
        ("deflate", b"\x78\x9cnonsense"),
        ("deflate", zlib.compress(BODY) + b"more"),
    ],
)
async def test_a_body_that_is_not_what_its_encoding_says_is_400(fast_lane: bool, encoding: str, body: bytes) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("POST", "/echo", body, content_encoding=encoding)
        assert (answer.status, answer.json["status"]) == (400, 400)
        assert (await client.ask("POST", "/echo", b"{}")).status == 200


async def test_an_encoding_that_nobody_speaks_is_415(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("POST", "/echo", BODY, content_encoding="br")
        assert (answer.status, answer.header("accept-encoding")) == (415, "gzip, deflate")


async def test_a_client_that_expects_100_continue_gets_it_before_its_body(fast_lane: bool) -> None:
    head = message("POST", "/echo", content_type="application/json", content_length="2", expect="100-continue")
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for _ in range(2):
            await client.send(head)
            assert (await client.answer()).status == 100
            await client.send(b"{}")
            assert (await client.answer()).body == b"{}"


async def test_a_client_whose_body_will_be_refused_is_not_told_to_continue() -> None:
    too_long = str(ROOMY.body_bytes + 1)
    head = message("POST", "/echo", content_type="application/json", content_length=too_long, expect="100-continue")
    async with serving() as server, connected(server) as client:
        await client.send(head)
        assert (await client.answer()).status == 413


@pytest.mark.parametrize(
    "request_",
    [
        b"this is not HTTP at all\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /facts HTTP/1.1\nHost: registry\n\n",
        b"GET /facts HTTP/1.1\r\nHost : registry\r\n\r\n",
        b"GET /facts HTTP/1.1\r\n\r\n",
        b"GET /facts HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /fa cts HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_malformed_requests_are_400_and_closed(fast_lane: bool, request_: bytes) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        await client.send(request_)
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (400, "close")
        assert answer.json["message"]
        assert await client.ended()


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"1\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"\r\n\r\n", b"2" + b"0" * 300],
)
async def test_malformed_chunks_are_400_and_closed(chunks: bytes) -> None:
    head = message("POST", "/echo", content_type="application/json", transfer_encoding="chunked")
    async with serving() as server, connected(server) as client:
        await client.send(head + chunks)
        assert (await client.answer()).status == 400
        assert await client.ended()


async def test_a_valid_request_before_a_malformed_one_is_answered_first() -> None:
    async with serving() as server, connected(server) as client:
        await client.send(message("POST", "/echo", b"{}") + b"nonsense\r\n\r\n")
        assert [(await client.answer()).status for _ in range(2)] == [200, 400]


@pytest.mark.parametrize(("head", "status"), [(b"transfer-encoding: gzip, chunked", 501), (b"x: y", 505)])
async def test_what_http_has_and_this_node_does_not_is_said_so(head: bytes, status: int) -> None:
    version = b"HTTP/0.9" if status == 505 else b"HTTP/1.1"
    async with serving() as server, connected(server) as client:
        await client.send(b"POST /echo " + version + b"\r\nhost: a\r\n" + head + b"\r\n\r\n")
        assert (await client.answer()).status == status


async def test_blank_lines_before_a_request_are_forgiven() -> None:
    async with serving() as server, connected(server) as client:
        await client.send(b"\r\n" + message("POST", "/echo", b"{}") + b"\r\n\r\n" + message("POST", "/echo", b"[]"))
        assert [(await client.answer()).body for _ in range(2)] == [b"{}", b"[]"]
