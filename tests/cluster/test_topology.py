"""Topologies: every example is valid, and what is generated from one is a configuration a node accepts."""

from pathlib import Path

import pytest

from artemis.cluster.topology import (
    TOPOLOGIES,
    Topology,
    TopologyError,
    encode_toml,
    load_topology,
    node_settings,
    simple_topology,
)
from artemis.node.config import Config
from artemis.node.sources import load

EXAMPLES = sorted(TOPOLOGIES.glob("*.toml"))


def configure(topology: Topology, name: str, directory: Path, **options: object) -> Config:
    """What a node makes of the file that is generated for it."""
    settings = node_settings(topology, name, data_directory=str(directory / "data"), **options)  # type: ignore[arg-type]
    file = directory / f"{name}.toml"
    file.write_text(encode_toml(settings), encoding="utf-8")
    return load(file=file, environment={})


def write(directory: Path, text: str) -> Path:
    file = directory / "topology.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_there_are_examples() -> None:
    assert [file.stem for file in EXAMPLES] == ["three-nodes", "two-regions", "two-zones"]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_node_of_an_example_accepts_its_configuration(file: Path, tmp_path: Path) -> None:
    topology = load_topology(file)
    for plan in topology.nodes:
        config = configure(topology, plan.name, tmp_path, secret="correct horse battery")
        assert config.advertised_url() == plan.url
        assert config.node_id() == plan.name
        assert config.cluster.secret == "correct horse battery"
        everyone = {url for urls in config.cluster.nodes.values() for url in urls}
        assert everyone == {plan.url, *(peer.url for peer in topology.peers(plan.name))}


def test_an_example_is_found_by_its_bare_name() -> None:
    assert load_topology(Path("two-zones")).names == ("a1", "a2", "b1", "b2")


def test_regions_are_separate_clusters() -> None:
    topology = load_topology(Path("two-regions"))
    assert [peer.name for peer in topology.peers("east1")] == ["east2"]


def test_peers_may_be_dialled_elsewhere_than_at_their_own_url(tmp_path: Path) -> None:
    topology = simple_topology(2).on_loopback([7001, 7002])
    config = configure(topology, "a", tmp_path, dial={"http://127.0.0.1:7002": "http://127.0.0.1:9002"})
    assert config.cluster.dial == {"http://127.0.0.1:7002": "http://127.0.0.1:9002"}
    assert config.cluster.nodes == {"zone1": ("http://127.0.0.1:7001", "http://127.0.0.1:7002")}


def test_nodes_are_dealt_out_to_zones() -> None:
    zones = [plan.zone for plan in simple_topology(5, zones=2).nodes]
    assert zones == ["zone1", "zone2", "zone1", "zone2", "zone1"]


def test_settings_of_all_nodes_and_of_one_are_merged(tmp_path: Path) -> None:
    text = """
        [settings.registry]
        lease_ttl_s = 7.5
        [nodes.a]
        port = 7001
        [nodes.b]
        port = 7002
        [nodes.b.settings.registry]
        sweep_interval_s = 0.5
    """
    topology = load_topology(write(tmp_path, text))
    assert configure(topology, "a", tmp_path).registry.lease_ttl_s == 7.5
    registry = configure(topology, "b", tmp_path).registry
    assert (registry.lease_ttl_s, registry.sweep_interval_s) == (7.5, 0.5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[nodes]", "1 to 64 nodes"),
        ("[nodes.a]\nport = 1\n[nodes.b]\nport = 1", "two nodes have the address"),
        ("[nodes.clients]", "cannot name a node"),
        ("[nodes.'a,b']", "cannot name a node"),
        ("[nodes.a]\nzones = 'x'", "zones"),
        ("nodes = 3", "Expected `object`"),
        ("[nodes", "topology.toml"),
    ],
)
def test_a_topology_that_cannot_be_built_says_why(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=complaint):
        load_topology(write(tmp_path, text))


def test_a_missing_file_lists_the_examples(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="three-nodes, two-regions, two-zones"):
        load_topology(tmp_path / "nothing.toml")


@pytest.mark.parametrize(("count", "zones"), [(0, 1), (27, 1), (2, 3), (2, 0)])
def test_impossible_numbers_are_refused(count: int, zones: int) -> None:
    with pytest.raises(TopologyError):
        simple_topology(count, zones=zones)


def test_awkward_texts_survive_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(encode_toml({"data": {"directory": 'C:\\"quoted"\n\u00e9'}}), encoding="utf-8")
    assert load(file=file, environment={}).data.directory == 'C:\\"quoted"\n\u00e9'
