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
        point = _point(key)
        total = self._sums[point & 0xFF]
        if old_version:
            total -= _mix(point, old_version)
        if new_version:
            total += _mix(point, new_version)
        self._sums[point & 0xFF] = total & _MASK

    def values(self) -> list[int]:
        return list(self._sums)


def bucket_of(key: str) -> int:
    """Which bucket a key belongs to: the same on every node."""
    return _point(key) & 0xFF


def _point(key: str) -> int:
    """64 bits that stand for a key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def _mix(point: int, version: int) -> int:
    """64 bits that stand for a key at a version. Arithmetic is enough: nobody here wants to forge a digest."""
    mixed = ((point ^ version ^ version >> 64) * 0x9E3779B97F4A7C15) & _MASK
    return ((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9) & _MASK
