"""Answers in the shape of the RPC contract: `responseStatus` with its codes, encoded ahead where possible."""

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

SUCCESS_STATUS: Final = b'{"errorCode":"success","message":"","status":"success"}'
PARTIAL_STATUS: Final = b'{"errorCode":"partial_fail","message":"","status":"partial_fail"}'
RATE_LIMITED_MESSAGE: Final = "Request is rate limited."

encode_json = msgspec.json.Encoder().encode
"""Anything of ours, as compact JSON."""


def failure_status(code: ErrorCode, message: str) -> bytes:
    """A `responseStatus` that says no."""
    return encode_json({"errorCode": code, "message": message, "status": "fail"})


def answer(fields: bytes, status: bytes = SUCCESS_STATUS, outcome: str = "success") -> Reply:
    """An answer with these fields (`"name":value`, comma separated, perhaps empty) and a `responseStatus`."""
    separator = b"," if fields else b""
    return Reply(200, b'{%b%b"responseStatus":%b}' % (fields, separator, status), outcome=outcome)


def failure(code: ErrorCode, message: str, *null_fields: str) -> Reply:
    """A business failure: HTTP 200, `responseStatus` fail, and the answer's fields null."""
    fields = ",".join(f'"{name}":null' for name in null_fields).encode()
    return answer(fields, failure_status(code, message), outcome=code)
