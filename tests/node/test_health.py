"""Health pages: alive is not ready, and neither page is ever empty."""

import json

import pytest

from artemis.node.health import Health, HealthPages, NodeStatus
from artemis.node.metrics import Metrics
from artemis.transport.requests import Caller, Reply, Request


def ask(path: str, health: Health) -> Reply:
    pages = HealthPages(
        read=lambda: health,
        metrics=Metrics(),
        node_id="n1",
        region="lab",
        zone="zone1",
        storage="memory",
        now_s=lambda: 12.5,
        started_s=10.0,
    )
    (route,) = [route for route in pages.routes() if route.path == path]
    reply = route.handler(Request("GET", path, b"", b"", Caller("127.0.0.1")))
    assert isinstance(reply, Reply)
    return reply


@pytest.mark.parametrize("status", ["starting", "up", "draining", "down"])
def test_a_node_that_serves_is_alive_whatever_its_status(status: NodeStatus) -> None:
    reply = ask("/health", Health(status))
    assert reply.status == 200
    assert json.loads(reply.body)["status"] == status


@pytest.mark.parametrize("status", ["starting", "draining", "down"])
def test_only_a_node_that_is_up_is_ready(status: NodeStatus) -> None:
    reply = ask("/health/ready", Health(status, "waiting for a peer"))
    assert reply.status == 503
    assert dict(reply.headers)[b"retry-after"] == b"1"
    assert json.loads(reply.body)["reason"] == "waiting for a peer"
    assert ask("/health/ready", Health("up")).status == 200


def test_the_page_says_who_and_where_and_for_how_long() -> None:
    body = json.loads(ask("/health", Health("up")).body)
    assert (body["nodeId"], body["regionId"], body["zoneId"]) == ("n1", "lab", "zone1")
    assert body["storage"] == "memory"
    assert body["uptimeSeconds"] == 2.5


def test_the_metrics_page_has_the_content_type_that_scrapers_expect_and_is_never_empty() -> None:
    reply = ask("/metrics", Health("up"))
    assert reply.content_type.startswith(b"text/plain; version=")
    assert b"artemis_build_info" in reply.body
