"""What the REST API says when writes cannot be taken now: handlers alone, with a writer that says no."""

import inspect

import pytest

from artemis.actors.management import Overloaded, Stopped
from artemis.store.routing import Router
from artemis.transport.errors import ClientError
from artemis.transport.operations import rest
from artemis.transport.operations.management import Desk
from artemis.transport.operations.rules import InstanceRules
from artemis.transport.requests import Caller, Reply, Request

from ..store.managed import Managed
from ..transport.managing import Standing, StoppedClock, Writer

WRITES = {
    ("POST", "/api/routing/groups"): b"{}",
    ("DELETE", "/api/routing/groups/{groupKey}"): b"",
    ("POST", "/api/routing/rules/{routeId}/publish"): b"",
    ("POST", "/api/routing/configuration"): b"{}",
    ("POST", "/api/management/zone/pull-out"): b"{}",
    ("DELETE", "/api/management/canary/config/{path:serviceId}"): b"",
    ("POST", "/api/management/instance/operate-instance.json"): b"{}",
}


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(("error", "status"), [(Overloaded("too many"), 429), (Stopped("ending"), 503)])
async def test_a_write_that_cannot_be_taken_is_to_be_tried_again(
    method: str, path: str, error: Exception, status: int
) -> None:
    managed = Managed()
    writer = Writer(managed)
    writer.error = error
    clock = StoppedClock(managed)
    desk = Desk(managed.management, managed.registry, writer, clock, standing=Standing(), limit_of=lambda _: 0)
    routes = rest.routes(desk, Router(managed.management), askers=InstanceRules("lab", "zone1"))
    (handler,) = (route.handler for route in routes if (route.method, route.path) == (method, path))
    params = {"groupKey": "a:b:c:d", "routeId": "r", "serviceId": "s"}
    request = Request(method, path, b"", WRITES[method, path], Caller("10.8.8.8"), params=params)

    async def answer() -> Reply:
        reply = handler(request)
        return await reply if inspect.isawaitable(reply) else reply

    with pytest.raises(ClientError) as caught:
        await answer()
    assert caught.value.status == status
    assert dict(caught.value.headers).keys() & {b"Retry-After", b"retry-after"}
