"""Images of one group count as one: laws of their values, the textbook's variance, and what depends on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unmask.inference.baseline import rank_on_validation
from unmask.inference.estimate import Units
from unmask.inference.hierarchy import Key, describe_units, estimate_over, paired_differences
from unmask.inference.image_groups import per_group
from unmask.inference.planning import advice, variance_rows
from unmask.inference.verdict import count_units

Values = NDArray[np.float64]
Members = NDArray[np.int64]


@st.composite
def _images(draw: st.DrawFn) -> tuple[Values, Members]:
    """Values of at least one readable image, and the groups of all."""
    size = draw(st.integers(1, 30))
    member = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    values = np.array(draw(st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=size, max_size=size)))
    values[draw(st.integers(0, size - 1))] = draw(st.floats(-5, 5))
    return values, 3 * np.array(member, np.int64)


@given(_images())
def test_the_mean_is_that_of_the_images(images: tuple[Values, Members]) -> None:
    values, groups = images
    found = per_group(values, groups)
    assert len(found) == len(np.unique(groups))
    assert np.nanmean(found) == pytest.approx(np.nanmean(values), abs=1e-12)


@given(_images(), st.integers(1, 4))
def test_copies_of_images_say_nothing_new(images: tuple[Values, Members], copies: int) -> None:
    values, groups = images
    once = per_group(values, groups)
    np.testing.assert_allclose(per_group(np.repeat(values, copies), np.repeat(groups, copies)), once, atol=1e-12)


@given(_images())
def test_groups_of_one_image_are_images(images: tuple[Values, Members]) -> None:
    values, _ = images
    np.testing.assert_allclose(per_group(values, np.arange(len(values))), values, atol=1e-12)
    assert per_group(values, None) is values


@given(_images(), st.randoms())
def test_the_order_of_images_has_no_effect(images: tuple[Values, Members], luck: object) -> None:
    values, groups = images
    order = np.random.default_rng(len(values)).permutation(len(values))
    np.testing.assert_allclose(per_group(values[order], groups[order]), per_group(values, groups), atol=1e-12)


def test_differences_of_groups_are_groups_of_differences() -> None:
    rng = np.random.default_rng(0)
    one, other, groups = rng.normal(size=20), rng.normal(size=20), rng.integers(0, 6, 20)
    apart = paired_differences({(None, 0): per_group(one, groups)}, {(None, 0): per_group(other, groups)})
    np.testing.assert_allclose(apart[None, 0], per_group(one - other, groups), atol=1e-12)


def test_the_variance_of_the_mean_is_that_of_leaving_groups_out() -> None:
    """The jackknife's (G - 1) / G * sum of squared deviations of the means without one group; equal groups: that of
    their means."""
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=40), np.sort(rng.integers(0, 7, 40))
    without = np.array([values[groups != g].mean() for g in range(7)])
    jackknife = 6 / 7 * float(((without - without.mean()) ** 2).sum())
    assert float(per_group(values, groups).var(ddof=1)) / 7 == pytest.approx(jackknife)
    equal = np.repeat(np.arange(8), 5)
    np.testing.assert_allclose(per_group(values, equal), values.reshape(8, 5).mean(axis=1), atol=1e-12)


def test_a_group_that_nobody_could_read_has_no_value() -> None:
    found = per_group(np.array([1.0, np.nan, np.nan, 3.0, 5.0]), np.array([0, 0, 1, 2, 2]))
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.nanmean(found) == pytest.approx(3.0)
    assert np.isnan(per_group(np.full(3, np.nan), np.array([4, 4, 9]))).tolist() == [True, True]


def _grouped_rows() -> dict[Key, Values]:
    """Differences of three draws on 40 images of 4 groups whose images are all alike."""
    rng = np.random.default_rng(2)
    of_group, groups = rng.normal(0, 0.3, 4), np.repeat(np.arange(4), 10)
    return {(None, s): per_group(of_group[groups] + rng.normal(0, 0.01), groups) for s in range(3)}


def test_words_speak_of_groups() -> None:
    rows = _grouped_rows()
    found = estimate_over({key: float(row.mean()) for key, row in rows.items()}, rows, grouped=True)
    assert found.units == Units(0, 3, 4, 3, grouped=True)
    assert found.method == "paired t over label draws and test groups"
    assert count_units(found.units) == "3 label draws and 4 test groups"
    assert describe_units(Units(0, 3, 4)) == "over label draws and test images"
    rows_of_page = variance_rows(found)
    assert rows_of_page[0].source == "test group"
    assert not any("test image" in row.source for row in rows_of_page)
    assert advice(found).startswith("Add test groups: with 8 test groups instead of 4")


def test_validation_images_of_one_group_tell_no_arm_from_another() -> None:
    rng = np.random.default_rng(3)
    clear = {"good": rng.normal(0.9, 0.01, (3, 60)), "bad": rng.normal(0.1, 0.01, (3, 60))}
    assert rank_on_validation(clear).beaten == ("bad",)
    one = {arm: np.stack([per_group(row, np.zeros(60, np.int64)) for row in rows]) for arm, rows in clear.items()}
    assert rank_on_validation(one).rivals == ("bad",)
    assert rank_on_validation(one).best == "good"
