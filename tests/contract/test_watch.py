"""The WebSocket `/ws`, row 28 of the REST API: section 3, rule by rule."""

from typing import Any

import pytest
import trio

from ..pace import PATIENCE_S
from .building import ids_of, instance, register, unregister
from .conftest import StartNode
from .flavours import QUICK, UNLIMITED
from .matching import EPOCH_MS, RFC_3339, Including, Text, Whole
from .nodes import REGION, ZONE, NodeProcess
from .sockets import WATCH, shake_hands, text_frame, watching, websocket
from .wire import Connection, connected, encoded, post, rest, rpc
from .wire import ask as ask_once

OPERATOR = {"operation": "pull-out", "operatorId": "op", "token": "t", "extensions": "{}", "reason": "test"}


class Picture:
    """What a client knows of a service: begun with a snapshot, kept by changes, and proven to miss nothing."""

    def __init__(self, subscribed: dict[str, Any]) -> None:
        self.revision: int = subscribed["revision"]
        self.instances = {one["instanceId"]: one for one in subscribed["service"]["instances"]}

    def take(self, message: dict[str, Any]) -> list[tuple[str, str]]:
        assert message["type"] == "service_change", message
        assert message["revision"] == self.revision + 1
        return self._apply(message["revision"], message["changes"])

    def resume(self, subscribed: dict[str, Any]) -> list[tuple[str, str]]:
        assert "service" not in subscribed, "a snapshot instead of what was missed"
        assert subscribed["revision"] >= self.revision
        return self._apply(subscribed["revision"], subscribed["changes"])

    def _apply(self, revision: int, changes: list[dict[str, Any]]) -> list[tuple[str, str]]:
        self.revision = revision
        for change in changes:
            if change["changeType"] == "delete":
                del self.instances[change["instance"]["instanceId"]]
            elif change["changeType"] != "reload":
                self.instances[change["instance"]["instanceId"]] = change["instance"]
        return [(change["changeType"], change["instance"]["instanceId"]) for change in changes]


async def test_row_28_a_subscription_begins_with_a_snapshot(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        answer = await session.ask({"type": "subscribe", "serviceId": name})
        assert answer == {
            "type": "subscribed",
            "serviceId": name,
            "service_id": name,
            "revision": Whole(1),
            "service": Including({"serviceId": name, "instances": [instance(name)]}),
        }


async def test_changes_follow_the_snapshot(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        revision = (await watching(session, name))["revision"]
        changed = instance(name, url="http://elsewhere/")
        await register(node, changed)
        assert await session.receive() == {
            "type": "service_change",
            "serviceId": name,
            "service_id": name,
            "revision": revision + 1,
            "changes": [
                {"changeType": "change", "changeTime": RFC_3339, "changeTimeMs": EPOCH_MS, "instance": changed}
            ],
        }


async def test_an_unchanged_registration_makes_no_revision(node: NodeProcess, name: str) -> None:
    """Its version moves on, which is for the peers alone."""
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        await register(node, instance(name, metadata={"a": "1", "b": "2"}))
        assert picture.take(await session.receive()) == [("new", "i1")]
        for metadata in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
            await register(node, instance(name, metadata=metadata))
        await register(node, instance(name, "i2"))
        assert picture.take(await session.receive()) == [("new", "i2")]


@pytest.mark.parametrize("field", ["serviceId", "service_id", "SERVICE_ID"])
async def test_both_spellings_of_the_field_are_accepted(node: NodeProcess, name: str, field: str) -> None:
    async with websocket(node, WATCH) as session:
        for kind in ("subscribed", "unsubscribed"):
            answer = await session.ask({"type": kind.removesuffix("d"), field: name})
            assert answer == Including({"type": kind, "serviceId": name, "service_id": name})


async def test_revisions_rise_by_one_through_everything_that_happens(node: NodeProcess, name: str) -> None:
    """From before the service exists, through its end, and into its next life."""
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        assert picture.instances == {}
        await register(node, instance(name, "a"), instance(name, "b"))
        assert picture.take(await session.receive()) == [("new", "a"), ("new", "b")]
        await register(node, instance(name, "a", port=1), instance(name, "c"))
        assert picture.take(await session.receive()) == [("change", "a"), ("new", "c")]
        await rpc(node, "replication/registry/unregister", {"instances": [instance(name, "b")]})
        assert picture.take(await session.receive()) == [("delete", "b")]
        await unregister(node, instance(name, "a"), instance(name, "c"))
        assert picture.take(await session.receive()) == [("delete", "a"), ("delete", "c")]
        await register(node, instance(name, "d"))
        assert picture.take(await session.receive()) == [("new", "d")]
        assert sorted(picture.instances) == await ids_of(node, name)


async def test_revisions_rise_by_one_over_the_end_of_a_lease(shared_node: StartNode, name: str) -> None:
    node = shared_node(QUICK)
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        for _ in range(2):
            await register(node, instance(name))
            assert picture.take(await session.receive()) == [("new", "i1")]
            assert picture.take(await session.receive()) == [("delete", "i1")]


async def test_what_changes_nothing_has_no_revision(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        await register(node, instance(name))
        await rpc(node, "registry/heartbeat", {"instances": [instance(name, url="x")]})
        await unregister(node, instance(name, "unknown"))
        await register(node, instance(name, "i2"))
        assert picture.take(await session.receive()) == [("new", "i2")]


async def test_a_subscriber_among_writers_never_has_a_gap(node: NodeProcess, name: str) -> None:
    """Subscriptions begin in the middle of changes, and each picture becomes what a question is answered with."""

    async def write(writer: int) -> None:
        for number in range(15):
            await register(node, instance(name, f"w{writer}-{number}"))
            if number % 2:
                await unregister(node, instance(name, f"w{writer}-{number - 1}"))

    async def watch() -> None:
        async with websocket(node, WATCH) as session:
            picture = Picture(await watching(session, name))
            while "last" not in picture.instances:
                picture.take(await session.receive())
            assert sorted(picture.instances) == await ids_of(node, name)

    async with trio.open_nursery() as watchers:
        async with trio.open_nursery() as writers:
            for number in range(4):
                writers.start_soon(write, number)
                watchers.start_soon(watch)
        await register(node, instance(name, "last"))


# Resuming


async def test_who_comes_back_gets_what_was_missed(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"))
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
    await register(node, instance(name, "b"))
    await register(node, instance(name, "a", port=1), instance(name, "c"))
    await unregister(node, instance(name, "b"))
    async with websocket(node, WATCH) as session:
        missed = picture.resume(await watching(session, name, since=picture.revision))
        assert missed == [("new", "b"), ("change", "a"), ("new", "c"), ("delete", "b")]
        assert sorted(picture.instances) == ["a", "c"]
        await unregister(node, instance(name, "c"))
        assert picture.take(await session.receive()) == [("delete", "c")]


async def test_who_missed_nothing_gets_nothing(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        answer = await watching(session, name, since=picture.revision)
        assert (answer["revision"], answer["changes"]) == (picture.revision, [])
        assert "service" not in answer


async def test_every_revision_that_was_missed_can_be_counted(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"))
    async with websocket(node, WATCH) as session:
        revision = (await watching(session, name))["revision"]
        for letter in "bcd":
            await register(node, instance(name, letter))
            await session.receive()
        answer = await watching(session, name, since=revision)
    assert [step["revision"] for step in answer["missed"]] == [revision + 1, revision + 2, revision + 3]


@pytest.mark.parametrize("since", [0, 1, -1, 2**53, "later"])
async def test_who_comes_from_a_revision_that_nobody_knows_gets_a_snapshot(
    node: NodeProcess, name: str, since: int | str
) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        newest = (await watching(session, name))["revision"]
        answer = await watching(session, name, since=newest + 5 if isinstance(since, str) else since)
        assert answer["service"]["instances"] == [instance(name)]


async def test_resuming_is_not_confused_by_other_services(node: NodeProcess, name: str) -> None:
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
    for number in range(20):
        await register(node, instance(f"{name}.other", f"i{number}"))
    await register(node, instance(name, "i2"))
    async with websocket(node, WATCH) as session:
        assert picture.resume(await watching(session, name, since=picture.revision)) == [("new", "i2")]


# All services


async def test_a_star_subscribes_to_all_services_without_a_snapshot(node: NodeProcess, name: str) -> None:
    await register(node, instance(f"{name}.old"))
    async with websocket(node, WATCH) as session:
        answer = await watching(session, "*")
        assert "service" not in answer
        assert answer["serviceId"] == "*"
        await register(node, instance(f"{name}.a"))
        await register(node, instance(f"{name}.b"))
        await unregister(node, instance(f"{name}.old"))
        heard = [await session.receive() for _ in range(3)]
        assert [one["serviceId"] for one in heard] == [f"{name}.a", f"{name}.b", f"{name}.old"]
        await session.send({"type": "unsubscribe", "serviceId": "*"})
        assert (await session.receive())["type"] == "unsubscribed"
        await register(node, instance(f"{name}.c"))
        assert (await session.ask({"type": "ping"}))["type"] == "pong"


async def test_a_service_that_is_watched_twice_over_is_told_once(node: NodeProcess, name: str) -> None:
    async with websocket(node, WATCH) as session:
        await watching(session, "*")
        picture = Picture(await watching(session, name))
        await register(node, instance(name))
        assert picture.take(await session.receive()) == [("new", "i1")]
        assert (await session.ask({"type": "ping"}))["type"] == "pong"


# What else is said


async def test_a_ping_is_answered(node: NodeProcess) -> None:
    async with websocket(node, WATCH) as session:
        assert await session.ask({"type": "ping"}) == {"type": "pong"}


async def test_after_unsubscribing_nothing_is_heard(node: NodeProcess, name: str) -> None:
    async with websocket(node, WATCH) as session:
        await watching(session, name)
        picture = Picture(await watching(session, f"{name}.other"))
        answer = await session.ask({"type": "unsubscribe", "serviceId": name})
        assert answer == Including({"type": "unsubscribed", "serviceId": name})
        await register(node, instance(name))
        await register(node, instance(f"{name}.other"))
        assert picture.take(await session.receive()) == [("new", "i1")]


async def test_unsubscribing_from_what_was_never_subscribed_to_is_no_error(node: NodeProcess, name: str) -> None:
    async with websocket(node, WATCH) as session:
        assert (await session.ask({"type": "unsubscribe", "serviceId": name}))["type"] == "unsubscribed"


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("garbage", "JSON"),
        ("", "JSON"),
        ("null", "null"),
        ("[]", "object"),
        ("{}", "type"),
        ('{"type":"dance"}', "dance"),
        ('{"type":"subscribe"}', "serviceId"),
        ('{"type":"subscribe","serviceId":"  "}', "serviceId"),
        ('{"type":"unsubscribe"}', "serviceId"),
        ('{"type":"subscribe","serviceId":[]}', "serviceId"),
        ('{"type":"subscribe","serviceId":"x","since":"soon"}', "since"),
    ],
)
async def test_an_error_is_explained_and_keeps_the_connection_open(
    node: NodeProcess, name: str, message: str, hint: str
) -> None:
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        answer = await session.ask(message)
        assert answer == {"type": "error", "message": Text(f"(?s).*{hint}.*")}
        await register(node, instance(name))
        assert picture.take(await session.receive()) == [("new", "i1")]


async def test_what_an_operator_does_is_one_step_like_any_other(node: NodeProcess, name: str) -> None:
    await register(node, instance(name, "a"), instance(name, "b"))
    zone = {"regionId": REGION, "serviceId": name, "zoneId": "zone1"}
    key = {"regionId": REGION, "serviceId": name, "instanceId": "a"}
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
        body = {**OPERATOR, "instanceKey": key, "operationComplete": False}
        await post(node, "/api/management/operate-instance.json", body)
        assert picture.take(await session.receive()) == [("delete", "a")]
        operations = [{"zoneKey": zone, "operations": ["pull-out"]}]
        body = {**OPERATOR, "zoneOperationsList": operations, "operationComplete": False}
        await post(node, "/api/management/zone/operate-zone-operations.json", body)
        picture.take(await session.receive())
        assert sorted(picture.instances) == await ids_of(node, name) == []


# Those who are too slow


STEP_BYTES = 480_000


async def swell(node: NodeProcess, service_id: str, step: int) -> None:
    """Change a service: each step is a push of more than STEP_BYTES."""
    large = {"k": f"{step} " + "v" * 12_000}
    await register(node, *(instance(service_id, f"i{number}", metadata=large) for number in range(40)))


async def test_a_subscriber_that_does_not_keep_up_is_closed_and_told_why(shared_node: StartNode, name: str) -> None:
    """With 1013 if it reads on in time, cut off if not. The others hear everything, and nothing piles up."""
    node = shared_node(UNLIMITED)
    async with connected(node, buffer_bytes=4096) as slow, websocket(node, WATCH) as other:
        await shake_hands(slow, WATCH)
        await slow.send(text_frame({"type": "subscribe", "serviceId": name}))
        picture = Picture(await watching(other, name))
        resident = 0
        for step in range(65):
            await swell(node, name, step)
            picture.take(await other.receive())
            if step == 35:  # the log of changes has its full size
                resident = node.resident_bytes()
        assert node.resident_bytes() - resident < 8 << 20
        received = await everything(slow)
    assert len(received) < 20 * STEP_BYTES
    cut = b"\x03\xf5" not in received[-200:]
    assert cut or received.endswith(b"\x03\xf5too slow: more than 4 changes were waiting; resume by revision")


async def everything(connection: Connection) -> bytes:
    """What was still on its way, until the node's end of the connection."""
    received = bytearray()
    with trio.fail_after(PATIENCE_S):
        try:
            while data := await connection.stream.receive_some():
                received += data
        except trio.BrokenResourceError:
            pass
    return bytes(received)


async def test_who_was_too_slow_resumes_without_a_gap(shared_node: StartNode, name: str) -> None:
    node = shared_node(UNLIMITED)
    await register(node, instance(name))
    async with websocket(node, WATCH) as session:
        picture = Picture(await watching(session, name))
    for step in range(3):
        await swell(node, name, step)
    await unregister(node, instance(name, "i7"))
    async with websocket(node, WATCH) as session:
        picture.resume(await watching(session, name, since=picture.revision))
        assert sorted(picture.instances) == await ids_of(node, name)
        assert await session.ask({"type": "ping"}) == {"type": "pong"}


async def test_a_client_that_subscribes_to_three_thousand_services_in_one_breath_is_not_too_slow(
    node: NodeProcess, name: str
) -> None:
    """It reads as fast as it is answered: more answers than its backlog holds are no reason to cut it off."""
    wishes = [text_frame({"type": "subscribe", "serviceId": f"{name}.{number}"}) for number in range(3000)]
    async with connected(node) as connection:
        await shake_hands(connection, WATCH)
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send, b"".join(wishes))
            with trio.fail_after(60):
                while received.count(b'"type":"subscribed"') < 3000:
                    data = await connection.stream.receive_some()
                    assert data, received[-200:]
                    received += data
        await register(node, instance(f"{name}.2999"))
        with trio.fail_after(PATIENCE_S):
            while b'"type":"service_change"' not in received:
                received += await connection.stream.receive_some()


async def test_no_service_is_called_like_all_of_them(node: NodeProcess) -> None:
    """Whoever subscribes to `*` hears of everything: a service of that id could not be told from it."""
    star = instance("*")
    body = {"instances": [star]}
    for ask in (rpc, rest):
        answer = await ask(node, "registry/register", body)
        (failure,) = answer["failedInstances"]
        assert failure["errorCode"] == "bad-request"
        assert "means all services" in failure["errorMessage"]
    for call in ("register", "heartbeat"):
        answer = await rpc(node, f"replication/registry/{call}", body)
        assert [failure["errorCode"] for failure in answer["failedInstances"]] == ["bad-request"]
    group = {"serviceId": "*", "regionId": REGION, "zoneId": ZONE, "name": "g", "groupType": "physical"}
    made = await ask_once(node, "POST", "/api/routing/groups", encoded(group))
    assert (made.status, "means all services" in made.message) == (400, True)
    assert not await ids_of(node, "*")
