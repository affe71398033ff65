"""What the parts are told follows from the configuration."""

import pytest

from artemis.node.config import ClusterSection, Config
from artemis.node.settings import cluster_settings, may_replicate, peer_addresses
from artemis.node.sources import make_config


def test_a_peer_is_suspect_before_any_lease_heard_of_through_it_can_run_out() -> None:
    """Clients heartbeat at a quarter of their lease; so much of it may be over when the peer falls silent."""
    for values, lease_s in (({}, 5.0), ({"registry.lease_ttl_s": 1.0}, 1.0), ({"registry.lease_ttl_min_s": 2.0}, 2.0)):
        settings = cluster_settings(make_config(values), node_id="a", url="http://a")
        assert settings.suspect_s <= lease_s / 2
        assert settings.links.ping_s * 2 < settings.suspect_s, "a peer that has nothing to say is not suspect"


SECRET = "a secret of the tests"
LISTED: dict[str, tuple[str, ...]] = {"zone1": ("http://127.0.0.1:8080", "http://127.0.0.2:8080")}
OLD = LISTED["zone1"][1]


@pytest.mark.parametrize(
    ("cluster", "let_in"),
    [
        (ClusterSection(), ("127.0.0.1", "127.0.0.2", "127.0.0.3")),
        (ClusterSection(secret=SECRET), ()),
        (ClusterSection(nodes=LISTED), ("127.0.0.1", "127.0.0.2")),
        (ClusterSection(nodes=LISTED, secret=SECRET), ()),
        (ClusterSection(nodes=LISTED, secrets=(SECRET,)), ()),
        (ClusterSection(nodes=LISTED, secret=SECRET, dialects={OLD: "rpc"}), ("127.0.0.2",)),
        (
            ClusterSection(nodes=LISTED, secret=SECRET, dialects={OLD: "rpc"}, dial={OLD: "http://127.0.0.3:1"}),
            ("127.0.0.2", "127.0.0.3"),
        ),
    ],
)
def test_who_replicates_without_the_secret(cluster: ClusterSection, let_in: tuple[str, ...]) -> None:
    """Nodes of the original system cannot send one; everybody else can, if there is one."""
    config = Config(cluster=cluster)
    admits = may_replicate(config, peer_addresses(config))
    assert tuple(ip for ip in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "10.0.0.1") if admits(ip)) == let_in
