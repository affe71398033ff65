"""The calls of the RPC dialect: one function per endpoint of a node of the original system, bodies gzipped."""

import gzip
from collections.abc import Sequence
from typing import Final, TypeVar

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

RETRIED_NEVER: Final = frozenset(
    {"bad-request", "no-permission", "internal-service-error", "service-unavailable", "data-not-found"}
)
"""Error codes that the same call will meet again."""

HEADERS: Final = {
    "content-type": "application/json",
    "content-encoding": "gzip",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
}

A = TypeVar("A", bound=msgspec.Struct)


class RpcFailed(Exception):
    """A call did not succeed. `again` tells whether it may the next time; `refused`, that nobody listens there."""

    def __init__(self, reason: str, *, again: bool = True, refused: bool = False) -> None:
        super().__init__(reason)
        self.again = again
        self.refused = refused


class _Status(msgspec.Struct, rename="camel"):
    status: str | None = None
    error_code: str | None = None
    message: str | None = None


class _FailedInstance(msgspec.Struct, rename="camel"):
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

    async def register(self, instance: bytes) -> None:
        """One instance (JSON) was registered here."""
        await self._write("register", [instance], timeout_s=WRITE_S)

    async def unregister(self, instance: bytes) -> None:
        """One instance (JSON) was removed here."""
        await self._write("unregister", [instance], timeout_s=WRITE_S)

    async def heartbeat(self, instances: Sequence[bytes]) -> None:
        """These instances (JSON) were heard of here."""
        await self._write("heartbeat", instances, timeout_s=HEARTBEAT_S)

    async def services(self, region_id: str, zone_id: str) -> list[Instance]:
        """All instances that the node knows."""
        body = msgspec.json.encode({"regionId": region_id, "zoneId": zone_id})
        path = "/artemis/api/replication/registry/services.json"
        answer = await self._post(path, body, _ServicesAnswer, timeout_s=SERVICES_S)
        _check(answer.response_status)
        return [instance for service in answer.services or () for instance in service.instances or ()]

    async def _write(self, operation: str, instances: Sequence[bytes], *, timeout_s: float) -> None:
        body = b'{"instances":[' + b",".join(instances) + b"]}"
        path = f"/artemis/api/replication/registry/{operation}.json"
        answer = await self._post(path, body, _WriteAnswer, timeout_s=timeout_s)
        _check(answer.response_status)
        if len(instances) == 1 and answer.failed_instances:
            failed = answer.failed_instances[0]
            code = failed.error_code or "unknown"
            raise RpcFailed(f"{code}: {failed.error_message}", again=code not in RETRIED_NEVER)

    async def _post(self, path: str, body: bytes, answer: type[A], *, timeout_s: float) -> A:
        content = gzip.compress(body, GZIP_LEVEL, mtime=0)
        self.requests += 1
        self.bytes_sent += len(content)
        try:
            with trio.fail_after(timeout_s):
                response = await self._client.post(self._url + path, content=content, headers=HEADERS)
        except trio.TooSlowError:
            raise RpcFailed(f"no answer within {timeout_s:g} s") from None
        except httpx.ConnectError as error:
            raise RpcFailed(str(error), refused=_is_refusal(error)) from None
        except httpx.RequestError as error:  # of the connection, or a body that is not compressed as it says
            raise RpcFailed(str(error) or type(error).__name__) from None
        if response.status_code != 200:
            raise RpcFailed(f"HTTP {response.status_code}", again=response.status_code >= 500)
        try:
            return decode(answer, response.content, any_size=True)
        except ClientError as error:
            raise RpcFailed(f"an answer that is none: {error.message}", again=False) from None


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
        raise RpcFailed(f"{code}: {status.message}", again=code not in RETRIED_NEVER)


def _is_refusal(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_is_refusal(inner) for inner in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
