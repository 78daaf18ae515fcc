"""What columns of labels are taken for."""

import numpy as np
import pytest

from unmask.data.sources.labels import read_labels
from unmask.errors import UserError
from unmask.evaluate.labels import UNKNOWN

AGES = [str(age) for age in range(30)]


@pytest.mark.parametrize(
    ("columns", "task"),
    [
        ({"label": ["cat", "dog", "cat"]}, "classification"),
        ({"label": ["0", "1", "2"]}, "classification"),
        ({"label": ["0.5", "1", ""]}, "regression"),
        ({"label": ["a;b", "a", ";"]}, "multilabel"),
        ({"label_a": ["0", "1", "1"], "label_b": ["1", "0", ""]}, "multilabel"),
        ({"target_x": ["3", "1", "7"], "target_y": ["0.5", "2", "nan"]}, "regression"),
    ],
)
def test_the_labels_say_the_task(columns: dict[str, list[str]], task: str) -> None:
    found = read_labels(columns, None, "m.csv").task
    assert found is not None
    assert found.name == task


def test_unknown_is_not_none_of_them() -> None:
    found = read_labels({"label": ["a;b", "a", ";", ""]}, None, "m.csv")
    assert found.values.tolist() == [[1, 1], [1, 0], [0, 0], [UNKNOWN, UNKNOWN]]
    numbers = read_labels({"label": ["0.5", "", "2.5"]}, None, "m.csv").values.astype(np.float64)
    assert np.isnan(numbers[:, 0]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("columns", "asked", "line"),
    [
        ({"label": AGES}, None, "30 different whole numbers, classes or quantities: say which with `task`"),
        ({"label": ["0.5", "cat", "1"]}, None, "holds numbers with decimals and text"),
        ({"label": ["a,b", "a,c", "b"]}, None, "hold commas, as a in 2 of them"),
        ({"label_a": ["cat", "dog"], "label_b": ["1", "0"]}, None, "several label columns of mixed kinds"),
        ({"label": ["1", "x"]}, "regression", "row 2: x in column label is not a finite number"),
        ({"label": ["inf", "1"]}, "regression", "row 1: inf in column label is not a finite number"),
        ({"label": ["2.5", "2.5"]}, None, "label is 2.5 for all 2 images; nothing can be learned"),
        ({"label": ["a;b", "b"]}, None, "label b applies to all of 2 images"),
    ],
)
def test_what_fits_no_task_is_one_line(columns: dict[str, list[str]], asked: str | None, line: str) -> None:
    with pytest.raises(UserError) as error:
        read_labels(columns, asked, "m.csv")  # type: ignore[arg-type]
    assert line in str(error.value)
    assert "\n" not in str(error.value)
