"""What is read out of a node's answers, how it is shown, and how logs are joined."""

import json
from pathlib import Path

import pytest
import trio
from rich.console import Console

from artemis.cluster.logs import follow, tail
from artemis.cluster.table import cluster_table
from artemis.cluster.watch import NodeView, content_length, read_report

STATUS = {
    "nodesStatus": [
        {"node": {"url": "http://a:1", "zone": {}}, "status": "up"},
        {"node": {"url": "http://b:1"}, "status": "suspect"},
        {"node": {"url": "http://stranger:1"}, "status": "down"},
    ]
}


def test_a_report_names_peers_as_the_topology_does() -> None:
    metrics = b'# HELP x\nartemis_instances{kind="x"} 3\nartemis_instances{kind="y"} 4\n'
    report = read_report(
        b'{"status":"up"}', json.dumps(STATUS).encode(), metrics, {"http://a:1": "a", "http://b:1": "b"}, "a"
    )
    assert report.status == "up"
    assert report.peers == {"b": "suspect", "http://stranger:1": "down"}
    assert (report.instances, report.lag_ms) == (7, None)


def test_a_rate_limited_node_has_no_peers_for_the_moment() -> None:
    assert read_report(b'{"status":"up"}', b'{"nodesStatus":null}', b"", {}, "a").peers == {}


@pytest.mark.parametrize("health", [b"[]", b"nonsense", b""])
def test_what_is_no_answer_of_a_node_is_refused(health: bytes) -> None:
    with pytest.raises(ValueError):
        read_report(health, b"{}", b"", {}, "a")


def test_the_length_of_an_answer() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nA: b") == 12
    assert content_length(b"HTTP/1.1 200 OK\r\nA: b") is None


def test_the_table_shows_nodes_links_and_faults() -> None:
    views = [
        NodeView(
            name="a",
            region="r",
            zone="z1",
            url="http://127.0.0.1:1",
            address="127.0.0.1:1",
            process="running",
            pid=42,
            status="up",
            peers={"b": "suspect"},
            instances=12345,
            lag_ms=3.4,
        ),
        NodeView(name="b", region="r", zone="z2", url="u", address="x:1", process="killed by SIGKILL"),
    ]
    console = Console(width=140)
    with console.capture() as capture:
        console.print(cluster_table(views, {"a>b": "cut (silent)"}))
    lines = capture.get().splitlines()
    assert lines[0].split() == ["node", "zone", "url", "process", "status", "peer", "links", "instances", "lag"]
    assert lines[1].split() == [
        "a", "z1", "http://127.0.0.1:1", "running", "(42)", "up", "b", "suspect", "12,345", "3", "ms",
    ]  # fmt: skip
    assert lines[2].split() == ["b", "z2", "u", "killed", "by", "SIGKILL", "silent"]
    assert lines[-1].strip() == "a>b: cut (silent)"


def test_the_ends_of_several_logs_carry_the_names_of_their_nodes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n3\n")
    (tmp_path / "bb").write_text("4\n")
    files = {"a": tmp_path / "a", "bb": tmp_path / "bb", "c": tmp_path / "missing"}
    assert tail(files, 2) == ["a  | 2", "a  | 3", "bb | 4"]
    assert tail({"a": tmp_path / "a"}, 1) == ["3"]


async def test_following_writes_whole_lines_as_they_are_appended(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    written: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, {"a": log}, written.append)
        await trio.sleep(1)
        with log.open("a") as appending:
            appending.write("new\nhal")
        await trio.sleep(1)
        assert written == ["new"]
        with log.open("a") as appending:
            appending.write("f\n")
        await trio.sleep(1)
        log.write_text("again\n")
        await trio.sleep(1)
        assert written == ["new", "half", "again"]
        nursery.cancel_scope.cancel()
