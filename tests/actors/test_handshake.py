"""The introduction: who may talk to whom, and what an eavesdropper gets to hear."""

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from artemis.actors.frames import MAJOR, Challenge, Word
from artemis.actors.framing import BadFrame, encode
from artemis.actors.handshake import Acquaintance, Handshake, Identity, Refused, is_loopback
from artemis.actors.ports import Link
from artemis.cluster.simulation.network import Listener, Network

from .cluster_world import SkewedClock

SECRET = "a secret of the tests"


class Tapped:
    """A link that remembers every byte."""

    def __init__(self, link: Link, heard: list[bytes]) -> None:
        self._link = link
        self._heard = heard

    async def send(self, frame: bytes, /) -> None:
        self._heard.append(frame)
        await self._link.send(frame)

    async def receive(self) -> bytes:
        return await self._link.receive()

    async def aclose(self) -> None:
        await self._link.aclose()


async def no_claim(them: Identity, address: str) -> None:
    """Everybody is who he says."""


def handshake(name: str, *, secrets: Sequence[str] = (SECRET,), skew_ms: int = 0, **fields: str) -> Handshake:
    clock = SkewedClock(skew_ms)
    me = Identity("test", "lab", "zone1", name, f"http://{name}:8080", 1)
    return Handshake(
        replace(me, **fields),  # type: ignore[arg-type]
        secrets,
        clock=clock,
        entropy=random.Random(name).randbytes,
        word=lambda: Word(status="up", now_ms=clock.now_ms()),
        objection=lambda them, word: None,
        claim=no_claim,
        drift_max_s=60.0,
    )


async def first(door: Listener) -> Link:
    """The first link that comes in."""
    async with aclosing(aiter(door)) as links:  # type: ignore[type-var]
        link, _ = await anext(links)
    return link


Outcome = Acquaintance | Refused | None


async def shake(
    dialler: Handshake, listener: Handshake, *, ip: str = "127.0.0.1", heard: list[bytes] | None = None
) -> tuple[Outcome, Outcome]:
    """Let two nodes meet. Returns what each made of the other."""
    network = Network(["a", "b"], rng=random.Random(1))
    door = network.listen("b")
    outcomes: dict[str, Outcome] = {}

    async def note(side: str, work: Callable[[], Awaitable[Acquaintance]]) -> None:
        try:
            outcomes[side] = await work()
        except Refused as refused:
            outcomes[side] = refused

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            near = Tapped(await network.dialer("a").dial("http://b:8080"), heard if heard is not None else [])
            far = Tapped(await first(door), heard if heard is not None else [])
            nursery.start_soon(note, "dialler", lambda: dialler.greet(near))
            nursery.start_soon(note, "listener", lambda: listener.admit(far, ip))
    return outcomes["dialler"], outcomes["listener"]


async def test_two_nodes_of_one_cluster_get_to_know_each_other(autojump_clock: MockClock) -> None:
    of_b, of_a = await shake(handshake("a"), handshake("b", skew_ms=1500))
    assert isinstance(of_a, Acquaintance)
    assert isinstance(of_b, Acquaintance)
    assert (of_a.identity.node_id, of_b.identity.node_id) == ("a", "b")
    assert of_b.drift_ms == pytest.approx(1500, abs=10)
    assert of_a.drift_ms == pytest.approx(-1500, abs=10)


@pytest.mark.parametrize(
    ("dialler", "listener", "code"),
    [
        (handshake("a", secrets=("another",)), handshake("b"), "wrong-secret"),
        (handshake("a", secrets=()), handshake("b"), "wrong-secret"),
        (handshake("a"), handshake("b", secrets=()), "wrong-secret"),
        (handshake("a", cluster="other"), handshake("b"), "other-cluster"),
        (handshake("a", region="other"), handshake("b"), "other-region"),
        (handshake("a"), handshake("a", url="http://other:8080"), "same-node-id"),
        (handshake("a", skew_ms=61_000), handshake("b"), "clock-drift"),
        (handshake("a", skew_ms=-61_000), handshake("b"), "clock-drift"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_who_does_not_belong_here_is_told_why(
    autojump_clock: MockClock, dialler: Handshake, listener: Handshake, code: str
) -> None:
    of_b, of_a = await shake(dialler, listener)
    assert isinstance(of_a, Refused)
    assert of_a.code == code
    assert isinstance(of_b, Refused)
    assert of_b.code == code
    assert of_b.by_peer


async def test_without_a_secret_only_this_machine_is_welcome(autojump_clock: MockClock) -> None:
    of_b, _ = await shake(handshake("a", secrets=()), handshake("b", secrets=()))
    assert isinstance(of_b, Acquaintance)
    of_b, _ = await shake(handshake("a", secrets=()), handshake("b", secrets=()), ip="10.0.0.1")
    assert isinstance(of_b, Refused)
    assert of_b.code == "not-loopback"


OLD, NEW = "the secret until today", "the secret from today on"


@pytest.mark.parametrize(
    ("near", "far"),
    [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW,)), ((NEW, OLD), (OLD, NEW))],
)
async def test_two_nodes_get_on_when_each_knows_the_first_secret_of_the_other(
    autojump_clock: MockClock, near: Sequence[str], far: Sequence[str]
) -> None:
    for ours, theirs in ((near, far), (far, near)):
        of_b, of_a = await shake(handshake("a", secrets=ours), handshake("b", secrets=theirs))
        assert isinstance(of_b, Acquaintance), (ours, theirs)
        assert isinstance(of_a, Acquaintance), (ours, theirs)


async def test_a_secret_that_only_one_of_two_nodes_proves_first_is_not_enough(autojump_clock: MockClock) -> None:
    of_b, of_a = await shake(handshake("a", secrets=(NEW, OLD)), handshake("b", secrets=(OLD,)))
    assert isinstance(of_a, Refused)
    assert (of_a.code, of_b.code if isinstance(of_b, Refused) else "") == ("wrong-secret", "wrong-secret")


async def test_the_secret_never_travels_and_no_proof_is_used_twice(autojump_clock: MockClock) -> None:
    first: list[bytes] = []
    second: list[bytes] = []
    a, b = handshake("a"), handshake("b")
    await shake(a, b, heard=first)
    await shake(a, b, heard=second)
    assert not any(SECRET.encode() in frame for frame in first + second)
    assert not set(first) & set(second)


async def test_a_recorded_hello_opens_no_door(autojump_clock: MockClock) -> None:
    heard: list[bytes] = []
    a, b = handshake("a"), handshake("b")
    await shake(a, b, heard=heard)
    hello = next(frame for frame in heard if b"hello" in frame)
    network = Network(["a", "b"], rng=random.Random(2))
    door = network.listen("b")
    link = await network.dialer("a").dial("http://b:8080")
    await link.send(hello)
    with pytest.raises(Refused, match="secret"):
        await b.admit(await first(door), "127.0.0.1")


async def test_another_major_version_is_not_talked_to(autojump_clock: MockClock) -> None:
    network = Network(["a", "b"], rng=random.Random(1))
    door = network.listen("b")
    link = await network.dialer("a").dial("http://b:8080")
    await (await first(door)).send(encode(Challenge(b"n", MAJOR + 1, 0)))
    with pytest.raises(Refused, match="incompatible-version"):
        await handshake("a").greet(link)


async def test_who_does_not_introduce_himself_is_not_listened_to(autojump_clock: MockClock) -> None:
    network = Network(["a", "b"], rng=random.Random(1))
    door = network.listen("b")
    link = await network.dialer("a").dial("http://b:8080")
    await link.send(encode(Challenge(b"n", MAJOR, 0)))
    with pytest.raises(BadFrame):
        await handshake("b").admit(await first(door), "127.0.0.1")


@pytest.mark.parametrize(
    ("ip", "expected"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("localhost", False)],
)
def test_loopback_is_a_matter_of_the_address(ip: str, expected: bool) -> None:
    assert is_loopback(ip) == expected
