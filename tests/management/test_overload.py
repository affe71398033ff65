"""Writes that cannot be taken now, and plans that break: handlers alone, with a writer that says no."""

import inspect

import pytest

from artemis.actors.management import Overloaded, Stopped
from artemis.store.management.draft import Draft
from artemis.store.management.kinds import GROUP
from artemis.store.routing import Router
from artemis.transport.errors import ClientError
from artemis.transport.operations import rest
from artemis.transport.operations.management import Desk
from artemis.transport.operations.rest.calls import carry_out
from artemis.transport.operations.rules import InstanceRules
from artemis.transport.requests import Caller, Reply, Request

from ..store.managed import Managed
from ..transport.managing import Standing, StoppedClock, Writer

NEW_GROUP = b'{"serviceId":"s","regionId":"lab","zoneId":"z","name":"g","groupType":"physical"}'
ZONE = b'{"regionId":"lab","zoneId":"z","operatorId":"op"}'
SERVER = b'{"regionId":"lab","serverId":"10.0.0.1","operation":"pullout","operatorId":"op"}'

WRITES = {
    ("POST", "/api/routing/groups"): NEW_GROUP,
    ("POST", "/api/routing/configuration"): b"{}",
    ("POST", "/api/management/zone/pull-out"): ZONE,
    ("DELETE", "/api/management/canary/config/{path:serviceId}"): b"",
    ("POST", "/api/management/server/operate-server.json"): SERVER,
}


def furnish() -> tuple[Desk, Writer, Managed]:
    """A desk, and what is behind it."""
    managed = Managed()
    writer, clock = Writer(managed), StoppedClock(managed)
    desk = Desk(managed.management, managed.registry, writer, clock, standing=Standing(), limit_of=lambda _: 0)
    return desk, writer, managed


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(("error", "status"), [(Overloaded("too many"), 429), (Stopped("ending"), 503)])
async def test_a_write_that_cannot_be_taken_is_to_be_tried_again(
    method: str, path: str, error: Exception, status: int
) -> None:
    desk, writer, managed = furnish()
    writer.error = error
    routes = rest.routes(desk, Router(managed.management), askers=InstanceRules("lab", "zone1"))
    (handler,) = (route.handler for route in routes if (route.method, route.path) == (method, path))
    body, caller = WRITES[method, path], Caller("10.8.8.8")
    request = Request(method, path, b"", body, caller, params={"serviceId": "s"})

    async def answer() -> Reply:
        reply = handler(request)
        return await reply if inspect.isawaitable(reply) else reply

    with pytest.raises(ClientError) as caught:
        await answer()
    assert caught.value.status == status
    assert dict(caught.value.headers).keys() & {b"Retry-After", b"retry-after"}


async def test_a_plan_that_breaks_is_the_failure_of_one_request_and_never_reaches_the_writer() -> None:
    """The writer serves everybody, and a node whose writer fails ends."""
    desk, writer, _ = furnish()
    writer.error = AssertionError("the writer was asked")

    def broken(draft: Draft) -> None:
        draft.all(GROUP)[7]

    with pytest.raises(IndexError):
        await desk.submit(broken)
    with pytest.raises(IndexError):
        await carry_out(desk, broken)
