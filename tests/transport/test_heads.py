"""Heads and media types, without a network."""

import pytest

from artemis.transport.errors import ClientError
from artemis.transport.heads import parse_head
from artemis.transport.negotiation import accepts, is_json


def test_a_head_says_what_its_lines_say() -> None:
    head = parse_head(
        b"POST /a/b?c=d&e HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nContent-Length: 12\r\nVia: a, B\r\nvia: c\r\n\r\n"
    )
    assert (head.method, head.path, head.query) == (b"POST", b"/a/b", b"c=d&e")
    assert (head.length, head.chunked, head.http_1_0, head.keep_alive) == (12, False, False, True)
    assert (head.header(b"x-empty"), head.header(b"missing")) == (b"", None)
    assert head.tokens(b"via") == {b"a", b"b", b"c"}


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (b"HTTP/1.1\r\nHost: x", True),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: keep-alive", True),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: Close", False),
        (b"HTTP/1.0", False),
        (b"HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_a_connection_is_kept_as_http_says(lines: bytes, kept: bool) -> None:
    assert parse_head(b"GET / " + lines + b"\r\n\r\n").keep_alive is kept


def test_an_offer_to_upgrade_is_parsed_like_any_other_head() -> None:
    head = parse_head(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n")
    assert (head.length, head.tokens(b"upgrade")) == (2, {b"h2c"})


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %b2\r\n\r\n" % (b"0" * 5000), 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ,chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(ClientError) as refused:
        parse_head(raw)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("accept", "allowed"),
    [
        (None, True),
        (b"", True),
        (b"*/*", True),
        (b"APPLICATION/json", True),
        (b"application/json;charset=utf-8;q=0.5", True),
        (b"text/*, application/*", True),
        (b"text/html, application/xml;q=0.9", False),
        (b"application/json;q=0.0, */*;q=1", False),
        (b"*/*;q=0", False),
        (b"*/*;q=0, application/json", True),
    ],
)
def test_the_most_specific_range_of_an_accept_header_decides(accept: bytes | None, allowed: bool) -> None:
    assert accepts(accept, b"application/json") is allowed


def test_json_is_json_with_any_parameters_and_nothing_else_is() -> None:
    assert is_json(b"Application/JSON ; charset=utf-8")
    assert not any(is_json(value) for value in (None, b"", b"text/json", b"application/json-patch", b"application"))
