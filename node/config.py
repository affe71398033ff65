"""The configuration of a node: every key with its default, its limits, and what it is for.

A key lives in exactly one section; its dotted name is `section.key`, its environment variable
`ARTEMIS_SECTION_KEY`, its place in a file `[section] key`. Where values come from and how they are
checked is in `sources.py`; docs/reference/configuration.md is generated from this file.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from msgspec import Meta

from .bounds import LimitsSection, WebSocketSection

IN_MEMORY: Final = ":memory:"
"""As `data.directory`: nothing is written to disk, and nothing survives the process."""

WILDCARD_HOSTS: Final = frozenset({"", "0.0.0.0", "::"})
"""Hosts to listen on that are no address for others to come to."""

SECRET_LENGTH_MIN: Final = 16
"""A secret shorter than this is a typing error or a guess."""

SECRETS_MAX: Final = 8
"""Secrets that are accepted at a time: each costs a keyed hash per attempt of whoever dials."""

NAME = Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

RateLimitedArea = Literal["registry", "replication", "cluster", "status", "management"]

RATE_LIMITED_OPERATIONS: Final[Mapping[RateLimitedArea, frozenset[str]]] = {
    "registry": frozenset({"register", "heartbeat", "unregister"}),
    "replication": frozenset({"register", "heartbeat", "unregister", "get-services"}),
    "cluster": frozenset({"up-registry-nodes", "up-discovery-nodes"}),
    "status": frozenset({"get-cluster", "get-leases", "get-legacy-leases", "get-config", "get-deployment"}),
    "management": frozenset({"get.route-rules", "get.route-rule-groups", "get.groups"}),
}
"""What `rate_limits.operations` may name, as `area.operation`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """Who this node is, and how it is reached."""

    region: Annotated[
        str, NAME, Meta(description="Region served by this node; instances of other regions are refused.")
    ] = "default"
    zone: Annotated[str, NAME, Meta(description="Zone this node stands in.")] = "default"
    id: Annotated[
        str, Meta(max_length=255, description="Name among its peers. Empty: host:port of the advertised url.")
    ] = ""
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for every network interface.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")] = 8080
    url: Annotated[
        str,
        Meta(
            description="Address that peers and clients are told. Empty: http://host:port, with the machine's"
            " name when the node listens on every interface."
        ),
    ] = ""
    fast_lane: Annotated[
        bool,
        Meta(description="Answer hot routes in the listener itself. Off: every request goes through the Quart app."),
    ] = True
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks of proxies whose X-Forwarded-For, -Host and -Proto are believed."),
    ] = ()
    shutdown_deadline_s: Annotated[
        float, Meta(ge=0, le=600, description="Time that open requests and outboxes have when the node stops.")
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """What a restart finds again."""

    directory: Annotated[
        str,
        Meta(min_length=1, description="Directory of the database, made when missing; :memory: keeps nothing on disk."),
    ] = "artemis-data"
    write_patience_s: Annotated[
        float,
        Meta(
            ge=0, le=300, description="How long a management write waits for a locked file or a full disk, before 503."
        ),
    ] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySection:
    """Leases: how long silence is tolerated, and when the node doubts itself first."""

    lease_ttl_s: Annotated[
        float, Meta(ge=0.1, le=604_800, description="Lease of an instance that asks for none of its own.")
    ] = 20.0
    legacy_ttl_s: Annotated[
        float, Meta(ge=0.1, le=604_800, description="Lease of instances whose metadata holds java_registry.")
    ] = 90.0
    lease_ttl_min_s: Annotated[
        float, Meta(ge=0.1, le=604_800, description="Shortest lease an instance may ask for by metadata.")
    ] = 5.0
    lease_ttl_max_s: Annotated[
        float, Meta(ge=0.1, le=604_800, description="Longest lease an instance may ask for by metadata.")
    ] = 86_400.0
    sweep_interval_s: Annotated[
        float, Meta(ge=0.01, le=5, description="Time between two passes of the lease sweeper.")
    ] = 0.1
    tombstone_ttl_s: Annotated[
        float,
        Meta(ge=1, le=604_800, description="How long a removal is remembered, so that nothing older undoes it."),
    ] = 600.0
    allow_other_zones: Annotated[bool, Meta(description="Accept instances of other zones of the region.")] = True
    self_preservation: Annotated[bool, Meta(description="Stop expiry when too many leases fall silent at once.")] = True
    preservation_threshold: Annotated[
        float, Meta(ge=0.05, le=1, description="Share of leases renewed in time under which expiry stops.")
    ] = 0.85
    preservation_min_leases: Annotated[
        int,
        Meta(
            ge=1, le=1_000_000, description="Leases of a service, or of the node, under which there is no protection."
        ),
    ] = 25
    preservation_ceiling_s: Annotated[
        float, Meta(ge=1, le=86_400, description="Longest time that a lease is kept after it ran out.")
    ] = 600.0
    lag_grant_max_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Time per hour that leases are given for pauses of this process; beyond it they run out.",
        ),
    ] = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySection:
    """Answers to those who look for instances."""

    allow_other_zones: Annotated[bool, Meta(description="Answer clients of other zones of the region.")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitsSection:
    """Requests per 10 seconds and operation, for the whole node. Too many are answered `rate-limited`."""

    enabled: Annotated[bool, Meta(description="Off: nothing is limited.")] = True
    registry: Annotated[int, Meta(ge=1, le=100_000_000, description="register, heartbeat, unregister: each.")] = 100_000
    replication: Annotated[int, Meta(ge=1, le=100_000_000, description="RPC replication: each operation.")] = 1_000_000
    cluster: Annotated[
        int, Meta(ge=1, le=100_000_000, description="up-registry-nodes and up-discovery-nodes: each.")
    ] = 10_000
    status: Annotated[
        int, Meta(ge=1, le=100_000_000, description="Status queries except that of the node itself: each.")
    ] = 30
    management: Annotated[
        int, Meta(ge=1, le=100_000_000, description="Filtered queries for groups, rules and logs: each.")
    ] = 30
    operations: Annotated[
        dict[str, Annotated[int, Meta(ge=1, le=100_000_000)]],
        Meta(description="Limits of single operations, named area.operation as in status.get-leases."),
    ] = field(default_factory=lambda: {"status.get-leases": 10})
    per_client: Annotated[
        int, Meta(ge=0, le=100_000_000, description="Requests per 10 seconds from one client address; 0: no limit.")
    ] = 0

    def limit_of(self, area: RateLimitedArea, operation: str) -> int:
        """Requests per 10 seconds that `operation` may take."""
        own: int | None = self.operations.get(f"{area}.{operation}")
        if own is not None:
            return own
        by_area: Mapping[RateLimitedArea, int] = {
            "registry": self.registry,
            "replication": self.replication,
            "cluster": self.cluster,
            "status": self.status,
            "management": self.management,
        }
        return by_area[area]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSection:
    """The other nodes. The same list may be given to every node: each finds itself in it."""

    nodes: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="Urls of all nodes by zone, this one included; zone1:url,url;zone2:url as one text."),
    ] = field(default_factory=dict[str, tuple[str, ...]])
    dialects: Annotated[
        dict[str, Literal["link", "rpc"]],
        Meta(description="How to speak to a node, by url: link (peer link, the default) or rpc (original system)."),
    ] = field(default_factory=dict[str, Literal["link", "rpc"]])
    dial: Annotated[
        dict[str, str],
        Meta(description="Where to reach a node to which its own url does not lead from here (a proxy, NAT), by url."),
    ] = field(default_factory=dict[str, str])
    secret: Annotated[
        str,
        Meta(description="Shared secret of the peer links. Empty: peers on loopback only."),
    ] = field(default="", repr=False)
    secrets: Annotated[
        tuple[str, ...],
        Meta(
            description="Several shared secrets instead of one, while they are changed: this node proves that it knows"
            " the first, and accepts peers that know any."
        ),
    ] = field(default=(), repr=False)
    secret_file: Annotated[
        str,
        Meta(
            description="File that holds the secret, or several, one a line, for secrets that should not be in the"
            " environment."
        ),
    ] = ""
    clock_drift_max_s: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="How far apart the clocks of two nodes may be. A peer whose clock is further ahead is cut off,"
            " and rows dated further ahead are not believed.",
        ),
    ] = 30.0
    force_up: Annotated[bool, Meta(description="Be up at once, without waiting for a synchronised peer.")] = False
    force_down: Annotated[bool, Meta(description="Stay down: serve status and peers, but no clients.")] = False
    anti_entropy_interval_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Time between two comparisons of digests with each peer.")
    ] = 30.0
    heartbeat_batch_s: Annotated[
        float, Meta(ge=0.001, le=5, description="How long heartbeats are collected for one frame to a peer.")
    ] = 0.1
    outbox_keys: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="How much news may wait for one peer: instances, and records. Beyond that none of it is told,"
            " and the tables are compared instead.",
        ),
    ] = 200_000

    @property
    def known_secrets(self) -> tuple[str, ...]:
        """All secrets, however they were given; the first is the one to prove. None: peers on loopback only."""
        return self.secrets or ((self.secret,) if self.secret else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementSection:
    """Operations, groups, rules, canaries, and who did what."""

    enabled: Annotated[bool, Meta(description="Off: no management state, no filters, no management writes.")] = True
    audit_retention_days: Annotated[
        int, Meta(ge=1, le=36_500, description="Audit records older than this are dropped.")
    ] = 365
    audit_retention_records: Annotated[
        int, Meta(ge=100, le=100_000_000, description="Audit records beyond this count are dropped, oldest first.")
    ] = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsSection:
    """Which web pages may use this node, beside its own: read its answers, write, and open its WebSockets."""

    origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origins, beside the node's own, whose pages may use every path except replication; * for all"
            " origins, on the paths under /artemis only."
        ),
    ] = ()
    credentials: Annotated[bool, Meta(description="Let browsers send cookies; needs a list of origins without *.")] = (
        False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingSection:
    """The log on standard error, one event per line."""

    format: Annotated[Literal["console", "json"], Meta(description="For people, or for machines.")] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severity that is written.")
    ] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a node is told before it starts. Built once by `sources.load`, never changed."""

    node: NodeSection = field(default_factory=NodeSection)
    data: DataSection = field(default_factory=DataSection)
    registry: RegistrySection = field(default_factory=RegistrySection)
    discovery: DiscoverySection = field(default_factory=DiscoverySection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    rate_limits: RateLimitsSection = field(default_factory=RateLimitsSection)
    websocket: WebSocketSection = field(default_factory=WebSocketSection)
    cluster: ClusterSection = field(default_factory=ClusterSection)
    management: ManagementSection = field(default_factory=ManagementSection)
    cors: CorsSection = field(default_factory=CorsSection)
    logging: LoggingSection = field(default_factory=LoggingSection)
    sources: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Dotted key -> where its value came from; keys left at their default are missing."""

    def advertised_url(self, port: int | None = None) -> str:
        """Where others reach this node. `port` is the bound one, for a node that took a free port."""
        if self.node.url:
            return self.node.url.rstrip("/")
        host = socket.gethostname() if self.node.host in WILDCARD_HOSTS else self.node.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.node.port if port is None else port}"

    def node_id(self, port: int | None = None) -> str:
        """The name of this node among its peers."""
        return self.node.id or self.advertised_url(port).partition("://")[2]

    @property
    def in_memory(self) -> bool:
        """Whether nothing of this node survives its process."""
        return self.data.directory == IN_MEMORY
