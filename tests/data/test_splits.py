"""Laws of splits: groups stay whole, classes are split alike, what is given stays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.load import load_data
from unmask.data.sources.source import split_array
from unmask.data.splits import assign_splits


def shares(labels: np.ndarray, splits: np.ndarray, name: str) -> list[float]:
    return [float((splits[labels == label] == name).mean()) for label in np.unique(labels[labels >= 0])]


def assign(labels, given_splits=None, groups=None, seed=0, val=0.15, test=0.2):  # type: ignore[no-untyped-def]
    given_splits = split_array([""] * len(labels)) if given_splits is None else split_array(given_splits)
    return assign_splits(labels, given_splits, groups, val_share=val, test_share=test, seed=seed)


def test_every_class_has_its_shares() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 20])
    splits = assign(labels)
    assert shares(labels, splits, "test") == [0.2, 0.2, 0.2]
    assert shares(labels, splits, "val") == [0.12, 0.125, 0.1]  # round(0.15 of what the test left): 12, 5, 2


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 30), st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_classes_of_three_or_more_are_in_every_split(drawn: list[int], seed: int, share: float) -> None:
    labels = np.asarray(drawn)
    splits = assign(labels, seed=seed, val=share, test=share)
    assert set(splits) <= {"train", "val", "test"}
    assert np.array_equal(splits, assign(labels, seed=seed, val=share, test=share))
    for label in np.unique(labels):
        if (labels == label).sum() >= 3:
            assert set(splits[labels == label]) == {"train", "val", "test"}


@given(st.integers(2, 25), st.integers(1, 6), st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_no_group_is_in_two_splits(group_count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(group_count), size))
    labels = rng.integers(-1, 3, len(groups))
    splits = assign(labels, groups=groups, seed=seed)
    assert all(len(set(splits[groups == group])) == 1 for group in range(group_count))


def test_given_splits_stay_and_only_missing_ones_are_drawn() -> None:
    labels = np.zeros(40, np.int64)
    names = ["test"] * 10 + ["train"] * 30
    splits = assign(labels, names)
    assert (splits[:10] == "test").all()
    assert (splits[10:] == "val").sum() == round(0.15 * 30)
    assert (assign(labels, ["val"] * 5 + ["test"] * 5 + [""] * 30)[10:] == "train").all()


def test_unlabeled_images_are_for_training_only() -> None:
    labels = np.repeat([-1, 0, 1], 20)
    splits = assign(labels, ["unlabeled"] * 10 + [""] * 50)
    assert set(splits[:10]) == {"unlabeled"}
    assert set(splits[10:20]) == {"train"}


def test_seeds_differ() -> None:
    labels = np.zeros(100, np.int64)
    assert not np.array_equal(assign(labels, seed=0), assign(labels, seed=1))


@pytest.mark.parametrize(
    ("groups", "split", "lacks"),
    [
        ([0] * 10 + [1] * 10, [], ["no test images could", "no validation images could"]),
        ([0, 1] * 5 + [2, 3] * 5, [], ["no test images could"]),
        ([0, 1, 2, 3, 4] * 2 + [5] * 10, [], ["no test images of class 1 could", "no validation images of class 1"]),
        ([0] * 10 + [1] * 8 + [2] * 2, [""] * 18 + ["test"] * 2, ["no validation images could"]),
        ([0, 1, 2] * 3 + [0] + [3, 4, 5] * 3 + [3], [], []),
    ],
)
def test_a_split_that_cannot_be_drawn_is_said(
    tmp_path: Path, groups: list[int], split: list[str], lacks: list[str]
) -> None:
    more = {"split": np.asarray(split)} if split else {}
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) // 10, groups=np.asarray(groups), **more)
    config = DataConfig(data=str(tmp_path / "x.npz"))
    notes = [note for note in load_data(config, labels=True, progress=False).notes if "be drawn" in note]
    assert [note[: len(lack)] for note, lack in zip(notes, lacks, strict=True)] == lacks
    assert [text for text in check_data(config, progress=False).warnings if "be drawn" in text] == notes
    assert all("groups for that; use smaller ones, or give a split" in note for note in notes)
