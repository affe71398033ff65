"""Frames on the wire: what is sent is what arrives, and what is not a frame is refused without harm."""

from pathlib import Path

import cbor2
import pytest

from artemis.actors import frames
from artemis.actors.frames import KEYS_MAX, KINDS, Frame, Word
from artemis.actors.framing import BadFrame, decode, encode, kind_of

WORD = Word(status="up", now_ms=1, can_register=True, live=3, digests={"instances": 1 << 63})
VERSION = (1 << 95) + 7
COLUMNS = (["svc\ni1", "svc\ni2"], [VERSION, 1], [b"{}", None], [5, 0], [1, 2])


def introduction(cls: type[frames.Hello] | type[frames.Welcome]) -> Frame:
    return cls(
        cluster="c",
        region="r",
        zone="z",
        node_id="n",
        url="http://n",
        incarnation=9,
        major=1,
        minor=0,
        nonce=b"n" * 16,
        proof=b"p" * 32,
        word=WORD,
    )


EXAMPLES: list[Frame] = [
    frames.Challenge(b"n" * 16, 1, 0),
    introduction(frames.Hello),
    introduction(frames.Welcome),
    frames.Refuse("code", "reason"),
    frames.Status(WORD),
    frames.Ping(1, WORD),
    frames.Pong(1, WORD),
    frames.States("instances", *COLUMNS, sequence=4, stamp_ms=5),
    frames.Answer("instances", *COLUMNS, request=4, last=True),
    frames.Offer("instances", *COLUMNS, request=4),
    frames.Renewals(["svc\ni1"], [VERSION], [70], sequence=4, stamp_ms=5),
    frames.Ack(4),
    frames.Want("instances", ["svc\ni1"], 4),
    frames.Digests("instances", [1 << 63] * 256, 4),
    frames.Differing("instances", [0, 255], 10, 4),
    frames.Inspect("instances", [0, 255], 4),
    frames.Versions(["svc\ni1"], [VERSION], 4, last=False),
    frames.Done(4),
    frames.AskAudits({1: 2}, 4),
    frames.Audits([(1, 2, 3, b"{}")], {1: 2}, 4, last=True),
    frames.OfferAudits([(1, 2, 3, b"{}")], 4),
    frames.Goodbye("maintenance"),
]


@pytest.mark.parametrize("frame", EXAMPLES, ids=kind_of)
def test_every_kind_arrives_as_it_was_sent(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(frame) for frame in EXAMPLES} == set(KINDS)


def test_every_kind_is_in_the_reference() -> None:
    reference = Path(__file__).parents[2].joinpath("docs", "reference", "peer-protocol.md").read_text()
    assert [kind for kind in map(kind_of, KINDS) if f"`{kind}`" not in reference] == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"not cbor at all",
        b"\x81" * 1000,
        b"\x9a\x7f\xff\xff\xff",
        cbor2.dumps([]),
        cbor2.dumps({}),
        cbor2.dumps({"kind": 1}),
        cbor2.dumps({"kind": "ack"}),
        cbor2.dumps({"kind": "ack", "sequence": -1}),
        cbor2.dumps({"kind": "ack", "sequence": "1"}),
        cbor2.dumps({"kind": "ack", "sequence": 1 << 63}),
        cbor2.dumps({"kind": "audits", "rows": [[1 << 63, 1, 1, b"{}"]], "vector": {}, "request": 1, "last": True}),
        cbor2.dumps({"kind": "want", "table": "t", "keys": ["k"] * (KEYS_MAX + 1), "request": 1}),
        cbor2.dumps({"kind": "want", "table": "t", "keys": ["k" * 5000], "request": 1}),
        cbor2.dumps({"kind": "digests", "table": "t", "digests": [1] * 255, "request": 1}),
        cbor2.dumps({"kind": "inspect", "table": "t", "buckets": [256], "request": 1}),
        cbor2.dumps({"kind": "versions", "keys": ["k"], "versions": [], "request": 1, "last": True}),
        cbor2.dumps({"kind": "versions", "keys": ["k"], "versions": [1 << 96], "request": 1, "last": True}),
        cbor2.dumps({"kind": "audits", "rows": [[1, 2, 3, "text"]], "vector": {}, "request": 1, "last": True}),
    ],
)
def test_what_is_not_a_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(data)


def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFrame, match="at most 10"):
        decode(encode(frames.Goodbye("a long reason")), bytes_max=10)


def test_kinds_and_fields_of_newer_versions_are_ignored() -> None:
    assert decode(cbor2.dumps({"kind": "of tomorrow", "x": 1})) is None
    assert decode(cbor2.dumps({"kind": "ack", "sequence": 1, "more": [1]})) == frames.Ack(1)
