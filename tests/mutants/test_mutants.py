"""The catalogue of mutants keeps up with the source. Planting them all takes minutes: `python -m tests.mutants`."""

from .mutant import load


def test_every_mutant_can_be_planted() -> None:
    problems = {mutant.name: problem for mutant in load() if (problem := mutant.problem()) is not None}
    assert not problems


def test_no_two_mutants_are_the_same() -> None:
    mutants = load()
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in mutants}) == len(mutants)
