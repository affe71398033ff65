"""The vocabulary of both lanes: who calls, what is asked, what is answered, and which function answers it."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl

from .errors import ClientError, Header, error_body, outcome_of

JSON = b"application/json"
ARGUMENTS_MAX = 100
"""Query parameters of one request. More is a 400."""

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end. `forwarded_for` is a claim: believe it only from a proxy you trust."""

    ip: str
    forwarded_for: str | None = None


@dataclass(slots=True)
class Request:
    """One request, as every handler sees it: the body is complete, inflated, and within the limits."""

    method: str
    path: str
    query: bytes
    body: bytes
    caller: Caller
    headers: Sequence[Header] = ()
    """Names are lower-case."""
    params: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """The {placeholders} of the route's path, percent-decoded."""
    loose: bool = False
    """Names of arguments match regardless of case and of snake_case, as in the REST API."""
    _arguments: list[tuple[str, str]] | None = None

    def header(self, name: bytes) -> str | None:
        """The first header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    @property
    def content_type(self) -> str | None:
        return self.header(b"content-type")

    @property
    def accept(self) -> str | None:
        return self.header(b"accept")

    @property
    def arguments(self) -> list[tuple[str, str]]:
        """Name and value of each query parameter, in order; parsed when first asked for."""
        if self._arguments is None:
            self._arguments = _parse_query(self.query) if self.query else []
        return self._arguments

    def argument(self, name: str) -> str | None:
        """The first query parameter of this name; None when it is missing."""
        if not self.query:
            return None
        wanted = fold(name) if self.loose else name
        for key, value in self.arguments:
            if (fold(key) if self.loose else key) == wanted:
                return value
        return None

    def required_argument(self, name: str) -> str:
        """The first query parameter of this name; a 400 that names it when it is missing."""
        value = self.argument(name)
        if value is None:
            raise ClientError(400, f"the query parameter {name} is required")
        return value

    def argument_values(self, name: str) -> list[str]:
        """All query parameters of this name."""
        wanted = fold(name) if self.loose else name
        return [value for key, value in self.arguments if (fold(key) if self.loose else key) == wanted]


def forwarded_for(headers: Sequence[Header]) -> str | None:
    """What X-Forwarded-For says, names in lower case. Some proxies add a header of their own below the one that came:
    they are one list, and what the nearest proxy says is its end."""
    values = [value for name, value in headers if name == b"x-forwarded-for"]
    return b", ".join(values).decode("latin-1") if values else None


class Reply(NamedTuple):
    """What is sent back. `outcome` is for the metrics: a business failure is a 200 with its error code."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = ()
    content_type: bytes = JSON
    outcome: str = "success"


SyncHandler = Callable[[Request], Reply]
AsyncHandler = Callable[[Request], Awaitable[Reply]]
Handler = SyncHandler | AsyncHandler


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the API. `path` may hold {placeholders}; a trailing slash is tolerated by both lanes."""

    method: str
    path: str
    handler: Handler
    name: str
    """The label of its metrics, e.g. "register"."""
    hot: bool = False
    """Answered in place by the fast lane: a plain function that does not wait, on a path without placeholders."""
    loose: bool = False
    produces: bytes = JSON
    """What Accept must not exclude. Empty: the route chooses by itself, and answers in any case."""
    body_optional: bool = False
    """A POST, PUT or PATCH that may come without a body, and then needs no Content-Type."""

    def __post_init__(self) -> None:
        assert self.path.startswith("/"), self.path
        assert self.method == self.method.upper(), self.method
        if self.hot:
            assert "{" not in self.path, f"{self.path} is hot and has a placeholder"
            assert not inspect.iscoroutinefunction(self.handler), f"{self.path} is hot and waits"

    @property
    def takes_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")


def error_reply(error: ClientError, path: str = "") -> Reply:
    """The answer to a refused request."""
    return Reply(
        error.status,
        error_body(error.status, error.message, path),
        error.headers,
        outcome=error.outcome or outcome_of(error.status),
    )


def fold(name: str) -> str:
    """regionId, region_id and RegionID are one name in the REST API."""
    return name.replace("_", "").lower()


def _parse_query(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=ARGUMENTS_MAX)
    except ValueError:
        raise ClientError(400, f"the query string is not UTF-8, or has more than {ARGUMENTS_MAX} parameters") from None
