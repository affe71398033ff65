"""The table of faults: what a user's words mean, and what a connection meets."""

import pytest

from artemis.cluster.faults import Cut, Fault, FaultError, FaultTable


@pytest.fixture
def table() -> FaultTable:
    return FaultTable(["a", "b", "c", "clients"])


def test_islands_are_cut_from_each_other_in_both_directions(table: FaultTable) -> None:
    table.cut(table.select("a,b | c"))
    assert table.link("a", "c") is table.link("c", "a") is table.link("c", "b") is Cut.SILENT
    assert table.link("a", "b") is Cut.NONE


def test_a_name_that_is_not_mentioned_keeps_its_links(table: FaultTable) -> None:
    table.cut(table.select("a|b"))
    assert table.link("a", "c") is table.link("b", "c") is table.link("clients", "a") is Cut.NONE


def test_one_way_cuts_one_flow_but_no_connection_can_come_about(table: FaultTable) -> None:
    table.cut(table.select("a>b"))
    assert table.flow("a", "b").cut is Cut.SILENT
    assert table.flow("b", "a").cut is Cut.NONE
    assert table.link("a", "b") is table.link("b", "a") is Cut.SILENT


def test_a_single_node_means_all_of_its_links(table: FaultTable) -> None:
    assert table.select("a") == {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")}


def test_clients_are_meant_only_where_they_are_mentioned(table: FaultTable) -> None:
    assert not any("clients" in flow for flow in table.select(""))
    assert table.select("clients|a") == {("clients", "a"), ("a", "clients")}
    assert table.select("clients") == {
        ("clients", "a"), ("a", "clients"), ("clients", "b"), ("b", "clients"), ("clients", "c"), ("c", "clients"),
    }  # fmt: skip


def test_reset_is_louder_than_silence(table: FaultTable) -> None:
    table.cut([("a", "b")], cut=Cut.SILENT)
    table.cut([("b", "a")], cut=Cut.RESET)
    assert table.link("a", "b") is Cut.RESET


def test_faults_add_up_and_heal_forgets_them_all(table: FaultTable) -> None:
    table.slow(table.select("a|b"), delay_s=0.1)
    table.lossy(table.select("a>b"), loss=0.5)
    table.cut(table.select("a|b"))
    assert table.flow("a", "b") == Fault(cut=Cut.SILENT, delay_s=0.1, loss=0.5)
    table.heal()
    assert table.faults() == {}
    assert table.flow("a", "b") == Fault()


def test_healing_one_link_leaves_the_others_broken(table: FaultTable) -> None:
    table.cut(table.select("a,b|c"))
    table.heal(table.select("a|c"))
    assert table.link("a", "c") is Cut.NONE
    assert table.link("b", "c") is Cut.SILENT


def test_an_empty_selection_is_everything_between_nodes(table: FaultTable) -> None:
    assert len(table.select("")) == 3 * 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a|x", "there is no 'x'"), ("a,b|b", "two islands"), ("a|", "has no nodes"), (">b", "has no nodes")],
)
def test_nonsense_is_refused_with_the_reason(table: FaultTable, text: str, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint):
        table.select(text)


@pytest.mark.parametrize("fields", [{"delay_s": -1.0}, {"bytes_per_s": 0.0}, {"loss": 1.5}, {"reset": -0.1}], ids=str)
def test_impossible_faults_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(FaultError):
        Fault(**fields)  # type: ignore[arg-type]


def test_a_fault_reads_like_a_sentence() -> None:
    fault = Fault(cut=Cut.RESET, delay_s=0.05, jitter_s=0.01, bytes_per_s=2048, loss=0.1, reset=0.01)
    assert str(fault) == "cut (reset), +50 ms ±10 ms, 2 KiB/s, 10.0% lost, 1.00% reset"
    assert str(Fault()) == "pass"
