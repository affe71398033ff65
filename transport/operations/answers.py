"""Answers in the shape of the contracts: a `responseStatus` in the words of either API, encoded ahead where possible.

Both APIs say `status` and `message` alike. The error codes differ: clients of the REST API know five and cannot decode
any other, so theirs is the nearest of the five, and the finer code stands in each failed item. They look for
`errorMessage`, too.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from ..requests import Reply

ErrorCode = Literal[
    "success",
    "partial_fail",
    "bad-request",
    "rate-limited",
    "no-permission",
    "data-not-found",
    "internal-service-error",
    "service-unavailable",
]

REST_CODES: Final[Mapping[ErrorCode, str]] = {
    "success": "success",
    "partial_fail": "bad-request",
    "bad-request": "bad-request",
    "rate-limited": "rate-limited",
    "no-permission": "bad-request",
    "data-not-found": "bad-request",
    "internal-service-error": "internal-error",
    "service-unavailable": "service-unavailable",
}
"""What clients of the REST API are told."""

RATE_LIMITED_MESSAGE: Final = "Request is rate limited."

encode_json = msgspec.json.Encoder().encode
"""Anything of ours, as compact JSON."""


def response_status(code: ErrorCode, message: str = "", *, loose: bool) -> bytes:
    """A `responseStatus`; `loose` for the REST API."""
    status = code if code in ("success", "partial_fail") else "fail"
    if not loose:
        return encode_json({"errorCode": code, "message": message, "status": status})
    return encode_json({"errorCode": REST_CODES[code], "errorMessage": message, "message": message, "status": status})


_SUCCESS: Final = {loose: response_status("success", loose=loose) for loose in (False, True)}


def answer(fields: bytes, code: ErrorCode = "success", message: str = "", *, loose: bool = False) -> Reply:
    """An answer with these fields (`"name":value`, comma separated, perhaps empty) and a `responseStatus`."""
    separator = b"," if fields else b""
    status = _SUCCESS[loose] if code == "success" else response_status(code, message, loose=loose)
    return Reply(200, b'{%b%b"responseStatus":%b}' % (fields, separator, status), outcome=code)


def failure(code: ErrorCode, message: str, *null_fields: str, loose: bool = False) -> Reply:
    """A business failure: HTTP 200, `responseStatus` fail, and the answer's fields null."""
    fields = ",".join(f'"{name}":null' for name in null_fields).encode()
    return answer(fields, code, message, loose=loose)
