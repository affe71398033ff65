"""`artemis status`: a node, and the cluster as it sees it."""

from collections.abc import Sequence

import click
import msgspec

from artemis.transport.client.http import Http
from artemis.transport.client.messages import read

from .asking import ask_http, asks_a_node
from .exits import NEGATIVE
from .output import print_json, print_table


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


class _ClusterPage(msgspec.Struct, rename="camel"):
    nodes_status: list[_NodeStatus] | None = None


class _HealthPage(msgspec.Struct, rename="camel"):
    status: str = "unknown"
    reason: str = ""
    node_id: str = ""
    region_id: str = ""
    zone_id: str = ""
    storage: str = ""
    version: str = ""
    uptime_seconds: float = 0.0


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
        nodes = read(_ClusterPage, cluster).nodes_status or []
        if nodes:
            click.echo()
            print_table(("NODE", "REGION", "ZONE", "STATUS", "REGISTRY", "DISCOVERY"), [_row(node) for node in nodes])
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
    ]
    for name, value in facts:
        click.echo(f"{name:<8} {value}")


def _row(node: _NodeStatus) -> tuple[object, ...]:
    place = node.node or _ServiceNode()
    zone = place.zone or _Zone()
    flags = (_flag(node.can_service_registry), _flag(node.can_service_discovery))
    return (place.url, zone.region_id, zone.zone_id, node.status, *flags)


def _flag(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
