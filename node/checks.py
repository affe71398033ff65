"""What must hold between settings, and for texts whose form a type cannot say."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from .config import RATE_LIMITED_OPERATIONS, SECRET_LENGTH_MIN, SECRETS_MAX, Config


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that cannot be used, and why."""

    key: str
    text: str


def check(config: Config) -> list[Problem]:
    """Everything that is wrong with a configuration whose values have the right types."""
    return [*_node(config), *_leases(config), *_rate_limits(config), *_cluster(config), *_access(config)]


def _node(config: Config) -> Iterator[Problem]:
    if config.node.url and not _is_base_url(config.node.url):
        yield Problem("node.url", "must look like http://host:port")


def _leases(config: Config) -> Iterator[Problem]:
    registry = config.registry
    if registry.lease_ttl_min_s > registry.lease_ttl_max_s:
        yield Problem("registry.lease_ttl_min_s", f"must not exceed lease_ttl_max_s = {registry.lease_ttl_max_s:g}")
    if registry.sweep_interval_s > registry.lease_ttl_s:
        yield Problem("registry.sweep_interval_s", f"must not exceed lease_ttl_s = {registry.lease_ttl_s:g}")


def _rate_limits(config: Config) -> Iterator[Problem]:
    known = {f"{area}.{name}" for area, names in RATE_LIMITED_OPERATIONS.items() for name in names}
    for name in sorted(config.rate_limits.operations.keys() - known):
        yield Problem("rate_limits.operations", f"{name} is unknown; known are {', '.join(sorted(known))}")


def _cluster(config: Config) -> Iterator[Problem]:
    cluster = config.cluster
    urls = [url for zone_urls in cluster.nodes.values() for url in zone_urls]
    for url in urls:
        if not _is_base_url(url):
            yield Problem("cluster.nodes", f"{url!r} must look like http://host:port")
    for url in sorted({url for url in urls if urls.count(url) > 1}):
        yield Problem("cluster.nodes", f"{url} is listed twice")
    for url in sorted(cluster.dialects.keys() - set(urls)):
        yield Problem("cluster.dialects", f"{url} is not among cluster.nodes")
    for url, dialled in sorted(cluster.dial.items()):
        if url not in urls:
            yield Problem("cluster.dial", f"{url} is not among cluster.nodes")
        if not _is_base_url(dialled):
            yield Problem("cluster.dial", f"{dialled!r} must look like http://host:port")
    if cluster.force_up and cluster.force_down:
        yield Problem("cluster.force_up", "cluster.force_down is set too; a node cannot be both")
    yield from _secrets(config)


def _secrets(config: Config) -> Iterator[Problem]:
    secret, secrets = config.cluster.secret, config.cluster.secrets
    if 0 < len(secret) < SECRET_LENGTH_MIN:
        yield Problem("cluster.secret", f"must have at least {SECRET_LENGTH_MIN} characters")
    if any(len(each) < SECRET_LENGTH_MIN for each in secrets):
        yield Problem("cluster.secrets", f"each must have at least {SECRET_LENGTH_MIN} characters")
    if len(secrets) > SECRETS_MAX:
        yield Problem("cluster.secrets", f"there are {len(secrets)}; at most {SECRETS_MAX} are accepted at a time")
    if secret and secrets:
        yield Problem("cluster.secrets", "cluster.secret is set too; give one of them")


def _access(config: Config) -> Iterator[Problem]:
    if config.cors.credentials and (not config.cors.origins or "*" in config.cors.origins):
        yield Problem("cors.credentials", "needs cors.origins to list origins, without *")
    for origin in config.cors.origins:
        if origin != "*" and not _is_base_url(origin):
            yield Problem("cors.origins", f"{origin!r} must look like https://host or be *")
    for proxy in config.node.trusted_proxies:
        if not _is_network(proxy):
            yield Problem("node.trusted_proxies", f"{proxy!r} is not an address or a network such as 10.0.0.0/8")
    black_lists = {
        "websocket.black_list_heartbeat": config.websocket.black_list_heartbeat,
        "websocket.black_list_discovery": config.websocket.black_list_discovery,
        "websocket.black_list_discoveries": config.websocket.black_list_discoveries,
    }
    for key, addresses in black_lists.items():
        for address in addresses:
            if not _is_address(address):
                yield Problem(key, f"{address!r} is not an IP address")


def _is_base_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
