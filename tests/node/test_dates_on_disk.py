"""Data that a wrong clock dated: a restart heals them, and loses nothing."""

import logging
from pathlib import Path

import pytest
import trio

from artemis.actors.clock import SystemClock
from artemis.actors.management import ManagementWriter
from artemis.node.composition import Node, open_node
from artemis.node.sources import make_config
from artemis.store.instances import Instance
from artemis.store.management.kinds import SERVER_OPERATION
from artemis.store.management.writes.operations import operate_server
from artemis.store.management.writes.operator import Operator
from artemis.store.versions import milliseconds

YEARS_MS = 10 * 366 * 24 * 3600 * 1000


class WrongClock(SystemClock):
    """Ten years ahead."""

    def now_ms(self) -> int:
        return super().now_ms() + YEARS_MS

    def stamp_ms(self) -> float:
        return super().stamp_ms() + YEARS_MS


async def operate(writer: ManagementWriter, ip: str, *, complete: bool) -> None:
    who = Operator(operator_id="op", token="", operation="pull-out", reason=None, extensions="{}", address="127.0.0.1")
    await writer.submit(
        lambda draft: operate_server(draft, who, region_id="default", server_id=ip, operation="out", complete=complete)
    )


def register(node: Node, name: str) -> None:
    clock = node.core.clock
    of_test = Instance(region_id="default", zone_id="z", service_id="svc", instance_id=name, ip="10.0.0.1", url="x")
    outcome = node.registry.register([of_test], now_s=clock.now_s(), now_ms=clock.now_ms())
    node.core.effects.written(outcome.entries, outcome.changes)


def newest_ms(node: Node) -> int:
    """Of everything that versions date."""
    versions = [version for _, _, version in node.registry.all_versions(range(256))]
    return milliseconds(max(versions + [version for _, _, version in node.management.all_versions(range(256))]))


async def test_a_restart_with_a_right_clock_discredits_what_a_wrong_one_dated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config({"data.directory": str(tmp_path / "data")})
    with trio.fail_after(60):
        async with open_node(config, port=1, clock=WrongClock()) as node:
            await operate(node.core.management_writer, "10.0.0.1", complete=False)
            await operate(node.core.management_writer, "10.0.0.2", complete=False)
            register(node, "i1")
            await node.flush()
        assert newest_ms(node) > SystemClock().now_ms() + YEARS_MS // 2
        async with open_node(config, port=1) as node:
            complaints = [record.message for record in caplog.records if record.levelno == logging.ERROR]
            assert len(complaints) == 1
            assert complaints[0].startswith("1 instances and 2 records of management on disk are dated in the future")
            assert newest_ms(node) < SystemClock().now_ms() - YEARS_MS // 10, "older than whatever peers hold"
            assert node.registry.find("svc", "i1") is not None
            assert len(node.management.tables) == 2
            await operate(node.core.management_writer, "10.0.0.2", complete=True)
            assert newest_ms(node) <= SystemClock().now_ms()
            await node.flush()
        caplog.clear()
        async with open_node(config, port=1) as node:
            assert [record for record in caplog.records if record.levelno == logging.ERROR] == []
            assert newest_ms(node) <= SystemClock().now_ms()
            assert _servers_out(node) == {"10.0.0.1"}, "what was decided after the restart is on disk"


def _servers_out(node: Node) -> set[str]:
    return {value.server_id for value in node.management.draft(now_ms=0).all(SERVER_OPERATION)}
