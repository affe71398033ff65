"""What could be understood in two ways is refused: alike in both lanes, and wherever on a connection it comes.

Each request of `REFUSED` is followed by a DELETE that no server may take for a request of its own, or holds one.
"""

import json
from dataclasses import replace
from random import Random

import pytest
import trio

from artemis.transport.requests import Reply, Request, Route

from .serving import ROOMY, ROUTES, SHORT_S, Client, connected, message, serving

HOT = message("POST", "/echo", b"[1]")
COLD = message("POST", "/cold", b"[1]")
BEFORE = {
    "fresh": (b"", b""),
    "after a hot one": (HOT, b""),
    "after a cold one": (COLD, b""),
    "behind a hot one": (b"", HOT),
    "behind a cold one": (b"", COLD),
    "behind both": (HOT, COLD + HOT + COLD),
}
"""What is sent and answered before, and what is sent in one piece with it."""

DELETE = b"DELETE /things/smuggled HTTP/1.1\r\nHost: registry\r\n\r\n"
LENGTH = b"%d" % len(DELETE)


def post(lines: bytes, body: bytes = b"", *, path: bytes = b"/cold", version: bytes = b"HTTP/1.1") -> bytes:
    head = b"POST %b %b\r\nHost: registry\r\nContent-Type: application/json\r\n%b\r\n\r\n"
    return head % (path, version, lines) + body


def get(target: bytes, lines: bytes = b"Host: registry", *, start: bytes = b"GET ", end: bytes = b" HTTP/1.1") -> bytes:
    return b"%b%b%b\r\n%b\r\n\r\n" % (start, target, end, lines)


CHUNKED = b"Transfer-Encoding: chunked"

REFUSED: dict[str, tuple[bytes, int]] = {
    # Two framings
    "a length and chunks": (post(b"Content-Length: %b\r\n%b" % (LENGTH, CHUNKED), b"0\r\n\r\n"), 400),
    "chunks and a length": (post(CHUNKED + b"\r\nContent-Length: 5", b"0\r\n\r\n"), 400),
    "two lengths": (post(b"Content-Length: 0\r\nContent-Length: " + LENGTH), 400),
    "two equal lengths": (post(b"Content-Length: 2\r\nContent-Length: 2", b"[]"), 400),
    "a list of lengths": (post(b"Content-Length: 2, 2", b"[]"), 400),
    "a signed length": (post(b"Content-Length: +2", b"[]"), 400),
    "a negative length": (post(b"Content-Length: -1"), 400),
    "a length with a space": (post(b"Content-Length: 1 0", b"[]"), 400),
    "a length with an underscore": (post(b"Content-Length: 1_0", b"[]"), 400),
    "a hexadecimal length": (post(b"Content-Length: 0x2", b"[]"), 400),
    "an empty length": (post(b"Content-Length:"), 400),
    "a length beyond all numbers": (post(b"Content-Length: 18446744073709551618", b"[]"), 400),
    "a length in other digits": (post("Content-Length: ٢".encode(), b"[]"), 400),
    "a length of too many digits": (post(b"Content-Length: " + b"0" * 5000 + b"2", b"[]"), 400),
    "an empty coding and chunks": (post(b"Transfer-Encoding: ,chunked", b"0\r\n\r\n"), 501),
    "chunks over HTTP/1.0": (post(CHUNKED, b"0\r\n\r\n", version=b"HTTP/1.0"), 400),
    "another coding": (post(b"Transfer-Encoding: gzip", b""), 400),
    "another coding and chunks": (post(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"), 501),
    "chunks and another coding": (post(b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n"), 400),
    "chunks twice": (post(CHUNKED + b"\r\n" + CHUNKED, b"0\r\n\r\n"), 400),
    "chunks with a vertical tab": (post(b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"), 400),
    "no coding": (post(b"Transfer-Encoding:", b"0\r\n\r\n"), 400),
    # Lines
    "a bare line feed": (get(b"/facts", b"Host: registry\nX: 1"), 400),
    "bare line feeds only": (b"GET /facts HTTP/1.1\nHost: registry\n\n", 400),
    "a blank line of a line feed": (get(b"/facts", b"Host: registry\n"), 400),
    "a bare line feed before": (b"\n" + get(b"/facts"), 400),
    "a bare carriage return": (get(b"/facts", b"Host: registry\rX: 1"), 400),
    "a carriage return too many": (get(b"/facts", b"Host: registry\r"), 400),
    "a folded header": (get(b"/facts", b"Host: registry\r\nX: 1\r\n 2"), 400),
    "a folded header by a tab": (get(b"/facts", b"Host: registry\r\nX: 1\r\n\tTransfer-Encoding: chunked"), 400),
    "a space before the first header": (get(b"/facts", b" X: 1\r\nHost: registry"), 400),
    "a space before the colon": (post(b"Content-Length : 2", b"[]"), 400),
    "a space in a name": (get(b"/facts", b"Host: registry\r\nBad Name: 1"), 400),
    "no colon": (get(b"/facts", b"Host: registry\r\nBad"), 400),
    "no name": (get(b"/facts", b"Host: registry\r\n: 1"), 400),
    "a NUL in a value": (get(b"/facts", b"Host: registry\r\nX: a\x00b"), 400),
    "a control character in a value": (get(b"/facts", b"Host: registry\r\nX: a\x1bb"), 400),
    "a NUL in a name": (get(b"/facts", b"Host: registry\r\nX\x00: ab"), 400),
    "a letter of another script in a name": (get(b"/facts", "Host: registry\r\nÄ: 1".encode()), 400),
    # The first line
    "an unknown method": (get(b"/facts", start=b"FETCH "), 501),
    "a method of WebDAV": (get(b"/facts", start=b"PROPFIND "), 501),
    "TRACE": (get(b"/facts", start=b"TRACE "), 501),
    "CONNECT": (get(b"registry:80", start=b"CONNECT "), 501),
    "a method in lower case": (get(b"/facts", start=b"get "), 400),
    "two spaces": (get(b"/facts", start=b"GET  "), 400),
    "a tab for a space": (get(b"/facts", start=b"GET\t"), 400),
    "HTTP/0.9": (b"GET /facts\r\n\r\n", 400),
    "HTTP/0.9 by name": (get(b"/facts", end=b" HTTP/0.9"), 505),
    "HTTP/1.2": (get(b"/facts", end=b" HTTP/1.2"), 505),
    "HTTP/2.0": (get(b"/facts", end=b" HTTP/2.0"), 505),
    "HTTP/11": (get(b"/facts", end=b" HTTP/1.11"), 400),
    "another protocol": (get(b"/facts", end=b" RTSP/1.0"), 400),
    "a protocol in lower case": (get(b"/facts", end=b" http/1.1"), 400),
    "a space after the version": (get(b"/facts", end=b" HTTP/1.1 "), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505),
    # The target
    "a target without a slash": (get(b"facts"), 400),
    "a star": (get(b"*"), 400),
    "an authority": (get(b"registry:80"), 400),
    "another host in the target": (get(b"http://other/facts"), 400),
    "a user in the target": (get(b"http://registry@other/facts"), 400),
    "another scheme": (get(b"ftp://registry/facts"), 400),
    "a fragment": (get(b"/facts#there"), 400),
    "a letter of another script": (get("/facts?serviceId=ä".encode()), 400),
    "a NUL in the target": (get(b"/facts\x00"), 400),
    "a DEL in the target": (get(b"/facts\x7f"), 400),
    # Host
    "no host": (get(b"/facts", b"X: 1"), 400),
    "two hosts": (get(b"/facts", b"Host: registry\r\nHost: registry"), 400),
    "a host that is none": (get(b"/facts", b"Host: a b"), 400),
    "a host with a user": (get(b"/facts", b"Host: a@b"), 400),
    "a host with a path": (get(b"/facts", b"Host: a/b"), 400),
    "two hosts in one": (get(b"/facts", b"Host: a, b"), 400),
    # Sizes
    "a long header": (get(b"/facts", b"Host: registry\r\nX: " + b"x" * 33_000), 431),
    "a long target": (get(b"/" + b"x" * 33_000), 431),
    "many headers": (get(b"/facts", b"Host: registry" + b"\r\nX: 1" * 100), 431),
    "a long body": (post(b"Content-Length: 2097153"), 413),
    # What is asked for
    "an expectation": (post(b"Content-Length: %b\r\nExpect: 200-ok" % LENGTH), 417),
    "two expectations": (post(b"Content-Length: %b\r\nExpect: 100-continue, 200-ok" % LENGTH), 417),
    # Chunks
    "a chunk without a size": (post(CHUNKED, b"\r\n0\r\n\r\n"), 400),
    "a chunk with a signed size": (post(CHUNKED, b"+2\r\n[]\r\n0\r\n\r\n"), 400),
    "a chunk with a negative size": (post(CHUNKED, b"-2\r\n[]\r\n0\r\n\r\n"), 400),
    "a chunk with a prefix": (post(CHUNKED, b"0x2\r\n[]\r\n0\r\n\r\n"), 400),
    "a chunk with an underscore": (post(CHUNKED, b"0_2\r\n[]\r\n0\r\n\r\n"), 400),
    "a chunk beyond all numbers": (post(CHUNKED, b"10000000000000002\r\n[]\r\n0\r\n\r\n"), 400),
    "a chunk that is longer than it says": (post(CHUNKED, b"2\r\n[]]\r\n0\r\n\r\n"), 400),
    "a chunk that is too long": (post(CHUNKED, b"200001\r\n"), 413),
    "a chunk after a bare line feed": (post(CHUNKED, b"2\n[]\r\n0\r\n\r\n"), 400),
    "a chunk with a bare line feed behind it": (post(CHUNKED, b"2\r\n[]\n0\r\n\r\n"), 400),
    "an extension with a line feed": (post(CHUNKED, b"2;a\nb\r\n[]\r\n0\r\n\r\n"), 400),
    "a long extension": (post(CHUNKED, b"2;" + b"x" * 300 + b"\r\n[]\r\n0\r\n\r\n"), 400),
    "many extensions": (post(CHUNKED, (b"1;" + b"x" * 200 + b"\r\n1\r\n") * 100 + b"0\r\n\r\n"), 400),
    "a long trailer": (post(CHUNKED, b"0\r\nX: " + b"x" * 9_000 + b"\r\n\r\n"), 400),
    "a trailer of many lines": (post(CHUNKED, b"0\r\n" + b"X: y\r\n" * 2_000 + b"\r\n"), 400),
    "a trailer with a bare line feed": (post(CHUNKED, b"0\r\nX: 1\nY: 2\r\n\r\n"), 400),
}


class Deleted:
    """Routes as ever, but nothing may be deleted."""

    def __init__(self) -> None:
        self.names: list[str] = []
        ours = Route("DELETE", "/things/{name}", self.delete, "thing-delete")
        self.routes = [route for route in ROUTES if route.method != "DELETE"] + [ours]

    def delete(self, request: Request) -> Reply:
        self.names.append(request.params["name"])
        return Reply(200, b"{}")


async def refused(client: Client, before: str, pieces: list[bytes]) -> tuple[int, object]:
    """Status and body of the answer to a refused request, after which the connection is closed."""
    first, ahead = BEFORE[before]
    if first:
        await client.send(first)
        assert (await client.answer()).body == b"[1]"
    pieces = [ahead + pieces[0], *pieces[1:]]
    try:
        for piece in pieces:
            await client.send(piece)
            await trio.lowlevel.checkpoint()
    except trio.BrokenResourceError:
        pass  # it has said no already
    for _ in range(ahead.count(b"[1]")):
        assert (await client.answer()).body == b"[1]"
    answer = await client.answer()
    assert answer.header("connection") == "close"
    assert answer.json["success"] is False
    assert answer.json["status"] == answer.status
    assert answer.json["message"]
    assert await client.ended()
    return answer.status, answer.json


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_request_is_refused_alike_wherever_it_comes(fast_lane: bool, request_: bytes, status: int) -> None:
    deleted = Deleted()
    answers: list[object] = []
    async with serving(fast_lane=fast_lane, routes=deleted.routes) as server:
        for before in BEFORE:
            async with connected(server) as client:
                answers.append(await refused(client, before, [request_ + DELETE]))
        assert answers == [(status, json.loads(json.dumps(answers[0][1])))] * len(BEFORE)  # type: ignore[index]
        assert not deleted.names


@pytest.mark.parametrize("seed", range(3))
async def test_it_does_not_matter_in_which_pieces_it_comes(fast_lane: bool, seed: int) -> None:
    random = Random(seed)
    deleted = Deleted()
    async with serving(fast_lane=fast_lane, routes=deleted.routes) as server:
        for name, (request_, status) in REFUSED.items():
            data = request_ + DELETE
            step = max(1, len(data) // 300)
            longest = random.choice([1, 3, 30]) * step
            pieces: list[bytes] = []
            while data:
                size = random.randint(1, longest)
                pieces.append(data[:size])
                data = data[size:]
            async with connected(server) as client:
                answered, _ = await refused(client, random.choice(list(BEFORE)), pieces)
            assert answered == status, name
        assert not deleted.names


BODIES = {
    "a length": (post(b"Content-Length: " + LENGTH, DELETE), DELETE),
    "chunks": (post(CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(DELETE), DELETE)), DELETE),
    "chunks with extensions": (post(CHUNKED, b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(DELETE), DELETE)), DELETE),
    "a trailer": (post(CHUNKED, b"2\r\n[]\r\n0\r\nContent-Length: 100\r\nHost: other\r\n\r\n"), b"[]"),
    "an offer to upgrade": (post(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: " + LENGTH, DELETE), DELETE),
    "an offer with settings": (
        post(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n"
            b"Content-Length: " + LENGTH,
            DELETE,
        ),
        DELETE,
    ),
    "a WebSocket by POST": (post(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2", b"[]"), b"[]"),
    "an unknown header that looks like one": (post(b"Content_Length: 100\r\nContent-Length: 2", b"[]"), b"[]"),
    "a length with zeros": (post(b"Content-Length: 0002", b"[]"), b"[]"),
    "blank lines before": (b"\r\n\r\n" + post(b"Content-Length: 2", b"[]"), b"[]"),
    "an absolute target": (post(b"Content-Length: 2", b"[]", path=b"http://REGISTRY/cold"), b"[]"),
}


@pytest.mark.parametrize(("request_", "body"), BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("path", [b"/echo", b"/cold"])
async def test_a_body_is_a_body_and_the_connection_lives_on(
    fast_lane: bool, path: bytes, request_: bytes, body: bytes
) -> None:
    deleted = Deleted()
    request_ = request_.replace(b"/cold", path)
    async with serving(fast_lane=fast_lane, routes=deleted.routes) as server, connected(server) as client:
        for ahead in (b"", HOT, COLD):
            await client.send(ahead + request_ + HOT)
            if ahead:
                assert (await client.answer()).body == b"[1]"
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, body)
            assert (await client.answer()).body == b"[1]"
        for byte in request_:
            await client.send(bytes([byte]))
            await trio.lowlevel.checkpoint()
        assert (await client.answer()).body == body
        assert not deleted.names


@pytest.mark.parametrize("first", [b"", HOT, COLD], ids=["fresh", "after a hot one", "after a cold one"])
async def test_http_2_is_refused_in_words_and_closed(fast_lane: bool, first: bytes) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 1000
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        if first:
            await client.send(first)
            assert (await client.answer()).status == 200
        await client.send(preface)
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (505, "close")
        assert answer.json["message"] == "HTTP/2.0 is not supported; use HTTP/1.1"
        assert await client.ended()


@pytest.mark.parametrize("first", [b"", HOT, COLD], ids=["fresh", "after a hot one", "after a cold one"])
@pytest.mark.parametrize(
    ("beginning", "part"),
    [
        (b"POST /cold HTTP/1.1\r\nHost: reg", "headers"),
        (message("POST", "/cold", b"{}")[:-1], "body"),
        (message("POST", "/echo", b"{}")[:-1], "body"),
        (post(CHUNKED, b"5\r\n[]"), "body"),
    ],
    ids=["half a head", "half a cold body", "half a hot body", "half a chunk"],
)
async def test_slow_requests_have_the_same_deadlines_everywhere(
    fast_lane: bool, first: bytes, beginning: bytes, part: str
) -> None:
    limits = replace(ROOMY, header_timeout_s=SHORT_S, body_timeout_s=SHORT_S)
    async with serving(fast_lane=fast_lane, limits=limits) as server, connected(server) as client:
        if first:
            await client.send(first)
            assert (await client.answer()).status == 200
        await client.send(beginning)
        answer = await client.answer()
        assert (answer.status, answer.json["message"]) == (408, f"the {part} of the request took too long to arrive")
        assert await client.ended()
