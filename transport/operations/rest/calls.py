"""What all handlers of the REST management API share: who asks, how a write is carried out, and the envelopes."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from artemis.actors.management import Overloaded, Stopped
from artemis.store.management.draft import Draft, Plan
from artemis.store.management.errors import Conflict, NotFound, Refused
from artemis.store.management.writes.operator import Operator

from ...errors import ClientError, Header
from ...requests import Handler, Reply, Request, Route
from ..answers import encode_json
from ..decoding import decode_optional
from ..management.desk import Ask, Desk
from ..standing import not_up

RETRY: Final[tuple[Header, ...]] = ((b"Retry-After", b"1"),)

T = TypeVar("T")
A = TypeVar("A", bound=msgspec.Struct)


class WriteAsk(Ask, kw_only=True):
    """Who writes, and why. Both may stand in the query as well, for requests without a body."""

    operator_id: str | None = None
    reason: str | None = None


def who(desk: Desk, request: Request, ask: WriteAsk, operation: str) -> Operator:
    """The operator as the request names it; `operation` is what the audit log calls the write."""
    return Operator(
        operator_id=(ask.operator_id or request.argument("operatorId") or "").strip(),
        operation=operation,
        reason=ask.reason if ask.reason is not None else request.argument("reason"),
        address=desk.address_of(request.caller),
    )


def optional_body(kind: type[A], request: Request) -> A:
    """The request in a body that may be missing."""
    return decode_optional(kind, request.body)


async def carry_out(desk: Desk, plan: Plan[T]) -> T:
    """Carry out a write; returns what the plan returned. Raises ClientError for whatever stands against it."""
    if not desk.serving():
        raise ClientError(503, not_up("", desk.standing.me()), headers=RETRY)
    with refusals():
        return await submit(desk, plan)


async def submit(desk: Desk, plan: Plan[T]) -> T:
    """Hand a write to the writer. Raises what the plan raises, and ClientError when it is to be tried again."""
    desk.rehearse(plan)
    try:
        return await desk.writer.submit(plan)
    except Overloaded as error:
        raise ClientError(429, str(error), headers=RETRY) from None
    except Stopped as error:
        raise ClientError(503, str(error), headers=RETRY) from None


@contextmanager
def refusals() -> Generator[None, None, None]:
    """Refusals of the store within the block become 404, 409 or 400."""
    try:
        yield
    except NotFound as refusal:
        raise ClientError(404, refusal.message) from None
    except Conflict as refusal:
        raise ClientError(409, refusal.message, outcome="conflict") from None
    except Refused as refusal:
        raise ClientError(400, refusal.message) from None


def as_it_is(desk: Desk) -> Draft:
    """The tables as they are now, for looking things up as writes do."""
    return desk.management.draft(now_ms=desk.clock.now_ms())


def data(value: object, status: int = 200, *, version: int | None = None) -> Reply:
    """A success. `version` is that of the record shown: it becomes the ETag that If-Match may bring back."""
    headers: tuple[Header, ...] = () if version is None else ((b"ETag", f'"{version:x}"'.encode()),)
    return Reply(status, b'{"success":true,"data":' + encode_json(value) + b"}", headers)


def expected_version(request: Request) -> int | None:
    """The version in an If-Match header; None when any will do, and one that nothing has when it is not ours."""
    text = request.header(b"if-match")
    if text is None or text.strip() == "*":
        return None
    try:
        return int(text.strip().removeprefix("W/").strip('"'), 16)
    except ValueError:
        return -1


def whole_argument(request: Request, name: str, *, low: int = 0, high: int = 2**63 - 1) -> int | None:
    """A query parameter that is a whole number within limits; None when it is missing or blank."""
    text = (request.argument(name) or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or not low <= int(text[:20]) <= high:
        raise ClientError(400, f"the query parameter {name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def route(method: str, path: str, handler: Handler, name: str) -> list[Route]:
    """A row of the table; PATCH and PUT are the same."""
    methods = ("PATCH", "PUT") if method == "PATCH" else (method,)
    return [Route(each, path, handler, name, loose=True) for each in methods]


def bodiless(path: str, handler: Handler, name: str) -> list[Route]:
    """A POST that may come without a body."""
    return [Route("POST", path, handler, name, loose=True, body_optional=True)]
