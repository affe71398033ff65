"""The captured exchanges of the RPC core, replayed in order against a fresh node, and compared by meaning."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio

from artemis.cluster.processes import free_ports

from .conftest import StartNode
from .deviations import BETTER
from .flavours import OPEN
from .matching import LOCAL_TIME, Including, Text, Whole
from .nodes import NodeProcess
from .samples_core import EXCHANGES, STARTING, UNDECODABLE
from .sockets import HEARTBEAT, websocket
from .wire import ask, encoded, get, post, rpc

TESTS = Path(__file__).parent.parent
SOME_TEXT = Text(r"(?s).+")


def expected(captured: Any, node: NodeProcess) -> Any:
    """What must be answered: the captured answer, but for texts, times, counters, and the port of the capture."""
    match captured:
        case dict():
            fields = {name: expected(value, node) for name, value in captured.items()}
            for name, pattern in PATTERNS.items():
                if name in fields:
                    fields[name] = pattern
            if fields.get("message"):
                fields["message"] = SOME_TEXT
            if "isSafe" in fields or "evitionTime" in fields:
                return Including(fields)  # see BETTER["extra-fields"]
            return fields
        case list():
            return [expected(item, node) for item in captured]
        case "http://127.0.0.1:8080":
            return node.url
        case _:
            return captured


PATTERNS: dict[str, Any] = {
    "errorMessage": SOME_TEXT,
    "creationTime": LOCAL_TIME,
    "renewalTime": LOCAL_TIME,
    "leaseCount": Whole(1),
    "leaseUpdateCountLastTimeWindow": Whole(),  # see BETTER["lease-counters"]
    "leaseUpdateMaxCount": Whole(),
    "leaseUpdateMaxCountLastUpdateTime": Whole(1),
}

DIFFERENT: dict[str, Any] = {
    "services": {"version": Whole(1)},  # see BETTER["bulk-answers"]
}


@pytest.mark.parametrize("managed", [True, False], ids=["management on", "management off"])
async def test_a_captured_exchange_is_answered_in_the_same_way(
    start_node: StartNode, fast_lane: bool, managed: bool
) -> None:
    node = start_node(
        {"node": {"fast_lane": fast_lane}, "registry": {"lease_ttl_s": 20}, "management": {"enabled": managed}}
    )
    for exchange in EXCHANGES:
        if exchange.management in (None, managed):
            answer = await post(node, exchange.path, exchange.request)
            wanted = expected(exchange.answer, node)
            wanted.update(DIFFERENT.get(exchange.title, {}))
            assert answer == wanted, exchange.title


async def test_a_heartbeat_that_is_none_is_answered_as_it_was_captured(node: NodeProcess) -> None:
    async with websocket(node, HEARTBEAT) as session:
        assert await session.ask("garbage") == UNDECODABLE


async def test_a_node_that_is_still_starting_answers_as_it_was_captured(start_node: StartNode, fast_lane: bool) -> None:
    """It waits for a peer that takes its connections and says nothing."""
    silent = trio.socket.socket()
    await silent.bind(("127.0.0.1", 0))
    silent.listen()
    try:
        peer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (port,) = free_ports(1)
        nodes = {"zone1": [f"http://127.0.0.1:{port}", peer]}
        node = start_node({"node": {"fast_lane": fast_lane, "port": port}, "cluster": {"nodes": nodes}})
        answer = await get(node, "/artemis/api/status/node.json")
        assert answer == expected(STARTING, node)
        for name in ("registry/heartbeat", "registry/register", "registry/unregister"):
            refused = await rpc(node, name, {"instances": [{"serviceId": "Svc.A"}]})
            assert refused["responseStatus"]["errorCode"] == "service-unavailable"
            assert "status: starting, canServiceRegistry: null" in refused["responseStatus"]["message"]
        assert (await ask(node, "GET", "/health/ready")).status == 503
        assert (await ask(node, "GET", "/health")).json["status"] == "starting"
        nodes = await rpc(node, "cluster/up-registry-nodes", {})
        assert nodes["responseStatus"]["errorCode"] == "data-not-found"
    finally:
        silent.close()


async def test_no_answer_offers_credentials_to_every_origin(shared_node: StartNode) -> None:
    node = shared_node(OPEN)
    for path in ("/artemis/api/registry/register.json", "/artemis/api/status/node.json"):
        answer = await ask(node, "POST", path, b"{}", origin="http://console.example")
        assert answer.header("access-control-allow-origin") == "*"
        assert answer.header("access-control-allow-credentials") is None


async def test_scripts_of_other_origins_get_no_access(node: NodeProcess) -> None:
    for path in (
        "/artemis/api/registry/register.json",
        "/artemis/api/status/node.json",
        "/api/management/operate-instance.json",
        "/api/management/zone/pull-out",
        "/api/routing/groups",
    ):
        for method, body in (("POST", encoded({})), ("OPTIONS", None)):
            answer = await ask(
                node,
                method,
                path,
                body,
                origin="http://evil.example",
                access_control_request_method="POST",
                access_control_request_headers="content-type",
            )
            assert not [name for name, _ in answer.headers if name.startswith("access-control-allow")]
            assert answer.status == (403 if method == "POST" else 200)


def test_every_deviation_is_shown_by_a_test() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    tests = set(re.findall(r"^(?:async )?def (test_\w+)", sources, flags=re.MULTILINE))
    missing = {name: deviation.test for name, deviation in BETTER.items() if deviation.test not in tests}
    assert not missing


def test_titles_of_exchanges_are_unique() -> None:
    assert len({exchange.title for exchange in EXCHANGES}) == len(EXCHANGES)
