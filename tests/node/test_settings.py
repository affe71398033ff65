"""What the parts are told follows from the configuration."""

from artemis.node.settings import cluster_settings
from artemis.node.sources import make_config


def test_a_peer_is_suspect_before_any_lease_heard_of_through_it_can_run_out() -> None:
    """Clients heartbeat at a quarter of their lease; so much of it may be over when the peer falls silent."""
    for values, lease_s in (({}, 5.0), ({"registry.lease_ttl_s": 1.0}, 1.0), ({"registry.lease_ttl_min_s": 2.0}, 2.0)):
        settings = cluster_settings(make_config(values), node_id="a", url="http://a")
        assert settings.suspect_s <= lease_s / 2
        assert settings.links.ping_s * 2 < settings.suspect_s, "a peer that has nothing to say is not suspect"
