"""The management handlers without a network: requests go in as Python, answers come out as Python."""

import inspect
from typing import Any, TypeVar

import msgspec

from artemis.store.management.draft import Plan
from artemis.transport.errors import ClientError
from artemis.transport.operations.management import Desk, routes
from artemis.transport.operations.standing import NodeView
from artemis.transport.requests import Caller, Reply, Request
from tests.store.managed import Managed

T = TypeVar("T")

SUCCESS = {"errorCode": "success", "message": "", "status": "success"}


class Standing:
    """A node of the status that a test wants."""

    def __init__(self) -> None:
        self.status = "up"

    def serves_registry(self) -> bool:
        return True

    def serves_discovery(self) -> bool:
        return True

    def me(self) -> NodeView:
        return NodeView("http://127.0.0.1:8080", "zone1", "lab", self.status)

    def everybody(self) -> list[NodeView]:
        return [self.me()]

    def convergence(self) -> dict[str, object]:
        return {}


class Writer:
    """Carries writes out at once."""

    def __init__(self, node: Managed) -> None:
        self._node = node
        self.error: Exception | None = None

    async def submit(self, plan: Plan[T]) -> T:
        if self.error is not None:
            raise self.error
        return self._node.write(plan)


class StoppedClock:
    def __init__(self, node: Managed) -> None:
        self._node = node
        self.seconds = 0.0

    def now_s(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        return self._node.now_ms

    def stamp_ms(self) -> float:
        return self._node.now_ms


class Managing:
    """A node and its management handlers."""

    def __init__(self, *, limit: int = 0) -> None:
        self.node = Managed()
        self.standing = Standing()
        self.writer = Writer(self.node)
        self.clock = StoppedClock(self.node)
        desk = Desk(
            self.node.management,
            self.node.registry,
            self.writer,
            self.clock,
            standing=self.standing,
            limit_of=lambda name: limit,
        )
        self.routes = routes(desk)
        self._handlers = {(route.method, route.path): route.handler for route in self.routes}

    async def raw(self, method: str, path: str, body: bytes, query: bytes = b"") -> Reply:
        """Raises ClientError for what is not answered with 200."""
        request = Request(method, path, query, body, Caller("10.8.8.8"))
        reply = self._handlers[method, path](request)
        if inspect.isawaitable(reply):
            reply = await reply
        assert isinstance(reply, Reply)
        return reply

    async def post(self, path: str, body: object) -> Any:
        """The decoded answer, or the status of a refusal."""
        try:
            reply = await self.raw("POST", path, msgspec.json.encode(body))
        except ClientError as error:
            return error.status
        assert reply.status == 200
        return msgspec.json.decode(reply.body)

    async def ask(self, name: str, /, **fields: object) -> Any:
        """The answer of a POST under /api/management/, without its suffix."""
        return await self.post(f"/api/management/{name}.json", fields)
