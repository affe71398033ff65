"""What a node publishes about its peers, in either dialect."""

from trio.testing import wait_all_tasks_blocked

from artemis.node.composition import open_node
from artemis.node.sources import make_config
from artemis.store.instances import Instance

OLD, NEW = "http://127.0.0.1:2", "http://127.0.0.1:3"
SETTINGS = {
    "data.directory": ":memory:",
    "node.port": 1,
    "cluster.nodes": {"default": ["http://127.0.0.1:1", OLD, NEW]},
    "cluster.dialects": {OLD: "rpc"},
}


async def test_news_that_waits_for_peers_is_shown_for_each_of_them() -> None:
    async with open_node(make_config(SETTINGS), port=1) as node:
        clock = node.core.clock
        instance = Instance(region_id="default", service_id="svc.a", instance_id="i1", url="http://i1/")
        await wait_all_tasks_blocked()
        outcome = node.registry.register([instance], now_s=clock.now_s(), now_ms=clock.now_ms())
        node.core.effects.written(outcome.entries, outcome.changes)
        page = node.metrics.expose()[0].decode()
    assert f'artemis_rpc_peer_waiting{{peer="{OLD}"}} 1.0' in page
    assert f'artemis_outbox_depth{{peer="{NEW}"}} 1.0' in page
