"""What is known of multiview images, and which of them tell whether a unit responds to a part."""

from dataclasses import replace

import numpy as np
import pytest

from unmask.audit.measures.known_parts import (
    alternate,
    contrasts,
    known_parts,
    single_part_accuracy,
    whole_accuracy,
    without_parts,
)
from unmask.config import DataConfig
from unmask.data.known_parts import KnownParts
from unmask.data.load import load_data
from unmask.data.sources.multiview import MultiViewConfig, draw_multiview, objects
from unmask.data.sources.multiview_source import true_parts
from unmask.errors import UserError

SMALL = DataConfig(
    data="multiview",
    options={"images": 30, "val_images": 9, "test_images": 90, "classes": 3, "size": 24, "part_size": 6, "seed": 7},
)
CONFIG = MultiViewConfig(**(SMALL.options or {}))  # type: ignore[arg-type]


def drawn_parts() -> tuple[KnownParts, np.ndarray]:
    shows = np.arange(90) % 3
    drawn = draw_multiview(CONFIG, "test", shows)
    truth = true_parts(CONFIG, "test", np.arange(90), drawn.labels, drawn.parts_present, ("a", "b", "c"))
    np.testing.assert_array_equal(truth.boxes, drawn.boxes)
    return truth, shows


def test_the_truth_of_a_loaded_test_set_is_the_generators() -> None:
    truth, _ = drawn_parts()
    data = load_data(SMALL, labels=True, progress=False)
    found = known_parts(data)
    assert found is not None
    for name in ("labels", "shown", "faint", "boxes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(truth, name))
    assert found.names == ("0.1", "0.2", "1.1", "1.2", "2.1", "2.2")
    single = known_parts(data, "single_2")
    assert single is not None
    assert (single.shown == [False, True]).all()
    assert known_parts(replace(data, parts=None)) is None
    with pytest.raises(UserError, match="'single_3' is unknown: the test sets are"):
        known_parts(data, "single_3")


def test_parts_are_found_by_ids_in_any_order_and_split() -> None:
    """Of a training image what the generator drew; of test images what stands in the set."""
    data = load_data(SMALL, labels=True, progress=False)
    assert data.parts is not None
    whole, ids = known_parts(data), np.array([44, 3, 39, 128])
    assert whole is not None
    mixed = data.parts.known(ids)
    first = draw_multiview(CONFIG, "train", np.zeros(30, np.int64))
    np.testing.assert_array_equal(mixed.boxes[1], first.boxes[3])
    for name in ("labels", "shown", "faint", "boxes"):
        found, expected = getattr(mixed, name), getattr(whole, name)
        np.testing.assert_array_equal(found[[0, 2, 3]], expected[ids[[0, 2, 3]] - 39])


def test_without_their_parts_images_are_the_same_elsewhere() -> None:
    still = DataConfig(data="multiview", options={**(SMALL.options or {}), "distractors": 0})
    data = load_data(still, labels=True, progress=False)
    truth = known_parts(data)
    assert truth is not None
    pixels, bare = data.tests["test"].raw(range(90)), without_parts(data)
    inside = np.zeros((90, 24, 24), bool)
    for image, part in zip(*np.nonzero(truth.shown), strict=True):
        top, left, bottom, right = truth.boxes[image, part]
        inside[image, top:bottom, left:right] = True
    changed = (pixels != bare)[:, 0].numpy()
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9


def test_faint_parts_are_the_distractors() -> None:
    truth, _ = drawn_parts()
    which, _ = objects(CONFIG, "test", np.arange(90), truth.labels, truth.shown)
    for image in range(90):
        assert set(np.flatnonzero(truth.faint[image])) == set(which[image, 2:])


def test_positives_show_the_part_alone_and_negatives_nothing_of_its_class() -> None:
    truth, shows = drawn_parts()
    which = contrasts(truth)
    for part in range(6):
        label, view = divmod(part, 2)
        positive = (truth.labels == label) & (shows == view + 1)
        np.testing.assert_array_equal(which.positive[:, part], positive)
        np.testing.assert_array_equal(which.negative[:, part], (truth.labels != label) & ~truth.faint[:, label, view])
    assert not (which.positive & which.negative).any()


def test_halves_are_balanced_in_class_and_view() -> None:
    truth, shows = drawn_parts()
    half = alternate(truth)
    for label in range(3):
        for view in range(3):
            group = (truth.labels == label) & (shows == view)
            assert abs(half[group].sum() - (~half[group]).sum()) <= 1


def test_accuracy_counts_each_part_alone() -> None:
    truth, shows = drawn_parts()
    # Right wherever the first part is shown; class 0 for the rest.
    predicted = np.where(shows != 2, truth.labels, 0)
    np.testing.assert_array_equal(single_part_accuracy(predicted, truth), [[1, 1], [1, 0], [1, 0]])
    assert whole_accuracy(predicted, truth) == 1
    only = truth.select(shows == 1)
    assert np.isnan(single_part_accuracy(predicted[shows == 1], only)[:, 1]).all()
    assert np.isnan(whole_accuracy(predicted[shows == 1], only))
