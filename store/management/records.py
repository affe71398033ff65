"""Records: what operators decided, one per natural key, in the form in which it is stored and travels between nodes.

A record is `kind`, `key`, `version` and a JSON value; a record without a value is a tombstone. The highest version of a
key wins on every node. Ids that the APIs show are derived from kind and key, so two sides of a partition that create
one thing give it one id. An audit says who changed what; audits are appended and never rewritten.
"""

from hashlib import blake2b
from typing import Final

import msgspec

ID_BITS: Final = 53
"""Ids are positive integers below 2^53, which JavaScript can hold."""


class Record(msgspec.Struct, frozen=True):
    """One decision, as it is stored and replicated."""

    kind: str
    key: str
    """Natural key: lower-cased parts joined by a newline, which no part contains."""
    version: int
    value: bytes | None
    """JSON of the kind's value; None for a tombstone."""

    @property
    def full_key(self) -> str:
        """Kind and key in one text: what digests and anti-entropy work with."""
        return f"{self.kind}\n{self.key}"


class Audit(msgspec.Struct, frozen=True):
    """One entry of the audit log. `origin` and `sequence` together name it for ever."""

    origin: int
    """The node that took the write, as in versions."""
    sequence: int
    """Counts the audits of that origin, from 1, without gaps."""
    time_ms: int
    payload: bytes
    """JSON of an AuditEntry."""

    @property
    def audit_id(self) -> int:
        """The id under which the APIs show this entry."""
        return id_of("audit", f"{self.origin}\n{self.sequence}")


def key_of(*parts: str) -> str:
    """The natural key made of these parts, in any spelling."""
    return "\n".join(parts).lower()


def id_of(kind: str, key: str) -> int:
    """The id of a record: the same on every node, positive and below 2^53."""
    digest = blake2b(f"{kind}\n{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - ID_BITS)) or 1


def split_full_key(full_key: str) -> tuple[str, str]:
    """Kind and key of a full key."""
    kind, _, key = full_key.partition("\n")
    return kind, key
