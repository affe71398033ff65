"""Audits are numbered by the data, not by the node alone: data that were lost or restored use no number again."""

from pathlib import Path

from artemis.actors.management import ManagementWriter
from artemis.node.composition import open_node
from artemis.node.sources import make_config
from artemis.store.backup import backup, restore
from artemis.store.management.records import Audit
from artemis.store.management.writes.operations import operate_server
from artemis.store.management.writes.operator import Operator

WHO = Operator(operator_id="op", token="", operation="pull-out", reason=None, extensions="{}", address="127.0.0.1")


async def pull_out(writer: ManagementWriter, ip: str) -> None:
    await writer.submit(
        lambda draft: operate_server(draft, WHO, region_id="default", server_id=ip, operation="out", complete=False)
    )


async def audits_of(directory: Path, ip: str) -> list[Audit]:
    """Start a node on this data, pull a server out, and return all audits."""
    async with open_node(make_config({"data.directory": str(directory)}), port=1) as node:
        await pull_out(node.core.management_writer, ip)
        return [row.audit for row in node.management.audit.rows()]


async def test_a_restart_goes_on_counting(tmp_path: Path) -> None:
    await audits_of(tmp_path / "data", "10.0.0.1")
    first, second = await audits_of(tmp_path / "data", "10.0.0.2")
    assert first.origin == second.origin
    assert [first.sequence, second.sequence] == [1, 2]


async def test_a_node_with_restored_data_numbers_its_audits_anew(tmp_path: Path) -> None:
    await audits_of(tmp_path / "data", "10.0.0.1")
    backup(tmp_path / "data", tmp_path / "copy.db")
    lost = (await audits_of(tmp_path / "data", "10.0.0.2"))[-1]
    restore(tmp_path / "copy.db", tmp_path / "data")
    again = (await audits_of(tmp_path / "data", "10.0.0.3"))[-1]
    assert (again.origin, again.sequence) != (lost.origin, lost.sequence)


async def test_a_node_that_begins_with_nothing_numbers_its_audits_anew(tmp_path: Path) -> None:
    (one,) = await audits_of(tmp_path / "one", "10.0.0.1")
    (other,) = await audits_of(tmp_path / "other", "10.0.0.1")
    assert one.origin != other.origin
