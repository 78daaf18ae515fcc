"""A comparison that is continued after its answer says how often all its answers together err."""

from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from unmask.comparison.earlier_answers import answered_notes
from unmask.comparison.run import compare
from unmask.config import ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.runs.look_records import LookRow
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8, lr=3e-3))


def test_the_note_tells_the_error_of_all_answers() -> None:
    """7.9 % for 9 and 15 draws: two standard normal means with a correlation of √(9 / 15), each beyond 1.96."""
    assert answered_notes((), 9, (), 0.95) == []
    (note,) = answered_notes((9,), 15, (), 0.95)
    assert "after 9 of its 15 label draws already" in note
    assert "err in up to 7.9%, not 5%" in note
    (note,) = answered_notes((5, 9), 15, (), 0.95)
    assert "after 5 and 9 of its 15 label draws" in note


def test_looks_after_an_answer_add_to_its_error() -> None:
    """With looks that spend nothing it is that of the answer alone; its own look cannot make it smaller."""

    def row(draws: int, level: float) -> LookRow:
        return LookRow(draws=draws, plan=18, level=level, word="continue", needs=None)

    (note,) = answered_notes((8,), 18, (row(4, 1e-9), row(8, 1e-9), row(18, 1e-9)), 0.95)
    assert "err in up to 5.0%, not 5%" in note
    (note,) = answered_notes((8,), 18, (row(4, 0.001), row(8, 0.01), row(18, 0.04)), 0.95)
    assert 6.0 < float(note.split("up to ")[1].split("%")[0]) < 9.0


def read(config: CompareConfig, out: Path, *, resume: bool) -> tuple[tuple[int, ...], list[str]]:
    """Earlier answers of a summary, and its notes on them."""
    summary = read_record(Summary, compare(config, out, resume=resume, progress=False) / "summary.json")
    return summary.answered, [note for note in summary.notes if "had an answer after" in note]


@pytest.mark.slow
def test_a_comparison_remembers_its_answers(tmp_path: Path) -> None:
    config = tiny.comparison(finetune=RECIPE, draws=2, arms=("mrp", "scratch_same"), keep="none", jobs=1)
    assert read(config, tmp_path / "run", resume=False) == ((), [])
    assert read(config, tmp_path / "run", resume=True) == ((), [])
    answered, (note,) = read(replace(config, draws=3), tmp_path / "run", resume=True)
    assert (answered, "after 2 of its 3 label draws" in note) == ((2,), True)
    for _ in range(2):  # resumed without more draws, too
        answered, (note,) = read(replace(config, draws=4), tmp_path / "run", resume=True)
        assert (answered, "after 2 and 3 of its 4 label draws" in note) == ((2, 3), True)
    answered, (note,) = read(replace(config, draws=4, until="decided"), tmp_path / "run", resume=True)
    assert answered == (2, 3)
    assert read(replace(config, draws=4), tmp_path / "new", resume=False) == ((), [])
