"""What nodes say to each other: one class per kind of frame, with its limits. See docs/reference/peer-protocol.md.

A conversation
    challenge  ←            the one who was dialled asks for a proof of the secret
    hello      →            the dialler introduces itself, and proves
    welcome | refuse ←      so does the other, or says why not
    then both ways, whoever dialled:
    ping, pong, status      the word of a node about itself, every second and when it changes
    states, renewals, ack   news of this node's own clients, acknowledged in order
    want, answer            "send me these keys"
    digests, differing, inspect, versions, offer, done      anti-entropy, driven by the one who asks
    ask_audits, audits, offer_audits                        the audit log, by vector
    goodbye                 I am leaving: do not wait for me
"""

from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct

MAJOR: Final = 1
"""Nodes of another major version do not talk."""
MINOR: Final = 0
"""Newer minor versions may send kinds and fields that older ones ignore."""

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""A longer frame is a protocol error and ends the link."""
HELLO_BYTES_MAX: Final = 8 * 1024
"""The same, for somebody who has not yet proved who he is."""
KEYS_MAX: Final = 8192
"""Keys in one frame. More news leaves as several frames."""
VERSION_BITS: Final = 96

Name = Annotated[str, Meta(max_length=512)]
Key = Annotated[str, Meta(max_length=4096)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""What is stored must fit into an integer of SQLite."""
Large = Annotated[int, Meta(ge=0)]
"""Versions and digests have more bits."""
Keys = Annotated[list[Key], Meta(max_length=KEYS_MAX)]
Numbers = Annotated[list[Natural], Meta(max_length=KEYS_MAX)]
VersionNumbers = Annotated[list[Large], Meta(max_length=KEYS_MAX)]
Values = Annotated[list[bytes | None], Meta(max_length=KEYS_MAX)]
Digest256 = Annotated[list[Large], Meta(min_length=256, max_length=256)]
Buckets = Annotated[list[Annotated[int, Meta(ge=0, le=255)]], Meta(max_length=256)]
Secretive = Annotated[bytes, Meta(max_length=64)]
AUDITS_MAX: Final = 512
"""Rows of the audit log in one frame."""
AuditRows = Annotated[list[tuple[Natural, Natural, Natural, bytes]], Meta(max_length=AUDITS_MAX)]


class Word(Struct, frozen=True):
    """What a node says of itself."""

    status: Name
    now_ms: Natural
    can_register: bool | None = None
    can_discover: bool | None = None
    allow_register: bool = True
    """Clients of other zones may register here."""
    allow_discover: bool = True
    live: Natural = 0
    digests: dict[Name, Large] = {}
    """By table: one number for everything it holds. Equal numbers mean that two nodes have converged."""
    memory_ms: dict[Name, Natural] = {}
    """By table: how far back the node's memory reaches without a gap."""


class Frame(Struct, frozen=True, tag_field="kind"):
    """Anything that travels on a link."""

    kind: ClassVar[str]


class Challenge(Frame, frozen=True, tag="challenge"):
    nonce: Secretive
    major: Natural
    minor: Natural


class Introduction(Frame, frozen=True):
    """Who speaks, and the proof that he knows the secret."""

    cluster: Name
    region: Name
    zone: Name
    node_id: Name
    url: Name
    incarnation: Natural
    major: Natural
    minor: Natural
    nonce: Secretive
    proof: Secretive
    word: Word


class Hello(Introduction, frozen=True, tag="hello"):
    pass


class Welcome(Introduction, frozen=True, tag="welcome"):
    pass


class Refuse(Frame, frozen=True, tag="refuse"):
    code: Name
    reason: Name
    status: Name = ""
    """Of the node that refuses: one that is up knows of a cluster to which the other does not belong."""


class Status(Frame, frozen=True, tag="status"):
    word: Word


class Ping(Frame, frozen=True, tag="ping"):
    number: Natural
    word: Word


class Pong(Frame, frozen=True, tag="pong"):
    number: Natural
    word: Word


class Rows(Frame, frozen=True):
    """Rows of a table, column by column: key, version, value (none for a tombstone), age, who heard of it."""

    table: Name
    keys: Keys
    versions: VersionNumbers
    values: Values
    ages: Numbers
    origins: Numbers


class States(Rows, frozen=True, tag="states", kw_only=True):
    """News. `stamp_ms`: wall time at which the oldest of it happened, at its origin."""

    sequence: Natural
    stamp_ms: Natural


class Answer(Rows, frozen=True, tag="answer", kw_only=True):
    """What was wanted. `request` 0 answers a want that nobody waits for."""

    request: Natural
    last: bool


class Offer(Rows, frozen=True, tag="offer", kw_only=True):
    """Anti-entropy found that you lack these. Answered by done."""

    request: Natural


class Renewals(Frame, frozen=True, tag="renewals"):
    """Heartbeats of the clients of the sender."""

    keys: Keys
    versions: VersionNumbers
    ages: Numbers
    sequence: Natural
    stamp_ms: Natural


class Ack(Frame, frozen=True, tag="ack"):
    """Everything up to this sequence has been taken over."""

    sequence: Natural


class Want(Frame, frozen=True, tag="want"):
    """`bare`: only versions, ages and origins are wanted; the value of what lives may be left empty."""

    table: Name
    keys: Keys
    request: Natural
    bare: bool = False


class Digests(Frame, frozen=True, tag="digests"):
    table: Name
    digests: Digest256
    request: Natural


class Differing(Frame, frozen=True, tag="differing"):
    table: Name
    buckets: Buckets
    count: Natural
    """How many rows the table has at the sender."""
    request: Natural


class Inspect(Frame, frozen=True, tag="inspect"):
    table: Name
    buckets: Buckets
    request: Natural


class Versions(Frame, frozen=True, tag="versions"):
    keys: Keys
    versions: VersionNumbers
    request: Natural
    last: bool


class Done(Frame, frozen=True, tag="done"):
    request: Natural


class AskAudits(Frame, frozen=True, tag="ask_audits"):
    vector: dict[Natural, Natural]
    request: Natural


class Audits(Frame, frozen=True, tag="audits"):
    """Rows of the audit log that were asked for, and how much the sender has."""

    rows: AuditRows
    vector: dict[Natural, Natural]
    request: Natural
    last: bool


class OfferAudits(Frame, frozen=True, tag="offer_audits"):
    """Rows of the audit log that you lack. Answered by done."""

    rows: AuditRows
    request: Natural


class Goodbye(Frame, frozen=True, tag="goodbye"):
    reason: Name


Reply = Answer | Differing | Versions | Done | Audits
"""Frames that carry the number of the question they answer."""

KINDS: Final[tuple[type[Frame], ...]] = (
    Challenge,
    Hello,
    Welcome,
    Refuse,
    Status,
    Ping,
    Pong,
    States,
    Answer,
    Offer,
    Renewals,
    Ack,
    Want,
    Digests,
    Differing,
    Inspect,
    Versions,
    Done,
    AskAudits,
    Audits,
    OfferAudits,
    Goodbye,
)
