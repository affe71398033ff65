"""What a peer may send, over real sockets: rows that cannot be, rows of a newer version, and names of others."""

import json
import random
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio

from artemis.actors.cluster_settings import ClusterSettings, LinkSettings
from artemis.actors.frames import Ack, Renewals, States, Want, Word
from artemis.actors.framing import decode, encode
from artemis.actors.handshake import Handshake, Identity, Refused
from artemis.actors.ports import Link
from artemis.actors.supervisor import open_supervisor
from artemis.transport.peers.links import WebSocketDialer, peer_route
from artemis.transport.peers.whereabouts import is_at
from artemis.transport.server import open_server

from ...actors.cluster_world import Node, SkewedClock
from ...pace import PATIENCE_S

SECRET = "a secret of the tests"


def free_url() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


@asynccontextmanager
async def serving(url: str, *, others: tuple[str, ...] = ()) -> AsyncGenerator[Node, None]:
    """A node that others can dial."""
    settings = ClusterSettings(
        cluster="test",
        region="lab",
        zone="zone1",
        node_id=url.removeprefix("http://"),
        url=url,
        nodes={"zone1": [url, *others]},
        secrets=(SECRET,),
        links=LinkSettings(ping_s=0.1, anti_entropy_s=0.5),
    )
    node = Node(
        url, settings, dialer=WebSocketDialer(), seed=random.randrange(1 << 30), clock=SkewedClock(), is_at=is_at
    )
    port = int(url.rpartition(":")[2])
    with trio.fail_after(PATIENCE_S):
        async with open_supervisor() as supervisor, open_server([], sockets=[peer_route(node.cluster)], port=port):
            node.cluster.start(supervisor)
            yield node


class Peer:
    """A node that we play by hand."""

    def __init__(self, node_id: str = "mallory", url: str = "http://127.0.0.1:9", *, clock: SkewedClock) -> None:
        self.me = Identity("test", "lab", "zone1", node_id, url, 1)
        self.clock = clock
        self._sequence = 0

    def word(self) -> Word:
        return Word(status="up", now_ms=self.clock.now_ms())

    @asynccontextmanager
    async def linked(self, url: str) -> AsyncGenerator[Link, None]:
        """Dial, and be introduced. Raises Refused."""
        link = await WebSocketDialer().dial(url)
        try:
            await self.handshake().greet(link)
            yield link
        finally:
            with trio.CancelScope(shield=True):
                await link.aclose()

    def handshake(self) -> Handshake:
        return Handshake(
            self.me,
            (SECRET,),
            clock=self.clock,
            entropy=random.randbytes,
            word=self.word,
            objection=lambda them, word: None,
            claim=nobody_objects,
            drift_max_s=60.0,
        )

    async def tell(self, link: Link, table: str, *rows: tuple[str, int, bytes | None]) -> None:
        """Send rows, and return when they were acknowledged."""
        self._sequence += 1
        states = States(
            table=table,
            keys=[key for key, _, _ in rows],
            versions=[version for _, version, _ in rows],
            values=[value for _, _, value in rows],
            ages=[0] * len(rows),
            origins=[7] * len(rows),
            sequence=self._sequence,
            stamp_ms=self.clock.now_ms(),
        )
        await link.send(encode(states))
        await self.hears(link, Ack(self._sequence))

    async def hears(self, link: Link, frame: object) -> None:
        while decode(await link.receive()) != frame:
            pass


async def nobody_objects(them: Identity, address: str) -> None:
    """Everybody is who he says."""


def row(node: Node, key: str, **fields: Any) -> tuple[str, int, bytes]:
    """An instance as it travels."""
    service, _, name = key.partition("\n")
    value = {"regionId": "lab", "zoneId": "z", "serviceId": service, "instanceId": name, "url": "http://x"}
    value |= {"ip": "10.0.0.1", "status": "up", **fields}
    return key, node.registry.clock.next(node.clock.now_ms()), json.dumps(value).encode()


BAD_KEYS = {
    "of another instance": ("svc\ni2", {"instanceId": "i3"}),
    "of another service": ("svc\ni2", {"serviceId": "other"}),
    "in upper case": ("Svc\ni2", {}),
    "of another region": ("svc\ni2", {"regionId": "mars"}),
    "without an instance": ("svc\n", {}),
    "without a line end": ("svc", {"instanceId": "svc"}),
    "of all services": ("*\ni2", {}),
    "with control characters": ("svc\ni\x072", {}),
    "too long": ("svc\n" + "i" * 1001, {}),
    "with a port that is none": ("svc\ni2", {"port": 1 << 40}),
    "with a number for an id": ("svc\ni2", {"zoneId": 3}),
}


@pytest.mark.parametrize(("key", "fields"), BAD_KEYS.values(), ids=BAD_KEYS)
async def test_a_row_that_cannot_be_costs_itself_and_nothing_else(
    key: str, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(free_url()) as node:
        peer = Peer(clock=node.clock)
        async with peer.linked(node.settings.url) as link:
            await peer.tell(link, "instances", row(node, "svc\ni1"), row(node, key, **fields), row(node, "svc\ni9"))
            assert node.names("svc") == ["i1", "i9"]
            assert node.registry.entry_count == 2
            (conversation,) = node.cluster.conversations()
            assert conversation.statistics.rows_refused == 1
            assert "refused 1 rows of mallory" in caplog.text
            await peer.tell(link, "instances", row(node, "svc\ni4"))
            assert node.names("svc") == ["i1", "i4", "i9"]


@pytest.mark.parametrize("key", ["Svc\ni1", "svc", "*\ni1", "svc\n"])
async def test_a_tombstone_that_cannot_be_is_refused(key: str) -> None:
    async with serving(free_url()) as node:
        peer = Peer(clock=node.clock)
        async with peer.linked(node.settings.url) as link:
            await peer.tell(link, "instances", (key, row(node, "svc\ni")[1], None))
            assert node.registry.entry_count == 0


def operation(**fields: Any) -> bytes:
    value = {"regionId": "lab", "serviceId": "svc", "instanceId": "i1", "operation": "pull-out", **fields}
    return json.dumps(value).encode()


BAD_RECORDS = {
    "of another key": ("instance-operation\nlab\nsvc\ni2\npull-out", operation()),
    "in upper case": ("instance-operation\nlab\nSVC\ni1\npull-out", operation(serviceId="SVC")),
    "a tombstone in upper case": ("instance-operation\nlab\nSVC\ni1\npull-out", None),
    "of an unknown kind": ("nonsense\nlab\nsvc\ni1\npull-out", operation()),
    "without a kind": ("", None),
    "that is no JSON": ("instance-operation\nlab\nsvc\ni1\npull-out", b"{"),
}


@pytest.mark.parametrize(("key", "value"), BAD_RECORDS.values(), ids=BAD_RECORDS)
async def test_a_record_that_cannot_be_costs_itself_and_nothing_else(key: str, value: bytes | None) -> None:
    async with serving(free_url()) as node:
        peer = Peer(clock=node.clock)
        async with peer.linked(node.settings.url) as link:
            good = "instance-operation\nlab\nsvc\ni1\npull-in"
            version = node.registry.clock.next(node.clock.now_ms())
            await peer.tell(link, "records", (key, version, value), (good, version, operation(operation="pull-in")))
            assert [record.full_key for record in node.management.tables.records()] == [good]


async def test_a_refused_row_is_not_asked_for_each_time_it_is_renewed() -> None:
    async with serving(free_url()) as node:
        peer = Peer(clock=node.clock)
        async with peer.linked(node.settings.url) as link:
            key, version, json_ = row(node, "svc\ni1", regionId="mars")
            await peer.tell(link, "instances", (key, version, json_))
            unknown = row(node, "svc\ni2")[1]
            renewals = Renewals([key, "svc\ni2"], [version, unknown], [0, 0], sequence=2, stamp_ms=node.clock.now_ms())
            await link.send(encode(renewals))
            await peer.hears(link, Want("instances", ["svc\ni2"], request=0))


async def test_fields_of_a_newer_version_survive_and_are_passed_on() -> None:
    """Both as an instance and as a record; a restart is the same table restored."""
    urls = [free_url(), free_url()]
    async with serving(urls[0], others=(urls[1],)) as first:
        peer = Peer(clock=first.clock)
        async with peer.linked(urls[0]) as link:
            newer = row(first, "svc\ni1", mood={"since": [1, 2]})
            key = "instance-operation\nlab\nsvc\ni2\npull-out"
            record = (key, first.registry.clock.next(first.clock.now_ms()), operation(instanceId="i2", mood="gloomy"))
            await peer.tell(link, "instances", newer)
            await peer.tell(link, "records", record)
            assert first.names("svc") == ["i1"]
            async with serving(urls[1], others=(urls[0],)) as second:
                await second.cluster.up.wait()
                while not (second.names("svc") and second.management.tables.record(key)):  # noqa: ASYNC110
                    await trio.sleep(0.01)
                entry = second.registry.find("svc", "i1")
                held = second.management.tables.record(key)
                assert entry is not None
                assert held is not None
                assert (entry.json, held.value) == (newer[2], record[2])
                second.registry.restore([(*newer, 0, 0)], now_s=second.clock.now_s(), now_ms=second.clock.now_ms())


# Whose url it is


async def refusal(peer: Peer, url: str) -> str:
    """The code with which a node refuses to be called by this peer; empty when it does not."""
    with suppress_refusal() as refusals:
        async with peer.linked(url):
            pass
    assert all(refused.by_peer for refused in refusals)
    return refusals[0].code if refusals else ""


@contextmanager
def suppress_refusal() -> Generator[list[Refused], None, None]:
    refusals: list[Refused] = []
    try:
        yield refusals
    except Refused as refused:
        refusals.append(refused)


async def test_a_guest_is_let_in_under_a_url_of_its_own_machine_only() -> None:
    async with serving(free_url()) as node:
        for url, code in (
            ("http://127.0.0.1:9", ""),
            ("http://localhost:9", ""),
            ("http://192.0.2.1:8080", "not-your-url"),
            ("http://no-such-host.invalid:1", "not-your-url"),
            ("nonsense", "not-your-url"),
            (node.settings.url, "same-url"),
        ):
            assert await refusal(Peer(url=url, clock=node.clock), node.settings.url) == code, url


async def test_a_guest_has_no_url_of_a_configured_node() -> None:
    """Neither while that node is linked, nor when it has been: it answered at that url, and nobody else did."""
    urls = [free_url(), free_url()]
    async with serving(urls[0], others=(urls[1],)) as node:
        impostor = Peer(url=urls[1], clock=node.clock)
        async with serving(urls[1], others=(urls[0],)) as other:
            await other.cluster.up.wait()
            while not any(conversation.dialled for conversation in node.cluster.conversations()):  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert await refusal(impostor, urls[0]) == "same-url"
        while node.cluster.conversations():  # noqa: ASYNC110
            await trio.sleep(0.01)
        assert await refusal(impostor, urls[0]) == "not-your-url"
        itself = Peer(node_id=urls[1].removeprefix("http://"), url=urls[1], clock=node.clock)
        assert await refusal(itself, urls[0]) == ""


async def test_a_configured_node_that_was_never_reached_is_known_by_its_address() -> None:
    elsewhere = "http://192.0.2.1:8080"
    async with serving(free_url(), others=(elsewhere,)) as node:
        assert await refusal(Peer(url=elsewhere, clock=node.clock), node.settings.url) == "not-your-url"
