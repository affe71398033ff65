"""The first frames on a link: who are you, do you know the secret, and do we belong together.

A secret never travels. Each side makes a nonce, and proves by a keyed hash over the other's nonce and over all it
says of itself that it knows the secret; an eavesdropper can neither learn it nor use what he heard a second time.

While secrets are changed, nodes know several. The dialler proves the first of its own; the listener accepts any that it
knows, and answers with the same one. So two nodes are linked as long as each knows the first of the other.
"""

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import cbor2

from artemis.store.versions import origin_of

from .clock import Clock
from .frames import HELLO_BYTES_MAX, MAJOR, MINOR, Challenge, Frame, Hello, Introduction, Refuse, Welcome, Word
from .framing import BadFrame, decode, encode, kind_of
from .ports import Link, LinkLost

logger = logging.getLogger(__name__)

NONCE_BYTES = 16
ITSELF = "itself"
"""Code of the refusal of a node that was dialled by itself."""
REASON_CHARACTERS = 512
"""Of a refusal, on the wire."""

Entropy = Callable[[int], bytes]
"""So many random bytes: `secrets.token_bytes`, or those of a seeded generator."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is. The incarnation rises with each start."""

    cluster: str
    region: str
    zone: str
    node_id: str
    url: str
    incarnation: int

    @property
    def origin(self) -> int:
        return origin_of(self.node_id)

    def __str__(self) -> str:
        return f"{self.node_id} ({self.url})"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What a handshake found out about the other side."""

    identity: Identity
    word: Word
    minor: int
    drift_ms: int
    """How far ahead of ours the other clock is."""


class Refused(LinkLost):
    """One side does not want to talk to the other; trying again is of no use until somebody changes something."""

    def __init__(self, code: str, reason: str, *, by_peer: bool = False, status: str = "") -> None:
        """`status` is what the other node says of itself; empty when it says nothing."""
        super().__init__(f"{'refused by the peer: ' if by_peer else ''}{reason} [{code}]")
        self.code = code
        self.reason = reason
        self.by_peer = by_peer
        self.status = status


Claim = Callable[[Identity, str], Awaitable[Refused | None]]
"""Whether somebody who calls from this address may say of himself what he says."""

Objection = Callable[[Identity, Word], Refused | None]
"""Whether somebody whose proof is good is nevertheless not welcome now."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """How this node introduces itself and whom it accepts."""

    me: Identity
    secrets: Sequence[str]
    """The first is the one to prove; any is accepted."""
    clock: Clock
    entropy: Entropy
    word: Callable[[], Word]
    objection: Objection
    claim: Claim
    drift_max_s: float

    async def greet(self, link: Link) -> Acquaintance:
        """Introduce this node over a link that it dialled. Raises LinkLost, Refused or BadFrame."""
        challenge = await _receive(link)
        if not isinstance(challenge, Challenge):
            raise BadFrame("expected a challenge")
        if challenge.major != MAJOR:
            raise Refused("incompatible-version", f"we speak protocol {MAJOR}, they {challenge.major}")
        nonce, asked_ms = self.entropy(NONCE_BYTES), self.clock.now_ms()
        await link.send(encode(self._introduce(Hello, nonce, challenge.nonce, self._keys[0])))
        match await _receive(link):
            case Welcome() as welcome:
                return self._accept(welcome, nonce, asked_ms)[0]
            case Refuse(code=code, reason=reason, status=status):
                raise Refused(code, reason, by_peer=True, status=status)
            case frame:
                raise BadFrame(f"expected to be welcome or refused, got {kind_of(frame)}")

    async def admit(self, link: Link, peer_ip: str) -> Acquaintance:
        """Let somebody introduce himself over a link that we accepted. Raises LinkLost, Refused or BadFrame."""
        nonce, asked_ms = self.entropy(NONCE_BYTES), self.clock.now_ms()
        await link.send(encode(Challenge(nonce=nonce, major=MAJOR, minor=MINOR)))
        hello = await _receive(link)
        if not isinstance(hello, Hello):
            raise BadFrame("expected a hello")
        try:
            acquaintance, secret = self._accept(hello, nonce, asked_ms, peer_ip=peer_ip)
            refused = await self.claim(acquaintance.identity, peer_ip)
            if refused is not None:
                raise refused
        except Refused as refused:
            await link.send(encode(Refuse(refused.code, refused.reason[:REASON_CHARACTERS], self.word().status)))
            raise
        await link.send(encode(self._introduce(Welcome, nonce, hello.nonce, secret)))
        return acquaintance

    @property
    def _keys(self) -> Sequence[str]:
        """Without a secret, nodes of one machine prove that they know none."""
        return self.secrets or ("",)

    def _introduce(
        self, cls: type[Hello] | type[Welcome], nonce: bytes, challenge: bytes, secret: str
    ) -> Hello | Welcome:
        me = self.me
        return cls(
            cluster=me.cluster,
            region=me.region,
            zone=me.zone,
            node_id=me.node_id,
            url=me.url,
            incarnation=me.incarnation,
            major=MAJOR,
            minor=MINOR,
            nonce=nonce,
            proof=_proof(secret, kind_of(cls), challenge, me),
            word=self.word(),
        )

    def _accept(
        self, frame: Introduction, challenge: bytes, asked_ms: int, *, peer_ip: str | None = None
    ) -> tuple[Acquaintance, str]:
        """Check an introduction. Returns also the secret that it proved. Raises Refused."""
        if peer_ip is not None and not self.secrets and not is_loopback(peer_ip):
            raise Refused("not-loopback", "no cluster secret is configured here: peers from this machine only")
        them = Identity(frame.cluster, frame.region, frame.zone, frame.node_id, frame.url, frame.incarnation)
        if frame.major != MAJOR:
            raise Refused("incompatible-version", f"protocol {frame.major} and protocol {MAJOR} do not mix")
        # All are tried: how long it takes does not tell which one it was.
        proven = [
            secret
            for secret in self._keys
            if hmac.compare_digest(frame.proof, _proof(secret, kind_of(frame), challenge, them))
        ]
        if not proven:
            text = "the cluster secret is not the same on both nodes"
            raise Refused("wrong-secret", text, status=frame.word.status)
        drift_ms = frame.word.now_ms - (asked_ms + self.clock.now_ms()) // 2
        refused = self._mismatch(them, drift_ms) or self.objection(them, frame.word)
        if refused is not None:
            refused.status = frame.word.status
            raise refused
        return Acquaintance(them, frame.word, frame.minor, drift_ms), proven[0]

    def _mismatch(self, them: Identity, drift_ms: int) -> Refused | None:
        me = self.me
        if them.cluster != me.cluster:
            return Refused("other-cluster", f"{them} belongs to cluster {them.cluster}, {me} to {me.cluster}")
        if them.region.lower() != me.region.lower():
            return Refused("other-region", f"{them} serves region {them.region}, {me} serves {me.region}")
        if them == me:
            text = f"it leads to this node itself, whose url is {me.url}; set node.url to what the list says"
            return Refused(ITSELF, text)
        if them.node_id == me.node_id:
            text = f"{them.url} and {me.url} are both called {me.node_id}; give one of them another node.id"
            return Refused("same-node-id", text)
        if them.origin == me.origin:
            text = f"the names {them.node_id} and {me.node_id} hash alike; give one of them another node.id"
            return Refused("same-origin", text)
        if abs(drift_ms) > self.drift_max_s * 1000:
            text = (
                f"the clocks of {them} and {me} are {abs(drift_ms) / 1000:.1f} s apart, more than {self.drift_max_s} s"
            )
            return Refused("clock-drift", text)
        return None


def is_loopback(ip: str) -> bool:
    """Whether an address is of this machine itself. Something that is no address is not."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _proof(secret: str, role: str, challenge: bytes, who: Identity) -> bytes:
    facts = [role, challenge, who.cluster, who.region, who.zone, who.node_id, who.url, who.incarnation]
    return hmac.digest(secret.encode(), cbor2.dumps(facts), "sha256")


async def _receive(link: Link) -> Frame:
    frame = decode(await link.receive(), bytes_max=HELLO_BYTES_MAX)
    if frame is None:
        raise BadFrame("an unknown kind of frame before the introduction")
    return frame
