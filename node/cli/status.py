"""`artemis status`: a node, and the cluster as it sees it."""

from collections.abc import Mapping, Sequence

import click
import msgspec

from artemis.transport.client.http import Http
from artemis.transport.client.messages import read

from .asking import ask_http, asks_a_node
from .exits import NEGATIVE
from .output import print_json, print_table, styled


class _Zone(msgspec.Struct, rename="camel"):
    region_id: str | None = None
    zone_id: str | None = None


class _ServiceNode(msgspec.Struct, rename="camel"):
    url: str | None = None
    zone: _Zone | None = None


class _NodeStatus(msgspec.Struct, rename="camel"):
    node: _ServiceNode | None = None
    status: str = "unknown"
    can_service_registry: bool | None = None
    can_service_discovery: bool | None = None


class _Peer(msgspec.Struct, rename="camel"):
    clock_drift_ms: int | None = None
    problem: str | None = None


class _Convergence(msgspec.Struct, rename="camel"):
    peers: dict[str, _Peer] | None = None


class _ClusterPage(msgspec.Struct, rename="camel"):
    nodes_status: list[_NodeStatus] | None = None
    convergence: _Convergence | None = None


class _HealthPage(msgspec.Struct, rename="camel"):
    status: str = "unknown"
    reason: str = ""
    node_id: str = ""
    region_id: str = ""
    zone_id: str = ""
    storage: str = ""
    version: str = ""
    uptime_seconds: float = 0.0
    problems: list[str] = msgspec.field(default_factory=list[str])


@click.command()
@asks_a_node
def status(urls: Sequence[str], as_json: bool) -> None:
    """Show a node, and the nodes of the cluster as it sees them.

    Exits with 1 when the node is not up.

    \b
    Examples:
        artemis status
        artemis status --json | jq .cluster.convergence
    """
    health, cluster = ask_http(urls, _ask)
    page = read(_HealthPage, health)
    if as_json:
        print_json({"node": msgspec.Raw(health), "cluster": msgspec.Raw(cluster)})
    else:
        _print_node(page)
        _print_cluster(read(_ClusterPage, cluster))
    if page.status != "up":
        raise SystemExit(NEGATIVE)


async def _ask(http: Http) -> tuple[bytes, bytes]:
    return await http.get("/health"), await http.get("/api/status/cluster.json")


def _print_node(page: _HealthPage) -> None:
    facts = [
        ("node", page.node_id),
        ("status", page.status + (f" ({page.reason})" if page.reason else "")),
        ("region", page.region_id),
        ("zone", page.zone_id),
        ("storage", page.storage),
        ("version", page.version),
        ("up for", f"{page.uptime_seconds:.0f} s"),
        *(("problem", problem) for problem in page.problems),
    ]
    for name, value in facts:
        click.echo(f"{name:<8} {value}")


def _print_cluster(page: _ClusterPage) -> None:
    nodes = page.nodes_status or []
    peers = (page.convergence and page.convergence.peers) or {}
    if not nodes:
        return
    click.echo()
    rows = [_row(node, peers) for node in nodes]
    print_table(("NODE", "REGION", "ZONE", "STATUS", "REGISTRY", "DISCOVERY", "CLOCK"), rows)
    problems = [f"{url}: {peer.problem}" for url, peer in peers.items() if peer.problem]
    if problems:
        click.echo()
    for problem in problems:
        click.echo(styled(problem, "red"))


def _row(node: _NodeStatus, peers: Mapping[str, _Peer]) -> tuple[object, ...]:
    place = node.node or _ServiceNode()
    zone = place.zone or _Zone()
    flags = (_flag(node.can_service_registry), _flag(node.can_service_discovery))
    drift_ms = peers.get(place.url or "", _Peer()).clock_drift_ms
    clock = "" if drift_ms is None else f"{drift_ms / 1000:+.3f} s"
    return (place.url, zone.region_id, zone.zone_id, node.status, *flags, clock)


def _flag(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
