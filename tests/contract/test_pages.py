"""The pages for whoever watches a node, rows 29 and 30 of the REST API: /health, /health/ready, /metrics."""

import pytest

from .building import instance, register
from .conftest import StartNode
from .flavours import FORCED_DOWN
from .matching import Including, Text
from .nodes import REGION, ZONE, NodeProcess
from .sockets import CHANGES, WATCH, websocket
from .waiting import eventually
from .wire import RPC, ask, get, rpc


async def metrics(node: NodeProcess) -> dict[str, float]:
    """The page of metrics: by name, and by name{labels}."""
    page = (await ask(node, "GET", "/metrics")).body.decode()
    samples = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


async def test_row_29_a_node_that_serves_is_healthy_and_ready(node: NodeProcess) -> None:
    for path in ("/health", "/health/ready"):
        answer = await get(node, path)
        assert answer == Including({"status": "up", "regionId": REGION, "zoneId": ZONE, "version": Text(r"\d+\..*")})


async def test_a_node_that_takes_no_traffic_is_healthy_and_not_ready(shared_node: StartNode) -> None:
    node = shared_node(FORCED_DOWN)
    assert (await get(node, "/health"))["status"] == "down"
    answer = await ask(node, "GET", "/health/ready")
    assert answer.status == 503
    assert answer.header("retry-after")
    assert answer.json["status"] == "down"


async def test_row_30_metrics_are_in_the_format_of_prometheus(node: NodeProcess) -> None:
    answer = await ask(node, "GET", "/metrics")
    assert answer.status == 200
    assert (answer.header("content-type") or "").startswith("text/plain; version=")
    assert answer.body.endswith(b"\n")
    page = answer.body.decode()
    assert "# TYPE artemis_requests_total counter" in page or "# TYPE artemis_requests counter" in page


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("text/plain", "text/plain"),
        ("application/json", "text/plain"),
        ("text/html,application/xhtml+xml", "text/plain"),
        ("text/plain;q=0", "text/plain"),
        ("image/*", "text/plain"),
        ("", "text/plain"),
    ],
)
async def test_metrics_are_text_whatever_is_accepted_and_open_metrics_when_asked_for(
    node: NodeProcess, accept: str, kind: str
) -> None:
    answer = await ask(node, "GET", "/metrics", accept=accept)
    assert answer.status == 200
    assert (answer.header("content-type") or "").startswith(kind)
    assert answer.body.endswith(b"# EOF\n") is (kind == "application/openmetrics-text")
    assert b"artemis_build" in answer.body


async def test_what_happens_is_counted_under_its_operation_and_outcome(node: NodeProcess, name: str) -> None:
    before = await metrics(node)
    await register(node, instance(name, "a"), instance(name, "b"))
    await rpc(node, "registry/heartbeat", {"instances": [instance(name, "a")]})
    await rpc(node, "registry/heartbeat", {"instances": [instance(name, "unknown")]})
    await rpc(node, "registry/register", {})
    await ask(node, "GET", f"{RPC}/nowhere.json")
    after = await metrics(node)

    def rise(sample: str) -> float:
        return after.get(sample, 0) - before.get(sample, 0)

    assert rise('artemis_requests_total{operation="register",outcome="success"}') == 1
    assert rise('artemis_requests_total{operation="register",outcome="bad-request"}') == 1
    assert rise('artemis_requests_total{operation="heartbeat",outcome="success"}') == 1
    assert rise('artemis_requests_total{operation="heartbeat",outcome="partial_fail"}') == 1
    assert rise('artemis_request_seconds_count{operation="heartbeat"}') == 2
    assert rise("artemis_instances") == 2
    assert rise("artemis_services") == 1
    assert rise("artemis_leases_renewed_total") >= 1


@pytest.mark.parametrize("path", [CHANGES, WATCH])
async def test_subscribers_and_pushes_are_counted(node: NodeProcess, name: str, path: str) -> None:
    before = await metrics(node)
    async with websocket(node, path) as session:
        await session.send({"serviceId": name, "type": "subscribe"})
        if path == WATCH:
            await session.receive()
        await session.ping()
        await register(node, instance(name))
        await session.receive()
        during = await metrics(node)
        assert during["artemis_subscribers"] == before["artemis_subscribers"] + 1
        assert during["artemis_pushes_total"] > before["artemis_pushes_total"]

    async def is_back() -> bool:
        return (await metrics(node))["artemis_subscribers"] == before["artemis_subscribers"]

    await eventually(is_back)


async def test_the_depths_of_mailboxes_and_the_lag_of_the_loop_are_shown(node: NodeProcess) -> None:
    samples = await metrics(node)
    assert any(name.startswith("artemis_mailbox_depth{") for name in samples)
    assert any("lag" in name for name in samples)
