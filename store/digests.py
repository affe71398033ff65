"""Digests: 256 numbers that say whether two nodes hold the same state, kept up to date with each change."""

from hashlib import blake2b
from typing import Final

BUCKETS: Final = 256
_MASK: Final = (1 << 64) - 1


class Digests:
    """One 64-bit number per bucket: the sum of the hashes of all (key, version) in it, whatever their order."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums = [0] * BUCKETS

    def replace(self, key: str, old_version: int, new_version: int) -> None:
        """A key moved from one version to another; 0 means "not held"."""
        bucket = bucket_of(key)
        total = self._sums[bucket]
        if old_version:
            total -= fingerprint(key, old_version)
        if new_version:
            total += fingerprint(key, new_version)
        self._sums[bucket] = total & _MASK

    def values(self) -> list[int]:
        return list(self._sums)


def bucket_of(key: str) -> int:
    """Which bucket a key belongs to: the same on every node."""
    return blake2b(key.encode(), digest_size=1).digest()[0]


def fingerprint(key: str, version: int) -> int:
    """64 bits that stand for a key at a version."""
    return int.from_bytes(blake2b(b"%d\n%b" % (version, key.encode()), digest_size=8).digest(), "big")
