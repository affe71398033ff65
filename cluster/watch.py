"""What is known of a running cluster from outside: the process, and what the node says of itself.

Nodes are asked directly, not through the proxies: whoever watches is not part of the broken network.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import trio

FETCH_S = 2.0
"""A node that does not answer within this time is shown as silent."""

ANSWER_BYTES_MAX = 16 * 1024 * 1024
INSTANCES_METRIC = "artemis_instances"
LAG_METRIC = "artemis_replication_lag_max_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One row of the table."""

    name: str
    region: str
    zone: str
    url: str
    address: str
    """Where the node itself listens; `url` may be a proxy."""
    process: str
    """`running`, `paused`, or how it ended."""
    pid: int | None = None
    status: str = "silent"
    """What the node says it is; `silent` when it says nothing."""
    reason: str = ""
    """Why it is not up, as far as it knows."""
    peers: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name of peer: what this node thinks of it."""
    instances: int | None = None
    lag_ms: float | None = None
    """The largest time that news from a peer took lately."""

    @property
    def is_up(self) -> bool:
        return self.process == "running" and self.status == "up"

    def as_dict(self) -> dict[str, object]:
        """For scripts."""
        return asdict(self)


async def fetch(host: str, port: int, path: str) -> tuple[int, bytes]:
    """One GET on a connection of its own. Raises `OSError` or `ValueError` when there is no proper answer."""
    with trio.move_on_after(FETCH_S):
        try:
            async with await trio.open_tcp_stream(host, port) as stream:
                request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
                await stream.send_all(request.encode())
                return await _read_answer(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionError(str(error)) from None
    raise TimeoutError(f"{host}:{port} did not answer within {FETCH_S:g} s")


async def _read_answer(stream: trio.SocketStream) -> tuple[int, bytes]:
    received = bytearray()
    async for piece in stream:
        received += piece
        if len(received) > ANSWER_BYTES_MAX:
            raise ValueError("the answer is too large")
        head, separator, body = bytes(received).partition(b"\r\n\r\n")
        if separator:
            length = content_length(head)
            if length is not None and len(body) >= length:
                return int(head[9:12]), body[:length]
    head, separator, body = bytes(received).partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("the answer ended early")
    return int(head[9:12]), body


def content_length(head: bytes) -> int | None:
    """The length a head announces."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return None


@dataclass(frozen=True, slots=True)
class Report:
    """What a node said of itself."""

    status: str = "silent"
    reason: str = ""
    peers: Mapping[str, str] = field(default_factory=dict[str, str])
    instances: int | None = None
    lag_ms: float | None = None


async def ask(host: str, port: int, own_name: str, names_by_url: Mapping[str, str] | None) -> Report:
    """Ask a node for its state, or without names for its status only; an empty report when it does not answer."""
    try:
        _, health = await fetch(host, port, "/health")
        if names_by_url is None:
            return _of_itself(_object(health))
        _, cluster = await fetch(host, port, "/artemis/api/status/cluster.json")
        _, metrics = await fetch(host, port, "/metrics")
        return read_report(health, cluster, metrics, names_by_url, own_name)
    except (OSError, ValueError):
        return Report()


def _of_itself(health: Mapping[str, object]) -> Report:
    return Report(status=str(health.get("status")), reason=str(health.get("reason") or ""))


def read_report(
    health: bytes, cluster: bytes, metrics: bytes, names_by_url: Mapping[str, str], own_name: str
) -> Report:
    """Make sense of three answers. Raises `ValueError` for what is no answer of a node."""
    itself = _of_itself(_object(health))
    peers: dict[str, str] = {}
    nodes = _object(cluster).get("nodesStatus")
    for entry in nodes if isinstance(nodes, list) else []:
        if not isinstance(entry, dict) or not isinstance(node := entry.get("node"), dict):
            continue
        url = str(node.get("url"))
        name = names_by_url.get(url, url)
        if name != own_name:
            peers[name] = str(entry.get("status"))
    values = read_metrics(metrics.decode(errors="replace"))
    instances = _all(values, INSTANCES_METRIC)
    lags = _all(values, LAG_METRIC)
    return replace(
        itself,
        peers=peers,
        instances=int(sum(instances)) if instances else None,
        lag_ms=max(lags) * 1000 if lags else None,
    )


def read_metrics(page: str) -> dict[str, float]:
    """A page in the Prometheus text format as a dictionary: `name` or `name{labels}` to value."""
    values: dict[str, float] = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


def _all(values: Mapping[str, float], name: str) -> list[float]:
    return [value for key, value in values.items() if key == name or key.startswith(name + "{")]


def _object(body: bytes) -> dict[str, object]:
    decoded: object = json.loads(body)
    if not isinstance(decoded, dict):
        raise ValueError("not an object")  # noqa: TRY004  what arrived is wrong, not what we did
    return decoded
