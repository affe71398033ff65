"""What the network between nodes allows: a pure table of faults, without sockets and without a clock.

A fault belongs to a *flow*, the bytes that go from one name to another. A TCP connection is made of two
flows, so a one-way cut is expressible, and a connection dialled either way feels it in the right direction.
Names are nodes, and `clients` for everybody who is not a node.
"""

import enum
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

CLIENTS = "clients"
"""The name under which the traffic of clients can be broken, where a node has a proxy for them."""

RETRANSMIT_S = 0.2
"""How long a lost segment keeps a TCP flow waiting: the shortest retransmission timeout of Linux."""


class FaultError(ValueError):
    """The request for a fault names something that does not exist, or makes no sense."""


class Cut(enum.Enum):
    """How a flow is interrupted."""

    NONE = "none"
    SILENT = "silent"
    """Nothing arrives and nobody is told: what an unplugged cable does."""
    RESET = "reset"
    """Open connections are reset, new ones turned away: what a firewall that rejects does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the bytes of one flow. The default is a perfect wire."""

    cut: Cut = Cut.NONE
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    loss: float = 0.0
    """Probability that a piece has to be sent again, which holds up all that follows it."""
    reset: float = 0.0
    """Probability, per piece, that the connection is reset."""

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.jitter_s < 0:
            raise FaultError("a delay cannot be negative")
        if self.bytes_per_s is not None and self.bytes_per_s <= 0:
            raise FaultError("bandwidth must be positive; use a partition to stop everything")
        if not (0 <= self.loss <= 1 and 0 <= self.reset <= 1):
            raise FaultError("a probability lies between 0 and 1")

    def __str__(self) -> str:
        words = []
        if self.cut is not Cut.NONE:
            words.append(f"cut ({self.cut.value})")
        if self.delay_s or self.jitter_s:
            words.append(f"+{self.delay_s * 1000:g} ms" + (f" ±{self.jitter_s * 1000:g} ms" if self.jitter_s else ""))
        if self.bytes_per_s is not None:
            words.append(f"{self.bytes_per_s / 1024:g} KiB/s")
        if self.loss:
            words.append(f"{self.loss:.1%} lost")
        if self.reset:
            words.append(f"{self.reset:.2%} reset")
        return ", ".join(words) or "pass"


PASS = Fault()

Flow = tuple[str, str]
"""From whom, to whom."""


class FaultTable:
    """The faults of all flows between the given names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._faults: dict[Flow, Fault] = {}

    def flow(self, source: str, target: str) -> Fault:
        """What happens to bytes on their way from `source` to `target`."""
        return self._faults.get((source, target), PASS)

    def link(self, source: str, target: str) -> Cut:
        """What a connection between the two meets: it needs both of its flows to come about."""
        cuts = {self.flow(source, target).cut, self.flow(target, source).cut}
        if Cut.RESET in cuts:
            return Cut.RESET
        return Cut.SILENT if Cut.SILENT in cuts else Cut.NONE

    def faults(self) -> dict[Flow, Fault]:
        """Every flow that is not a perfect wire."""
        return dict(self._faults)

    def cut(self, flows: Iterable[Flow], *, cut: Cut = Cut.SILENT) -> None:
        """Interrupt the flows, and keep whatever else is wrong with them for after the heal."""
        self._change(flows, cut=cut)

    def slow(
        self,
        flows: Iterable[Flow],
        *,
        delay_s: float,
        jitter_s: float = 0.0,
        bytes_per_s: float | None = None,
    ) -> None:
        """Delay the flows, and limit what they carry."""
        self._change(flows, delay_s=delay_s, jitter_s=jitter_s, bytes_per_s=bytes_per_s)

    def lossy(self, flows: Iterable[Flow], *, loss: float, reset: float = 0.0) -> None:
        """Lose pieces of the flows; TCP hides the loss behind pauses, and now and then gives up."""
        self._change(flows, loss=loss, reset=reset)

    def heal(self, flows: Iterable[Flow] | None = None) -> None:
        """Make the flows, or everything, perfect again."""
        for flow in list(self._faults) if flows is None else list(flows):
            self._faults.pop(flow, None)

    def between(self, one: Iterable[str], other: Iterable[str]) -> Iterator[Flow]:
        """Every flow between the two groups, in both directions."""
        for a, b in itertools.product(list(one), list(other)):
            if a != b:
                yield a, b
                yield b, a

    def select(self, text: str) -> set[Flow]:
        """The flows that a user means: `a,b|c` both ways between islands, `a>b` one way, `a` all of a node's.

        Names that are not mentioned keep their links, and clients are never meant unless they are mentioned. An
        empty text means every flow between nodes.
        """
        nodes = [name for name in self.names if name != CLIENTS]
        if not text.strip():
            return set(itertools.permutations(nodes, 2))
        if ">" in text:
            source, _, target = text.partition(">")
            return {(a, b) for a in self._island(source) for b in self._island(target) if a != b}
        islands = [self._island(part) for part in text.split("|")]
        if len(islands) == 1:
            return set(self.between(islands[0], nodes))
        named = [name for island in islands for name in island]
        if len(named) != len(set(named)):
            raise FaultError(f"{text!r} puts a node on two islands")
        return {flow for one, other in itertools.combinations(islands, 2) for flow in self.between(one, other)}

    def _island(self, text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names:
            raise FaultError("an island has no nodes; write, for example, a,b|c")
        for name in names:
            if name not in self.names:
                raise FaultError(f"there is no {name!r}; there are: {', '.join(self.names)}")
        return names

    def _change(self, flows: Iterable[Flow], **fields: object) -> None:
        for source, target in list(flows):
            changed = replace(self.flow(source, target), **fields)  # type: ignore[arg-type]
            self._faults[(source, target)] = changed
