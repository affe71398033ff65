"""The tables of a node as its peers see them: taking over what they send, and answering what they ask.

Whatever is long is done in slices with a checkpoint between them, so that no other task waits for more than a few
milliseconds. Slices may interleave with changes: versions decide, not the order.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import trio

from artemis.store.contacts import Absence
from artemis.store.leases import Entry
from artemis.store.versions import AHEAD_MAX_MS, milliseconds

from .clock import Clock
from .frames import (
    AUDITS_MAX,
    KEYS_MAX,
    Answer,
    AskAudits,
    Audits,
    Differing,
    Digests,
    Inspect,
    Renewals,
    Rows,
    Versions,
    Want,
    Word,
)
from .framing import BadFrame
from .members import SOURCES
from .ports import AuditReplica, AuditRow, Renewable, Replica, State
from .refusals import RefusedRows

MERGE_SLICE: Final = 100
"""Rows merged without a checkpoint: about two milliseconds of work."""
READ_SLICE: Final = 200
RENEW_SLICE: Final = 1000
VERSIONS_PER_FRAME: Final = 2048
VERSIONS_SLICE: Final = 256
"""Versions listed without a checkpoint, when all buckets are asked for; fewer in proportion otherwise."""
CHUNK_BYTES: Final = 256 * 1024
"""Values in one frame, about: the next row begins a new frame."""
NAMES_BYTES: Final = 4 * 1024 * 1024
"""Keys in one frame that carries nothing but keys and numbers, counted at four bytes a character."""

Refused = Callable[[str, str, str], None]
"""Is told of a row that is not taken over: its table, its key, and why."""

Columns = tuple[list[str], list[int], list[bytes | None], list[int], list[int]]


class Tables:
    """Everything that is kept equal among nodes."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        instances: Renewable,
        audits: AuditReplica | None,
        origin: int,
        clock: Clock,
        ahead_max_ms: int = AHEAD_MAX_MS,
    ) -> None:
        """`origin` is that of the audits of this node. No row dated more than `ahead_max_ms` ahead is taken over."""
        self.origin = origin
        self.replicas: dict[str, Replica] = {replica.name: replica for replica in replicas}
        assert len(self.replicas) == len(replicas), "two tables of one name"
        self.instances = instances
        self.instances_table = instances.name
        self.audits = audits
        self._clock = clock
        self._ahead_max_ms = ahead_max_ms
        self._refused = RefusedRows()
        self._folded: dict[str, tuple[list[int], int]] = {}
        """By table: digests of its buckets, and the one number made of them."""

    def replica(self, name: str) -> Replica:
        """The table of this name. A peer that asks for another one broke the protocol."""
        try:
            return self.replicas[name]
        except KeyError:
            raise BadFrame(f"no table is called {name!r}") from None

    def digests(self) -> dict[str, int]:
        """By table, one number for everything in it."""
        digests = {name: self._fold(name, replica.digests()) for name, replica in self.replicas.items()}
        if self.audits is not None:
            digests["audits"] = fold([part for pair in sorted(self.audits.vector().items()) for part in pair])
        return digests

    def _fold(self, name: str, digests: list[int]) -> int:
        """Every ping carries these numbers, and mostly nothing has changed since the last one."""
        known = self._folded.get(name)
        if known is None or known[0] != digests:
            known = self._folded[name] = (digests, fold(digests))
        return known[1]

    # Absences

    def memory_ms(self) -> dict[str, int]:
        """By table: how far back memory reaches."""
        now_s = self._clock.now_s()
        return {name: replica.remembers_ms(now_s=now_s) for name, replica in self.replicas.items()}

    def absence(self, table: str, peer: str, word: Word) -> Absence | None:
        """What it means for a table that this node and a peer were apart, if it was for long. `word` is the peer's."""
        memory_ms = word.memory_ms.get(table, 0) if word.status in SOURCES else 0
        return self.replica(table).absence(
            peer, memory_ms=memory_ms, now_s=self._clock.now_s(), now_ms=self._clock.now_ms()
        )

    def compare(self, peer: str, word: Word) -> None:
        """A peer told its digests: where they are ours, it knows all that we hold."""
        now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
        for name, digest in self.digests().items():
            replica = self.replicas.get(name)
            if replica is not None and word.digests.get(name) == digest:
                replica.met(peer, now_s=now_s, now_ms=now_ms)

    # Taking over

    async def absorb(self, rows: Rows, *, via: int, refused: Refused) -> int:
        """Take over rows of a peer, and tell those that cannot be. Returns how many changed something here."""
        replica = self.replica(rows.table)
        changed = 0
        columns = zip(rows.keys, rows.versions, rows.values, rows.ages, rows.origins, strict=True)
        states: list[State] = list(columns)
        for start in range(0, len(states), MERGE_SLICE):
            part = [state for state in states[start : start + MERGE_SLICE] if self._accepts(replica, state, refused)]
            changed += await replica.absorb(part, via=via, now_s=self._clock.now_s(), now_ms=self._clock.now_ms())
            await trio.lowlevel.checkpoint()
        return changed

    def _accepts(self, replica: Replica, state: State, refused: Refused) -> bool:
        problem = self._from_future(milliseconds(state[1])) or replica.problem(state)
        if problem is None:
            return True
        self._refused.add(state[0], state[1])
        refused(replica.name, state[0], problem)
        return False

    def _from_future(self, time_ms: int) -> str | None:
        """Why a row of this date is not believed: whoever witnessed it would date what it writes as wrongly."""
        ahead_ms = time_ms - self._clock.now_ms()
        if ahead_ms <= self._ahead_max_ms:
            return None
        return f"it is dated {ahead_ms / 1000:.1f} s in the future: the clock of some node is wrong, or was"

    async def renew(self, frame: Renewals, *, via: int) -> list[str]:
        """Take over heartbeats that a peer heard. Returns the keys whose state must be asked for."""
        renewals = list(zip(frame.keys, frame.versions, frame.ages, strict=True))
        wanted: list[str] = []
        for start in range(0, len(renewals), RENEW_SLICE):
            part = renewals[start : start + RENEW_SLICE]
            wanted += self.instances.renew(part, via=via, now_s=self._clock.now_s())
            if len(renewals) > RENEW_SLICE:
                await trio.lowlevel.checkpoint()
        if wanted and self._refused:
            versions = dict(zip(frame.keys, frame.versions, strict=True))
            wanted = [key for key in wanted if not self._refused.holds(key, versions[key])]
        return wanted

    async def absorb_audits(self, rows: Sequence[AuditRow], *, refused: Refused) -> int:
        """Take over rows of the audit log, and tell those that cannot be. Returns how many were new."""
        new = 0
        if self.audits is not None:
            accepted: list[AuditRow] = []
            for row in rows:
                problem = self._from_future(row[2]) or self.audits.problem(row)
                if problem is None:
                    accepted.append(row)
                else:
                    refused("audits", f"{row[0]}/{row[1]}", problem)
            new = await self.audits.absorb(accepted)
        await trio.lowlevel.checkpoint()
        return new

    def answer_digests(self, ask: Digests) -> Differing:
        """Which buckets are not the same here."""
        replica = self.replica(ask.table)
        pairs = zip(ask.digests, replica.digests(), strict=True)
        buckets = [bucket for bucket, (theirs, ours) in enumerate(pairs) if theirs != ours]
        return Differing(ask.table, buckets, replica.count, ask.request)

    # Telling: generators yield None wherever the caller should let other tasks run

    def chunks(self, table: str, keys: Sequence[str], *, bare: bool = False) -> Iterator[Columns | None]:
        """The states of these keys, as columns for one frame after another."""
        taken = 0
        while taken < len(keys):
            columns, answered = self.take(table, keys[taken : taken + KEYS_MAX], bare=bare)
            taken += answered
            if columns[0]:
                yield columns
            yield None

    def take(self, table: str, keys: Sequence[str], *, bare: bool = False) -> tuple[Columns, int]:
        """The states of the first of these keys, as columns for one frame; and how many keys that answers."""
        replica = self.replica(table)
        columns: Columns = ([], [], [], [], [])
        size = taken = 0
        while taken < min(len(keys), KEYS_MAX) and size < CHUNK_BYTES:
            part = keys[taken : taken + READ_SLICE]
            answered = len(part)
            for key, version, value, age_ms, heard_by in replica.states(part, now_s=self._clock.now_s(), bare=bare):
                columns[0].append(key)
                columns[1].append(version)
                columns[2].append(value)
                columns[3].append(age_ms)
                columns[4].append(heard_by)
                size += len(key) + len(value or b"") + 32
                if size >= CHUNK_BYTES:  # a few hundred large rows would be more than a frame may hold
                    answered = part.index(key) + 1
                    break
            taken += answered
        return columns, taken

    def offered(
        self, table: str, keys: Sequence[str], *, held: Container[str], up_since_s: float | None
    ) -> Sequence[str]:
        """See `Replica.offered`; the peer is up, and linked to us, since `up_since_s`."""
        now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
        linked_s = 0.0 if up_since_s is None else now_s - up_since_s
        return self.replica(table).offered(keys, held=held, linked_s=linked_s, now_s=now_s, now_ms=now_ms)

    def renewals(self, entries: Iterable[Entry]) -> tuple[list[str], list[int], list[int]]:
        """Renewals as columns."""
        keys: list[str] = []
        versions: list[int] = []
        ages: list[int] = []
        for key, version, age_ms in self.instances.renewals(entries, now_s=self._clock.now_s()):
            keys.append(key)
            versions.append(version)
            ages.append(age_ms)
        return keys, versions, ages

    def answer_want(self, want: Want, absence: Absence | None) -> Iterator[Answer | None]:
        """All frames that answer a want; the last one says so."""
        held: Columns | None = None
        keys = want.keys
        if absence is not None and not want.bare:  # a bare one asks about what the peer holds itself
            replica = self.replica(want.table)
            keys = [key for key in keys if not replica.withholds(key, absence)]
        for columns in self.chunks(want.table, keys, bare=want.bare):
            if columns is None:
                yield None
                continue
            if held is not None:
                yield Answer(want.table, *held, request=want.request, last=False)
            held = columns
        yield Answer(want.table, *(held or ([], [], [], [], [])), request=want.request, last=True)

    def answer_inspect(self, inspect: Inspect, absence: Absence | None) -> Iterator[Versions | None]:
        """The versions of everything in the buckets asked for."""
        keys: list[str] = []
        versions: list[int] = []
        size = 0
        for row in self.versions(inspect.table, inspect.buckets, absence):
            if row is None:
                yield None
                continue
            keys.append(row[0])
            versions.append(row[1])
            size += 4 * len(row[0])
            if len(keys) >= VERSIONS_PER_FRAME or size >= NAMES_BYTES:
                yield Versions(keys, versions, inspect.request, last=False)
                keys, versions, size = [], [], 0
        yield Versions(keys, versions, inspect.request, last=True)

    def versions(self, table: str, buckets: Sequence[int], absence: Absence | None) -> Iterator[tuple[str, int] | None]:
        """Key and version of everything in the buckets that is not withheld from the peer."""
        # The fewer buckets, the more rows are passed over between two that match.
        pace = max(1, VERSIONS_SLICE * len(set(buckets)) // 256)
        replica = self.replica(table)
        for number, (_, key, version) in enumerate(replica.all_versions(buckets)):
            if number % pace == 0:
                yield None
            if absence is None or not replica.withholds(key, absence):
                yield key, version

    def answer_audits(self, ask: AskAudits) -> Iterator[Audits | None]:
        """The audit rows that the asker lacks, and how far we ourselves have come."""
        vector = {} if self.audits is None else dict(self.audits.vector())
        for rows in self.audit_chunks(ask.vector):
            yield Audits(rows, vector, ask.request, last=False)
            yield None
        yield Audits([], vector, ask.request, last=True)

    def audit_chunks(self, vector: Mapping[int, int], *, origin: int | None = None) -> Iterator[list[AuditRow]]:
        """What we hold beyond a vector, in parts for one frame each; of one origin, or of all."""
        if self.audits is None:
            return
        reached = dict(vector)
        if origin is not None:
            reached = {**self.audits.vector(), origin: reached.get(origin, 0)}
        while rows := self._audit_chunk(self.audits.after(reached, AUDITS_MAX)):
            yield rows
            advance(reached, rows)

    def _audit_chunk(self, rows: Sequence[AuditRow]) -> list[AuditRow]:
        """The first of these rows, as many as fit in a frame."""
        chunk: list[AuditRow] = []
        size = 0
        for row in rows:
            chunk.append(row)
            size += len(row[3]) + 32
            if size >= CHUNK_BYTES:
                break
        return chunk


def advance(vector: dict[int, int], rows: Iterable[AuditRow]) -> None:
    """Move a vector past these rows."""
    for origin, number, _, _ in rows:
        vector[origin] = max(vector.get(origin, 0), number)


def fold(numbers: Iterable[int]) -> int:
    """64 bits that stand for a list of numbers."""
    packed = b"".join([number.to_bytes(12, "big") for number in numbers])
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "big")
