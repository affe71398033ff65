"""What a conversation keeps: one question with its answer so far, and what was counted."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import trio

from .frames import Answer, Audits, Differing, Done, Reply, Versions

LAG_SAMPLES: Final = 256


@dataclass(slots=True)
class LinkStatistics:
    """Counted since the conversation began."""

    frames_sent: dict[str, int] = field(default_factory=dict[str, int])
    frames_received: dict[str, int] = field(default_factory=dict[str, int])
    bytes_sent: int = 0
    bytes_received: int = 0
    rows_absorbed: int = 0
    """Rows of the peer that changed something here."""
    rows_refused: int = 0
    """Rows of the peer that cannot be what they say."""
    renewals_received: int = 0
    wanted: int = 0
    """Keys asked for because a renewal named something unknown."""
    unknown_frames: int = 0
    round_trip_s: float = 0.0
    lag_ms: deque[int] = field(default_factory=lambda: deque[int](maxlen=LAG_SAMPLES))
    """Of the last frames of news: from when it happened at its origin to when it was applied here."""

    def add(self, other: "LinkStatistics") -> None:
        """Count what another link counted, too."""
        for mine, theirs in ((self.frames_sent, other.frames_sent), (self.frames_received, other.frames_received)):
            for kind, count in theirs.items():
                mine[kind] = mine.get(kind, 0) + count
        self.bytes_sent += other.bytes_sent
        self.bytes_received += other.bytes_received
        self.rows_absorbed += other.rows_absorbed
        self.rows_refused += other.rows_refused
        self.renewals_received += other.renewals_received
        self.wanted += other.wanted
        self.unknown_frames += other.unknown_frames

    def sent(self, kind: str, size: int) -> None:
        self.frames_sent[kind] = self.frames_sent.get(kind, 0) + 1
        self.bytes_sent += size

    def received(self, kind: str, size: int) -> None:
        self.frames_received[kind] = self.frames_received.get(kind, 0) + 1
        self.bytes_received += size


class Exchange:
    """A question to the peer and the answers that came so far."""

    __slots__ = ("_deadline", "_done", "_silence_s", "keys", "lost", "parts", "request", "rows")

    def __init__(self, request: int, silence_s: float) -> None:
        self.request = request
        self.parts: list[Differing | Versions] = []
        """What is needed afterwards; rows were applied when they came, and are not kept."""
        self.keys: list[str] = []
        """Of the rows that came."""
        self.rows = 0
        self.lost = False
        self._silence_s = silence_s
        self._deadline: trio.CancelScope | None = None
        self._done = trio.Event()

    def add(self, part: Reply, *, last: bool) -> None:
        """Part of the answer has come, and been applied."""
        match part:
            case Answer(keys=keys):
                self.keys += keys
            case Audits(rows=rows):
                self.rows += len(rows)
            case Differing() | Versions():
                self.parts.append(part)
            case Done():
                pass
        if last:
            self._done.set()
        elif self._deadline is not None:
            self._deadline.deadline = trio.current_time() + self._silence_s

    def fail(self) -> None:
        self.lost = True
        self._done.set()

    async def wait(self) -> bool:
        """Wait for the last part. False when none came for too long."""
        with trio.move_on_after(self._silence_s) as self._deadline:
            await self._done.wait()
        return not self._deadline.cancelled_caught
