"""Confusions: means over trainings, the worst pairs in order, and a size that does not grow with the classes."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tiny import confusion_entries
from unmask.report.confusions import DRAWN, Confusion
from unmask.report.page import write_report
from unmask.runs.scores import ClassificationScores, ClassScores


def _scores(confusion: list[list[int]], names: str) -> ClassificationScores:
    return ClassificationScores(
        accuracy=0.5,
        balanced_accuracy=0.5,
        macro_f1=0.5,
        auroc=None,
        per_class=tuple(ClassScores(name=name, recall=None, precision=None, images=4) for name in names),
        confusion=confusion_entries(confusion),
    )


def test_the_mean_over_trainings_and_the_worst_pairs() -> None:
    """Ordered by share of the true class, not by images; the diagonal and what never happens are no confusions."""
    first, second = [[2, 2, 0], [0, 1, 0], [8, 0, 80]], [[4, 0, 0], [1, 0, 0], [8, 0, 80]]
    found = Confusion.of("here", [_scores(first, "abc"), _scores(second, "abc")])
    np.testing.assert_allclose(found.counts, [[3, 1, 0], [0.5, 0.5, 0], [8, 0, 80]])
    assert found.pairs(9) == [(1, 0), (0, 1), (2, 0)]
    assert found.pairs(1) == [(1, 0)]
    pairs, matrix = found.tables()
    assert pairs.rows[0] == ("b", "a", "50.0", "0.5")
    assert matrix.columns == ("true class", "a", "b", "c")
    assert matrix.rows[1] == ("b", "0.5", "0.5", "0")
    (plate,) = found.plates()
    assert "Most often: b mistaken for a, 50.0 % of its images; a mistaken for b, 25.0 %" in plate.alt


def test_no_mistake_is_said() -> None:
    (plate,) = Confusion.of("here", [_scores([[2, 0], [0, 2]], "ab")]).plates()
    assert "no image is mistaken for another class" in plate.alt


def test_of_many_classes_the_pairs_alone_are_shown() -> None:
    images = {(i, (i * j) % (DRAWN + 1)): 1.0 + j for i in range(DRAWN + 1) for j in range(5)}
    found = Confusion("here", [str(i) for i in range(DRAWN + 1)], images)
    assert found.plates() == []
    (table,) = found.tables()
    assert len(table.rows) == 15


@pytest.mark.slow
def test_every_arm_has_its_matrix(tmp_path: Path, comparison_folder: Callable[..., Path]) -> None:
    """Means over draws and pretrainings at the primary budget."""
    text = write_report([comparison_folder(tmp_path / "run", draws=2)]).read_text(encoding="utf-8")
    titles = re.findall(r"<figcaption>([^<]*, mean of \d+ trainings)</figcaption>", text)
    assert len(titles) == 7
    assert titles[0] == "Pretrained, mean of 4 trainings"
    assert titles[1] == "Scratch, same schedule, mean of 2 trainings"
