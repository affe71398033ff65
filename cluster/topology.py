"""Topologies: which nodes there are, in which region and zone, and the configuration that each of them needs.

The nodes of one region form one cluster; regions know nothing of each other. A topology is a TOML file that
names machines; on this machine the launcher gives every node a loopback address instead.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from .faults import CLIENTS

TOPOLOGIES = Path(__file__).parent / "topologies"
"""The examples that come with Artemis."""

NODES_MAX = 64
"""More nodes than this are a typing error, and a full mesh of proxies that nobody could watch."""


class TopologyError(ValueError):
    """A topology that cannot be built, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node: who it is, and where it is reached."""

    name: str
    region: str
    zone: str
    host: str = "127.0.0.1"
    port: int = 8080
    advertised: str = ""
    """The url that clients and peers are told, where it differs from host and port."""
    settings: Mapping[str, Mapping[str, object]]
    """Further configuration, by section, on top of what the topology implies."""

    @property
    def url(self) -> str:
        """The address by which everybody knows this node."""
        return self.advertised or f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """The nodes of one or several regions."""

    nodes: tuple[NodePlan, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.nodes) <= NODES_MAX:
            raise TopologyError(f"a topology has 1 to {NODES_MAX} nodes, not {len(self.nodes)}")
        for what, values in (
            ("name", [plan.name for plan in self.nodes]),
            ("address", [plan.url for plan in self.nodes if plan.port]),
        ):
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise TopologyError(f"two nodes have the {what} {twice!r}")
        for plan in self.nodes:
            if plan.name == CLIENTS or not plan.name.replace("-", "").replace("_", "").isalnum():
                raise TopologyError(
                    f"{plan.name!r} cannot name a node: use letters, digits and dashes, and not {CLIENTS!r}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(plan.name for plan in self.nodes)

    def node(self, name: str) -> NodePlan:
        """The plan of one node; raises `TopologyError` when there is none."""
        for plan in self.nodes:
            if plan.name == name:
                return plan
        raise TopologyError(f"there is no node {name!r}; there are: {', '.join(self.names)}")

    def peers(self, name: str) -> tuple[NodePlan, ...]:
        """The other nodes of the node's region."""
        region = self.node(name).region
        return tuple(plan for plan in self.nodes if plan.region == region and plan.name != name)

    def on_loopback(self, ports: Iterable[int]) -> "Topology":
        """The same nodes on this machine, each on the next of `ports`."""
        plans = zip(self.nodes, ports, strict=True)
        return Topology(tuple(replace(plan, host="127.0.0.1", port=port, advertised="") for plan, port in plans))

    def advertising(self, urls: Mapping[str, str]) -> "Topology":
        """The same nodes, each known by another url: by name, for those that have one."""
        return Topology(tuple(replace(plan, advertised=urls.get(plan.name, plan.advertised)) for plan in self.nodes))


class _NodeEntry(msgspec.Struct, forbid_unknown_fields=True):
    zone: str = "default"
    region: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    advertised: str = ""
    settings: dict[str, dict[str, object]] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    nodes: dict[str, _NodeEntry]
    description: str = ""
    region: str = "default"
    settings: dict[str, dict[str, object]] = {}


def load_topology(file: Path) -> Topology:
    """Read a topology; a bare name such as `two-zones` means one of the examples."""
    if not file.exists() and (TOPOLOGIES / f"{file}.toml").exists():
        file = TOPOLOGIES / f"{file}.toml"
    try:
        entries = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File)
    except OSError as error:
        examples = ", ".join(sorted(path.stem for path in TOPOLOGIES.glob("*.toml")))
        raise TopologyError(f"{file}: {error.strerror}; the examples are: {examples}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TopologyError(f"{file}: {error}") from None
    return Topology(
        tuple(
            NodePlan(
                name=name,
                region=entry.region or entries.region,
                zone=entry.zone,
                host=entry.host,
                port=entry.port,
                advertised=entry.advertised,
                settings=_merged(entries.settings, entry.settings),
            )
            for name, entry in entries.nodes.items()
        )
    )


def simple_topology(count: int, *, zones: int = 1, region: str = "default") -> Topology:
    """`count` nodes a, b, c, ... dealt out to `zones` zones."""
    if not 0 < count <= 26:
        raise TopologyError("choose 1 to 26 nodes; a topology file may name more")
    if not 0 < zones <= count:
        raise TopologyError(f"{count} nodes cannot stand in {zones} zones")
    return Topology(
        tuple(
            NodePlan(name=chr(ord("a") + i), region=region, zone=f"zone{i % zones + 1}", port=0, settings={})
            for i in range(count)
        )
    )


def node_settings(
    topology: Topology,
    name: str,
    *,
    data_directory: str,
    secret: str = "",
    dial: Mapping[str, str] | None = None,
) -> dict[str, dict[str, object]]:
    """The configuration of one node. `dial` says where to reach peers whose own url must not be used, by url."""
    plan = topology.node(name)
    zones: dict[str, list[str]] = {}
    for member in (plan, *topology.peers(name)):
        zones.setdefault(member.zone, []).append(member.url)
    cluster: dict[str, object] = {"nodes": {zone: sorted(urls) for zone, urls in sorted(zones.items())}}
    if secret:
        cluster["secret"] = secret
    if dial:
        cluster["dial"] = dict(dial)
    implied: dict[str, dict[str, object]] = {
        "node": {
            "id": plan.name,
            "region": plan.region,
            "zone": plan.zone,
            "host": plan.host,
            "port": plan.port,
            "url": plan.url,
        },
        "data": {"directory": data_directory},
        "cluster": cluster,
    }
    return _merged(implied, plan.settings)


def encode_toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """The sections as a TOML file that `artemis serve --config` reads."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
        lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items() if key not in tables]
        for key, table in tables.items():
            lines += ["", f"[{section}.{_key(key)}]"]
            lines += [f"{_key(inner)} = {_value(value)}" for inner, value in table.items()]
        lines.append("")
    return "\n".join(lines)


def _merged(
    base: Mapping[str, Mapping[str, object]], extra: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, object]]:
    sections = {name: dict(values) for name, values in base.items()}
    for name, values in extra.items():
        sections.setdefault(name, {}).update(values)
    return sections


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _value(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return msgspec.json.encode(value).decode()  # a JSON string is a TOML basic string
        case list() | tuple():
            items: Sequence[object] = value
            return "[" + ", ".join(_value(item) for item in items) + "]"
        case _:
            raise TypeError(f"no TOML for {value!r}")
