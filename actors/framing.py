"""Frames as bytes: CBOR maps with a `kind`. Past `decode` a frame is known to be good; before it, nothing is."""

from collections.abc import Sequence
from typing import Final

import cbor2
import msgspec

from .frames import FRAME_BYTES_MAX, KINDS, VERSION_BITS, Frame, Renewals, Rows, Versions

DEPTH_MAX: Final = 8

_BY_KIND: Final[dict[str, type[Frame]]] = {}
for _kind in KINDS:
    _tag = _kind.__struct_config__.tag
    assert isinstance(_tag, str)
    _BY_KIND[_tag] = _kind


class BadFrame(Exception):
    """They broke the protocol: the link ends, and nothing else happens."""


def kind_of(frame: Frame | type[Frame]) -> str:
    """The word by which a frame is known on the wire, in metrics and in logs."""
    tag = frame.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def encode(frame: Frame) -> bytes:
    """The bytes of a frame."""
    fields = {name: getattr(frame, name) for name in frame.__struct_fields__}
    data = cbor2.dumps({"kind": kind_of(frame), **fields}, default=_encode_struct)
    assert len(data) <= FRAME_BYTES_MAX, f"a {kind_of(frame)} of {len(data)} bytes: whoever made it must split it"
    return data


def decode(data: bytes, *, bytes_max: int = FRAME_BYTES_MAX) -> Frame | None:
    """The frame in these bytes; None for a kind of a newer version, to be ignored. Raises BadFrame."""
    if len(data) > bytes_max:
        raise BadFrame(f"a frame of {len(data)} bytes; at most {bytes_max} are allowed")
    try:
        body: object = cbor2.loads(data, max_depth=DEPTH_MAX, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, ValueError, OverflowError) as error:
        raise BadFrame(f"not CBOR: {error}") from None
    match body:
        case {"kind": str(kind)}:
            cls = _BY_KIND.get(kind)
        case _:
            raise BadFrame("a frame is a map with a kind")
    if cls is None:
        return None
    try:
        frame = msgspec.convert(body, cls, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise BadFrame(f"not a good {kind}: {error}") from None
    _check_columns(frame)
    return frame


def _check_columns(frame: Frame) -> None:
    """Columns belong together: equally long, and their versions in range."""
    match frame:
        case Rows():
            columns: tuple[Sequence[object], ...] = (frame.versions, frame.values, frame.ages, frame.origins)
        case Renewals():
            columns = (frame.versions, frame.ages)
        case Versions():
            columns = (frame.versions,)
        case _:
            return
    if any(len(column) != len(frame.keys) for column in columns):
        raise BadFrame("columns of different length")
    if frame.versions and max(frame.versions) >> VERSION_BITS:
        raise BadFrame("a version of more than 96 bits")


def _encode_struct(encoder: cbor2.CBOREncoder, value: object) -> None:
    assert isinstance(value, msgspec.Struct)
    encoder.encode(msgspec.structs.asdict(value))
