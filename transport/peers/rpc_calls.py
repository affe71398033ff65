"""The calls of the RPC dialect: one function per endpoint of a node of the original system, bodies gzipped."""

import gzip
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import httpx
import msgspec
import trio

from artemis.store.instances import Instance

from ..errors import ClientError
from ..operations.decoding import decode

STATUS_S: Final = 2.0
"""How long a node may take to say how it is."""
WRITE_S: Final = 10.0
HEARTBEAT_S: Final = 2.0
SERVICES_S: Final = 30.0
CONNECT_S: Final = 1.0
GZIP_LEVEL: Final = 1
"""Fast: these bodies cross a local network."""

LATER: Final = frozenset({"rate-limited", "service-unavailable", "unknown"})
"""Error codes that say nothing of what was asked: the node cannot now."""
FOR_GOOD: Final = frozenset({"bad-request", "no-permission"})
"""Error codes that the same call will meet again. Any other may be due to one instance, or to the node."""

CODES: Final = {400: "bad-request", 413: "bad-request", 429: "rate-limited", 500: "internal-service-error"}
"""What a status other than 200 means."""

HEADERS: Final = {
    "content-type": "application/json",
    "content-encoding": "gzip",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
}

A = TypeVar("A", bound=msgspec.Struct)


class RpcFailed(Exception):
    """A call did not succeed, with this error code. `refused` tells that nobody listens there, `answered` that somebody
    took the connection."""

    def __init__(self, reason: str, *, code: str = "unknown", refused: bool = False, answered: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.refused = refused
        self.answered = answered


class Refusal(NamedTuple):
    """One instance of a call was not taken."""

    code: str
    reason: str


Refusals = Mapping[tuple[str, str], Refusal]
"""By service id and instance id, both in lower case."""


class _Status(msgspec.Struct, rename="camel"):
    status: str | None = None
    error_code: str | None = None
    message: str | None = None


class _Key(msgspec.Struct, rename="camel"):
    service_id: str | None = None
    instance_id: str | None = None


class _FailedInstance(msgspec.Struct, rename="camel"):
    instance: _Key | None = None
    error_code: str | None = None
    error_message: str | None = None


class _WriteAnswer(msgspec.Struct, rename="camel"):
    response_status: _Status
    failed_instances: list[_FailedInstance] | None = None


class NodeStatus(msgspec.Struct, rename="camel"):
    """What a node says of itself."""

    status: str | None = None
    can_service_discovery: bool | None = None
    can_service_registry: bool | None = None
    allow_registry_from_other_zone: bool | None = None
    allow_discovery_from_other_zone: bool | None = None


class _NodeAnswer(msgspec.Struct, rename="camel"):
    response_status: _Status
    node_status: NodeStatus | None = None


class _Service(msgspec.Struct, rename="camel"):
    instances: list[Instance] | None = None


class _ServicesAnswer(msgspec.Struct, rename="camel"):
    response_status: _Status
    services: list[_Service] | None = None


class RpcCalls:
    """Calls one node. Every call raises RpcFailed when it does not succeed."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self.requests = 0
        self.bytes_sent = 0

    async def node_status(self) -> NodeStatus:
        """How the node is."""
        answer = await self._post("/artemis/api/status/node.json", b"{}", _NodeAnswer, timeout_s=STATUS_S)
        _check(answer.response_status)
        if answer.node_status is None:
            raise RpcFailed("an answer without a node status")
        return answer.node_status

    async def register(self, instances: Sequence[bytes]) -> Refusals:
        """These instances (JSON) were registered here."""
        return await self._write("register", instances, timeout_s=WRITE_S)

    async def unregister(self, instances: Sequence[bytes]) -> Refusals:
        """These instances (JSON) were removed here."""
        return await self._write("unregister", instances, timeout_s=WRITE_S)

    async def heartbeat(self, instances: Sequence[bytes]) -> Refusals:
        """These instances (JSON) were heard of here."""
        return await self._write("heartbeat", instances, timeout_s=HEARTBEAT_S)

    async def services(self, region_id: str, zone_id: str) -> list[Instance]:
        """All instances that the node knows."""
        body = msgspec.json.encode({"regionId": region_id, "zoneId": zone_id})
        path = "/artemis/api/replication/registry/services.json"
        answer = await self._post(path, body, _ServicesAnswer, timeout_s=SERVICES_S)
        _check(answer.response_status)
        return [instance for service in answer.services or () for instance in service.instances or ()]

    async def _write(self, operation: str, instances: Sequence[bytes], *, timeout_s: float) -> Refusals:
        body = b'{"instances":[' + b",".join(instances) + b"]}"
        path = f"/artemis/api/replication/registry/{operation}.json"
        answer = await self._post(path, body, _WriteAnswer, timeout_s=timeout_s)
        _check(answer.response_status)
        return {
            ((failed.instance.service_id or "").lower(), (failed.instance.instance_id or "").lower()): Refusal(
                failed.error_code or "unknown", failed.error_message or ""
            )
            for failed in answer.failed_instances or ()
            if failed.instance is not None
        }

    async def _post(self, path: str, body: bytes, answer: type[A], *, timeout_s: float) -> A:
        content = gzip.compress(body, GZIP_LEVEL, mtime=0)
        self.requests += 1
        self.bytes_sent += len(content)
        try:
            with trio.fail_after(timeout_s):
                response = await self._client.post(self._url + path, content=content, headers=HEADERS)
        except trio.TooSlowError:
            raise RpcFailed(f"no answer within {timeout_s:g} s") from None
        except httpx.ConnectTimeout:
            raise RpcFailed(f"no connection within {CONNECT_S:g} s", answered=False) from None
        except httpx.ConnectError as error:
            raise RpcFailed(str(error), refused=_is_refusal(error), answered=False) from None
        except httpx.RequestError as error:  # of the connection, or a body that is not compressed as it says
            raise RpcFailed(str(error) or type(error).__name__) from None
        if response.status_code != 200:
            raise RpcFailed(f"HTTP {response.status_code}", code=CODES.get(response.status_code, "unknown"))
        try:
            return decode(answer, response.content, any_size=True)
        except ClientError as error:
            raise RpcFailed(f"not a valid answer: {error.message}") from None


def open_client(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A pool of connections to one node. Proxies of the environment are not used: peers are near."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=8, max_keepalive_connections=8, keepalive_expiry=60.0),
        transport=transport,
        trust_env=False,
    )


def _check(status: _Status) -> None:
    if status.status == "fail":
        code = status.error_code or "unknown"
        raise RpcFailed(f"{code}: {status.message}", code=code)


def _is_refusal(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_is_refusal(inner) for inner in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
