"""Mistakes that are put into the source of the theory are noticed by its verdicts."""

from pathlib import Path

import pytest

from scripts import load_script

theory_mutations = load_script(Path(__file__).parents[2] / "benchmarks" / "theory_mutations.py")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gain", "many_labels"])
def test_mutations_of_the_source_are_noticed(name: str) -> None:
    """A few of benchmarks/theory_mutations.py, which has them all."""
    (mutation,) = [one for one in theory_mutations.MUTATIONS if one.name == name]
    claims, end = theory_mutations.examine(mutation)
    assert claims
    assert end == ""


def test_every_mutation_fits_the_source() -> None:
    for mutation in theory_mutations.MUTATIONS:
        for file, old, _ in mutation.changes:
            text = (theory_mutations.SOURCE / "unmask" / "theory" / file).read_text(encoding="utf-8")
            assert text.count(old) == 1, (mutation.name, file, old)
