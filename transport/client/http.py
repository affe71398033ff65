"""Requests to whichever node answers: one try per node and call, the current one first."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import httpx
import msgspec
import trio

from .errors import Incomprehensible, Refused, Unreachable
from .messages import ResponseStatus, read
from .nodes import Nodes

M = TypeVar("M", bound=msgspec.Struct)

CONNECT_TIMEOUT_S: Final = 2.0
ELSEWHERE_CODES: Final = frozenset({"service-unavailable", "internal-error"})
"""Answers that concern the node, not the request: another node may do better."""


class _Envelope(msgspec.Struct, rename="camel", frozen=True):
    response_status: ResponseStatus | None = None
    success: bool | None = None
    message: str | None = None


class Http:
    """Posts and gets JSON. Answers are bytes that passed the checks of the envelope."""

    def __init__(self, nodes: Nodes, client: httpx.AsyncClient, *, timeout_s: float) -> None:
        self.nodes = nodes
        self._client = client
        self._timeout_s = timeout_s

    async def post(self, path: str, body: object) -> bytes:
        """Send `body` as JSON. Raises Unreachable or Refused."""
        content = msgspec.json.encode(body)
        return await self._ask("POST", path, content, {"content-type": "application/json"})

    async def get(self, path: str) -> bytes:
        """Fetch a page of JSON. Raises Unreachable or Refused."""
        return await self._ask("GET", path, None, {})

    async def send(self, method: str, path: str, body: object = None) -> bytes:
        """Any other request, with JSON when there is a body. Raises Unreachable or Refused."""
        content = None if body is None else msgspec.json.encode(body)
        return await self._ask(method, path, content, {} if body is None else {"content-type": "application/json"})

    async def _ask(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> bytes:
        causes: dict[str, str] = {}
        for _ in self.nodes.urls:
            url = self.nodes.current
            if url in causes:
                break
            try:
                with trio.fail_after(self._timeout_s):
                    response = await self._client.request(method, url + path, content=content, headers=headers)
            except trio.TooSlowError:
                causes[url] = f"no answer within {self._timeout_s:g} s"
            except httpx.TransportError as error:
                causes[url] = str(error) or type(error).__name__
            else:
                refusal = _refusal(response)
                if refusal is None:
                    return response.content
                if not (response.status_code >= 500 or refusal.code in ELSEWHERE_CODES):
                    raise refusal
                causes[url] = str(refusal)
                if len(self.nodes.urls) == 1:
                    raise refusal
            self.nodes.leave(url)
        raise Unreachable(causes)


def _refusal(response: httpx.Response) -> Refused | None:
    """What the answer says against the request; None when it says nothing against it."""
    try:
        envelope = read(_Envelope, response.content)
    except Incomprehensible as error:
        if response.is_success:
            raise
        return Refused(_code_of(response.status_code), str(error), status=response.status_code)
    status = envelope.response_status
    if status is not None and status.status == "fail":
        return Refused(status.error_code or "unknown", status.message or "", status=response.status_code)
    if not response.is_success or envelope.success is False:
        return Refused(_code_of(response.status_code), envelope.message or "", status=response.status_code)
    return None


def _code_of(status: int) -> str:
    known = {
        400: "bad-request",
        404: "data-not-found",
        409: "conflict",
        429: "rate-limited",
        503: "service-unavailable",
    }
    return known.get(status, f"http-{status}")


@asynccontextmanager
async def open_http(
    nodes: Nodes, *, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncGenerator[Http, None]:
    """A pool of connections to the nodes. Proxies of the environment are not used: nodes are near."""
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    async with httpx.AsyncClient(timeout=timeout, transport=transport, trust_env=False) as client:
        yield Http(nodes, client, timeout_s=timeout_s)
