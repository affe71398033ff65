"""`artemis backup` while a node works, and `artemis restore` when it is stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..contract.nodes import NodeProcess
from .commanding import Prompt
from .world import World


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node with a disk."""
    node = NodeProcess(tmp_path, {"data": {"directory": str(tmp_path / "data")}}).start()
    try:
        yield node
        node.stop()
    finally:
        node.destroy()


def test_a_backup_of_a_running_node_brings_back_what_was_decided_until_then(
    durable: NodeProcess, tmp_path: Path
) -> None:
    prompt = Prompt(World(durable, 1), durable.url)
    world, file, data = prompt.world, tmp_path / "backup.db", tmp_path / "data"
    prompt.says("groups", "create", f"{prompt.key}:blue")
    prompt.says("pull-out", "zone", world.zone, "--reason", "before")
    assert prompt.says("backup", str(file), "--data", str(data)) == [f"backed up {data} to {file}"]
    kept = prompt.json("audit")
    prompt.says("pull-in", "zone", world.zone)
    prompt.says("groups", "delete", f"{prompt.key}:blue")
    refusal = prompt.fails(1, "restore", str(file), "--data", str(data))
    assert str(data) in refusal
    assert "in use" in refusal
    durable.stop()
    assert prompt.says("restore", str(file), "--config", str(tmp_path / "artemis.toml")) == [
        f"restored {file} to {data}"
    ]
    durable.start()
    again = Prompt(world, durable.url)
    again.then(lambda: world.register("i1"))
    assert again.then(world.seen) == [], "the zone is out again"
    assert [group["name"] for group in again.json("groups")] == ["blue"]
    assert again.json("audit") == kept
    again.says("pull-in", "zone", world.zone)
    assert again.then(world.seen) == ["i1"]
    assert [entry["operation"] for entry in again.json("audit")] == ["pullin", *(entry["operation"] for entry in kept)]


def test_what_cannot_be_backed_up_or_restored_is_told(tmp_path: Path, world: World) -> None:
    prompt = Prompt(world, "http://127.0.0.1:1")
    missing = tmp_path / "missing"
    assert str(missing) in prompt.fails(1, "backup", str(tmp_path / "file"), "--data", str(missing))
    assert str(missing) in prompt.fails(1, "restore", str(missing), "--data", str(tmp_path))
    message = prompt.fails(2, "backup", str(tmp_path / "file"), "--data", ":memory:")
    assert message == "this node keeps nothing on disk; see --data"
