"""What a simulation is made of: sizes, times, and how much goes wrong. Everything else comes from the seed."""

import random
from dataclasses import dataclass, replace
from typing import Self

from artemis.node.config import ClusterSection, Config, DataSection, NodeSection, RateLimitsSection, RegistrySection

REGION = "lab"
ZONES = ("east", "west")
SECRET = "a secret of simulations"
DRIFT_MAX_S = ClusterSection().clock_drift_max_s
RECONNECT_S = 9.0
"""The longest that two nodes take to be linked again after a heal: a dial under way, the longest wait between two
attempts, and an introduction."""
NODES_MAX = 26
"""Nodes are called by the letters of the alphabet."""
SPREAD_S = 1.0
"""The longest that news takes between nodes that are linked, over a network that may be slow."""
COMPARED_S = 3.0
"""The longest until tables have been compared after news had to be dropped: there is a pause between two rounds."""
OUTBOX_KEYS = 1_000
"""More than there ever is."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Times in seconds of virtual time."""

    nodes: int = 3
    services: int = 3
    clients: int = 9
    subscribers: int = 3
    operators: int = 1
    trouble_s: float = 45.0
    """How long things go wrong. Afterwards everything is healed, and has to settle."""
    heartbeat_s: float = 2.5
    lease_s: float = 10.0
    sweep_s: float = 0.25
    anti_entropy_s: float = 10.0
    tombstone_s: float = 600.0
    """How long removals are remembered. Shorter than faults last, and absences outlive them."""
    skew_max_ms: int = 400
    """Clocks are wrong by so much at most, in either direction; in half of the seeds they agree."""
    decision_s: float = 1.0
    """About how long an operator takes to decide something."""
    faults_pause_s: float = 6.0
    """About how long it is quiet between two faults."""
    faults_last_s: float = 8.0
    """About how long a fault lasts."""
    gone_s: float = 20.0
    """The longest that a service that ended stays away."""
    is_varied: bool = True
    """Some seeds have settings of their own; see `of_seed`."""
    mixed_case: bool = False
    """Clients and operators spell ids, zones and groups now one way and now another."""
    outbox_keys: int = OUTBOX_KEYS
    """News that wait for one peer; beyond that, it has to be reconciled."""
    old_disks: bool = False
    """Machines are set back to images, and nodes restarted several times in a row."""
    misfits: bool = False
    """Now and then a node has another secret, or a clock that is wrong by minutes."""
    ceiling_s: float = 600.0
    """How long a lease is kept after it ran out, for as long as there is a reason."""

    def of_seed(self, seed: int) -> Self:
        """What this seed makes of it: settings that change what others mean are tried in some seeds only."""
        if not self.is_varied:
            return self
        rng = random.Random(f"what is special about seed {seed}")
        return replace(
            self._forgetful() if rng.random() < 0.25 else self,
            mixed_case=rng.random() < 0.5,
            outbox_keys=1 if rng.random() < 0.25 else self.outbox_keys,
            old_disks=rng.random() < 0.35,
            misfits=rng.random() < 0.35,
        )

    def _forgetful(self) -> Self:
        """Faults outlast everything that ends by itself: removals are forgotten, and suspicion ends."""
        long = replace(self, trouble_s=2 * self.trouble_s, faults_last_s=25.0, faults_pause_s=9.0)
        return replace(long, tombstone_s=6.0, ceiling_s=4.0, gone_s=60.0)

    @property
    def names(self) -> list[str]:
        """Of the nodes."""
        return [chr(ord("a") + number) for number in range(self.nodes)]

    @property
    def client_names(self) -> list[str]:
        return [f"c{number}" for number in range(1, self.clients + 1)]

    @property
    def subscriber_names(self) -> list[str]:
        return [f"s{number}" for number in range(1, self.subscribers + 1)]

    @property
    def operator_names(self) -> list[str]:
        return [f"o{number}" for number in range(1, self.operators + 1)]

    @property
    def service_ids(self) -> list[str]:
        return [f"Service{number}" for number in range(1, self.services + 1)]

    @property
    def converged_s(self) -> float:
        """After the last heal, all nodes agree within this time: two heartbeats and one round of anti-entropy."""
        return 2 * self.heartbeat_s + self.anti_entropy_s

    @property
    def forgotten_s(self) -> float:
        """After the last heal, and its last heartbeat, an instance that died is in no answer any more."""
        return self.lease_s + RECONNECT_S + self.spread_s + 4 * self.sweep_s + 2.0

    @property
    def spread_s(self) -> float:
        """The longest that news takes between nodes that are linked. What an outbox had no room for waits for the next
        comparison of tables."""
        return SPREAD_S if self.outbox_keys >= OUTBOX_KEYS else SPREAD_S + COMPARED_S

    @property
    def settle_s(self) -> float:
        """How long everything is left in peace at the end."""
        return max(self.converged_s, self.forgotten_s) + 2.0

    @property
    def tombstone_kept_ms(self) -> int:
        """Tombstones younger than this are held by everybody; the configuration says how long nobody forgets."""
        return int((self.tombstone_s - min(60.0, self.tombstone_s / 4)) * 1000)

    def zone_of(self, number: int) -> str:
        return ZONES[number % len(ZONES)]

    def url_of(self, name: str) -> str:
        return f"http://{self.ip_of(name)}:8080"

    def ip_of(self, name: str) -> str:
        """Addresses instead of names, so that nobody asks a resolver."""
        return f"10.0.0.{self.names.index(name) + 1}"

    def config_of(self, name: str) -> Config:
        """What a node is told: short intervals, and else what it would be told anywhere."""
        zones: dict[str, tuple[str, ...]] = {}
        for number, other in enumerate(self.names):
            zone = self.zone_of(number)
            zones[zone] = (*zones.get(zone, ()), self.url_of(other))
        return Config(
            node=NodeSection(region=REGION, zone=self.zone_of(self.names.index(name)), id=name, url=self.url_of(name)),
            data=DataSection(directory=":memory:"),
            registry=RegistrySection(
                lease_ttl_s=self.lease_s,
                sweep_interval_s=self.sweep_s,
                tombstone_ttl_s=self.tombstone_s,
                preservation_ceiling_s=self.ceiling_s,
            ),
            rate_limits=RateLimitsSection(enabled=False),
            cluster=ClusterSection(
                nodes=zones,
                secret=SECRET,
                anti_entropy_interval_s=self.anti_entropy_s,
                outbox_keys=self.outbox_keys,
            ),
        )
