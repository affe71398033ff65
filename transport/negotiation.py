"""What a request may be refused for before its body is read: media types, encodings, declared length."""

from collections.abc import Callable

from .bodies import encoding_of, too_large
from .errors import ClientError
from .limits import Limits
from .requests import JSON, Route

HeaderOf = Callable[[bytes], bytes | None]
"""The first header of a lower-case name."""


def refusal(route: Route, header: HeaderOf, limits: Limits) -> ClientError | None:
    """Why this request is not even tried; None when it is."""
    if route.produces and not accepts(header(b"accept"), route.produces):
        return ClientError(406, f"this path answers {route.produces.decode()} only, which the Accept header excludes")
    content_type = header(b"content-type")
    if route.takes_body and not is_json(content_type) and not (route.body_optional and _says_nothing(header)):
        return ClientError(415, "the body must be JSON, and its Content-Type application/json")
    length = header(b"content-length")
    if length is not None and length.isdigit() and int(length) > limits.body_bytes:
        return too_large(limits.body_bytes)
    try:
        encoding_of(header(b"content-encoding"))
    except ClientError as error:
        return error
    return None


def _says_nothing(header: HeaderOf) -> bool:
    """Whether there is no body, and nothing is said about one."""
    length, encoding = header(b"content-length"), header(b"transfer-encoding")
    return header(b"content-type") is None and encoding is None and (length is None or length.strip(b"0") == b"")


def is_json(content_type: bytes | None) -> bool:
    """Whether this Content-Type is application/json, with whatever parameters."""
    return content_type is not None and content_type.partition(b";")[0].strip().lower() == JSON


def accepts(accept: bytes | None, produced: bytes) -> bool:
    """Whether this Accept header allows the media type. The most specific range decides; q=0 excludes."""
    if accept is None or not accept.strip():
        return True
    wanted = produced.partition(b";")[0].strip().lower()
    ranges = {wanted: 2, wanted.partition(b"/")[0] + b"/*": 1, b"*/*": 0}
    best, allowed = -1, False
    for item in accept.lower().split(b","):
        name, *parameters = (part.strip() for part in item.split(b";"))
        rank = ranges.get(name, -1)
        if rank > best:
            best, allowed = rank, not any(_is_zero_weight(parameter) for parameter in parameters)
    return allowed


def _is_zero_weight(parameter: bytes) -> bool:
    name, _, weight = parameter.partition(b"=")
    return name.strip() == b"q" and not weight.strip(b" 0.")
