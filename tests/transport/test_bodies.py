"""Chunks and compression, without a network."""

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artemis.transport.bodies import Chunks, encoding_of, inflate
from artemis.transport.errors import ClientError

from .serving import bomb, chunked

LIMIT = 10_000


@given(
    body=st.binary(max_size=300),
    size=st.integers(1, 100),
    cuts=st.lists(st.integers(0, 1000), max_size=10),
    after=st.binary(max_size=20),
)
def test_chunks_are_joined_however_they_arrive(body: bytes, size: int, cuts: list[int], after: bytes) -> None:
    data = chunked(body, size) + after
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = Chunks(LIMIT)
    complete = False
    for start, end in pairwise(edges):
        if complete:
            assert after.endswith(data[start:])
            return
        complete = chunks.feed(data[start:end])
    assert complete
    assert chunks.body == body
    assert after.endswith(chunks.rest)


def test_extensions_and_trailers_are_ignored() -> None:
    chunks = Chunks(LIMIT)
    assert chunks.feed(b'2;name="value"\r\n{}\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\nGET')
    assert (chunks.body, chunks.rest) == (b"{}", b"GET")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"2;a\nb\r\nxx\r\n0\r\n\r\n", 400),
        (b"2\r\nxx\r\n0\r\nx: y\nz: 1\r\n\r\n", 400),
        (b"xyz\r\n", 400),
        (b"+2\r\n{}\r\n", 400),
        (b"0x2\r\n{}\r\n", 400),
        (b" 2\r\n{}\r\n", 400),
        (b"2_0\r\n", 400),
        (b"000000002\r\n{}\r\n", 400),
        (b"2\r\n{}]\r\n", 400),
        (b"2\r\n{}\n0\r\n\r\n", 400),
        (b"2;" + b"x" * 300, 400),
        (b"2;" + b"x" * 300 + b"\r\n", 400),
        (b"0\r\n" + b"x: y\r\n" * 2000, 400),
        (b"0\r\n" + b"x" * 9000, 400),
        (b"2711\r\n", 413),
        (b"ffffffff\r\n", 413),
    ],
)
def test_what_is_not_chunks_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(ClientError) as refused:
        Chunks(LIMIT).feed(data)
    assert refused.value.status == status


@given(body=st.binary(min_size=1, max_size=LIMIT), encoding=st.sampled_from([b"gzip", b"deflate", b"raw"]))
def test_what_was_compressed_is_inflated(body: bytes, encoding: bytes) -> None:
    compressed = {
        b"gzip": gzip.compress(body),
        b"deflate": zlib.compress(body),
        b"raw": zlib.compress(body, wbits=-15),
    }[encoding]
    assert inflate(compressed, b"deflate" if encoding == b"raw" else encoding, LIMIT) == body


def test_inflating_stops_at_the_limit() -> None:
    for body in (bomb(LIMIT + 1), bomb(50_000_000), bomb(LIMIT) + bomb(1)):
        with pytest.raises(ClientError) as refused:
            inflate(body, b"gzip", LIMIT)
        assert refused.value.status == 413
    assert len(inflate(bomb(LIMIT), b"gzip", LIMIT)) == LIMIT


def test_a_file_of_very_many_gzip_members_is_refused() -> None:
    """Each member costs a copy of what follows it."""
    with pytest.raises(ClientError) as refused:
        inflate(gzip.compress(b"") * 5000, b"gzip", LIMIT)
    assert refused.value.status == 400


def test_encodings_are_known_by_any_spelling() -> None:
    assert [encoding_of(value) for value in (None, b"", b"Identity", b"GZIP", b"x-gzip", b"deflate")] == [
        b"", b"", b"", b"gzip", b"gzip", b"deflate"
    ]  # fmt: skip
    for value in (b"br", b"gzip, gzip", b"compress"):
        with pytest.raises(ClientError) as refused:
            encoding_of(value)
        assert refused.value.status == 415
