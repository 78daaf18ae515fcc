"""What columns of labels are taken for."""

import unicodedata

import numpy as np
import pytest

from unmask.data.sources.labels import read_labels
from unmask.data.sources.manifest_texts import encode_groups, encode_labels
from unmask.errors import UserError
from unmask.evaluate.labels import UNKNOWN
from unmask.tasks.multilabel import Multilabel

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


@pytest.mark.case("-1 and decomposed accents in a column of several labels ended in a KeyError")
def test_several_labels_in_a_cell_are_read_as_one_is() -> None:
    """-1 and NaN are no label, accents composed, 1.0 is 1; a word for an unknown cell is no label of the others."""
    accents = [unicodedata.normalize(form, "thé") for form in ("NFC", "NFD")]
    for cells, labels, values in (
        (["a;b", "-1", "b", "a;-1", "-1;nan", ";"], ("a", "b"), [[1, 1], None, [0, 1], [1, 0], None, [0, 0]]),
        ([f"b;{accents[0]}", accents[1], "b", "NaN"], ("b", accents[0]), [[1, 1], [0, 1], [1, 0], None]),
        (["1;2", "1.0", "2", "none", "-1.0"], ("1", "2"), [[1, 1], [1, 0], [0, 1], None, None]),
    ):
        found = read_labels({"label": cells}, None, "m.csv")
        assert isinstance(found.task, Multilabel)
        assert found.task.labels == labels
        assert found.values.tolist() == [[UNKNOWN] * len(labels) if row is None else row for row in values]
    nothing = read_labels({"label": ["-1", "nan"]}, "multilabel", "m.csv", needed=False)
    assert not nothing.can_be_learned


@pytest.mark.case("0 and 0.0 were two classes, NaN one more")
@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        (["0", "1", "0.0", "1.0", "-0.0"], ("0", "1"), [0, 1, 0, 1, 0]),
        (["1.0", "2.", "1.00", "NaN", "-1.0", "-1.00"], ("1", "2"), [0, 1, 0, -1, -1, -1]),
        (["cat", "dog", "nan", "NaN", "", " cat"], ("cat", "dog"), [0, 1, -1, -1, -1, 0]),
        (["1", "1.0", "unknown"], ("1", "unknown"), [0, 0, 1]),
        (["007", "7", "7.0", "07.0"], ("007", "7", "07.0"), [0, 1, 1, 2]),
        (["9007199254740993", "9007199254740992.0"], ("9007199254740992", "9007199254740993"), [1, 0]),
        (["1e3", "1000", "2.5", "2.50"], ("1e3", "2.5", "2.50", "1000"), [0, 3, 1, 2]),
        (["none", "NA", "nano"], ("NA", "nano", "none"), [2, 0, 1]),
    ],
)
def test_labels_of_one_value_are_one_class(labels: list[str], classes: tuple[str, ...], codes: list[int]) -> None:
    """Names with digits, and numbers too large for a float, stay apart; none and NA are words."""
    assert (encode_labels(labels)[0], encode_labels(labels)[1].tolist()) == (classes, codes)
    found = read_labels({"label": labels}, "classification", "m.csv")
    assert (found.task and found.task.names, found.values.tolist()) == (classes, codes)


def test_groups_of_one_value_are_one_group() -> None:
    """And images without one are not together."""
    accents = [unicodedata.normalize(form, "Zoé") for form in ("NFC", "NFD")]
    found = encode_groups(["p1", "NaN", "NaN", "12", "12.0", "p1", "", "012", *accents])
    assert found.tolist() == [0, 1, 2, 3, 3, 0, 4, 5, 6, 6]


def test_whole_numbers_count_once_whatever_their_form() -> None:
    """Up to 20 are classes; indices that all occur are classes, whatever is unknown."""
    twice = [form for at in range(12) for form in (str(at), f"{at}.0")]
    assert len(read_labels({"label": [*twice, "nan"]}, None, "m.csv").task.names) == 12  # type: ignore[union-attr]
    assert len(read_labels({"label": [*AGES, "NaN"]}, None, "x", codes="contiguous").task.names) == 30  # type: ignore[union-attr]


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
