"""From JSON to requests: the strict reading first, the tolerant one of the contract when that fails.

The contract reads JSON as Jackson does: property names match regardless of case, unknown properties are dropped,
numbers become texts and texts become numbers where the other is wanted, and null is 0 or false for a number or a
flag. All that costs time, and what clients really send needs none of it. So the types of requests refuse unknown
properties, a body is first decoded as it stands, and only what does not fit is read the tolerant way.
"""

import types
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ..errors import ClientError
from ..requests import fold

VALUES_MAX: Final = 200_000
"""Values in one body, about (commas are counted). More is a 400: reading them would hold up everybody else."""

TOLERANT_VALUES_MAX: Final = 50_000
"""The same for a body that does not fit as it stands: the tolerant reading takes many times as long."""

T = TypeVar("T", bound=msgspec.Struct)
Convert = Callable[[Any, str], Any]


class _Misfit(Exception):
    """A value that does not fit even tolerantly."""


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return decoder


def decode(kind: type[T], body: bytes | str, *, any_size: bool = False) -> T:
    """The request in a body. Raises ClientError 400 that says what is wrong and where.

    `any_size` is for what this node asked for itself: it may hold as many values as it likes.
    """
    if not any_size:
        _refuse_many_values(body, VALUES_MAX)
    try:
        return _decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not any_size:
            _refuse_many_values(body, TOLERANT_VALUES_MAX)
        return _decode_tolerantly(kind, body)


def decode_optional(kind: type[T], body: bytes) -> T:
    """The same for a body that may be missing."""
    return decode(kind, body) if body.strip() else kind()


def _decode_tolerantly(kind: type[T], body: bytes | str) -> T:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error) if body else "the body is empty"
        raise ClientError(400, f"the body is not valid JSON: {reason}") from None
    except RecursionError:
        raise ClientError(400, "the body is nested too deeply") from None
    if document is None:
        raise ClientError(400, "the body is null; an object is expected")
    return shape(kind, document)


def _refuse_many_values(body: bytes | str, values_max: int) -> None:
    if len(body) > values_max:  # a value and its comma take more than a byte
        commas = body.count(b",") if isinstance(body, bytes) else body.count(",")
        if commas > values_max:
            raise ClientError(400, f"the body holds more than {values_max} values: send it in parts")


def shape(kind: type[T], document: object) -> T:
    """The request in decoded JSON, read tolerantly. Raises ClientError 400."""
    try:
        shaped: T = _converter(kind)(document, "")
    except _Misfit as error:
        raise ClientError(400, str(error)) from None
    return shaped


def _misfit(path: str, wanted: str, value: object) -> _Misfit:
    found: dict[type, str] = {dict: "an object", list: "an array", str: "a text", bool: "a flag", type(None): "null"}
    what = found.get(type(value), "a number")
    return _Misfit(f"{path or 'the body'} must be {wanted}, and is {what}")


def _to_text(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _misfit(path, "a text", value)


def _to_whole(value: Any, path: str) -> int:
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value == value and abs(value) < 2**63:
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return 0
        if len(text) < 20 and text.removeprefix("-" if text.startswith("-") else "+").isdecimal():
            return int(text)
    raise _misfit(path, "a whole number", value)


def _to_flag(value: Any, path: str) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0
    if isinstance(value, str) and value.strip().lower() in ("true", "false", ""):
        return value.strip().lower() == "true"
    raise _misfit(path, "true or false", value)


_SCALARS: dict[object, Convert] = {str: _to_text, int: _to_whole, bool: _to_flag}


@cache
def _converter(kind: Any) -> Convert:
    """How to read a value of this type tolerantly."""
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _optional(kind)
    if origin is list:
        return _list_of(_converter(get_args(kind)[0]))
    if origin is dict:
        return _map_of(_converter(get_args(kind)[1]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind)
    raise TypeError(f"no request has fields of type {kind}")


def _optional(kind: Any) -> Convert:
    (inner,) = (part for part in get_args(kind) if part is not type(None))
    convert = _converter(inner)

    def optional(value: Any, path: str) -> Any:
        return None if value is None else convert(value, path)

    return optional


def _list_of(convert: Convert) -> Convert:
    def to_list(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise _misfit(path, "an array", value)
        return [convert(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return to_list


def _map_of(convert: Convert) -> Convert:
    def to_map(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _misfit(path, "an object", value)
        return {str(key): convert(item, f"{path}.{key}") for key, item in value.items()}

    return to_map


def _struct(kind: type[msgspec.Struct]) -> Convert:
    hints = get_type_hints(kind)
    fields = {
        fold(wire): (name, _converter(hints[name]))
        for name, wire in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    }

    def to_struct(value: Any, path: str) -> msgspec.Struct:
        if not isinstance(value, dict):
            raise _misfit(path, "an object", value)
        arguments: dict[str, Any] = {}
        for key, item in value.items():
            field = fields.get(fold(str(key)))
            if field is not None:
                name, convert = field
                arguments[name] = convert(item, f"{path}.{key}" if path else str(key))
        try:
            return kind(**arguments)
        except TypeError as error:
            raise _Misfit(f"{path or 'the body'}: {error}") from None

    return to_struct
