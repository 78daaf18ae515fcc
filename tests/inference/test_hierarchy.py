"""Which trials are pairs, what an interval is over, and that intervals cover the truth in every design."""

import numpy as np
import pytest
from numpy.typing import NDArray

from unmask.errors import UserError
from unmask.inference.estimate import Estimate, interval_of, paired_interval
from unmask.inference.hierarchy import Key, estimate_over, paired_differences


def test_arms_without_pretraining_pair_with_every_pretraining() -> None:
    mrp = {(0, 0): 0.8, (1, 0): 0.9, (0, 1): 0.7}
    scratch = {(None, 0): 0.5}
    expected = {(0, 0): 0.3, (1, 0): 0.4}
    assert paired_differences(mrp, scratch) == pytest.approx(expected)
    assert paired_differences(scratch, mrp) == pytest.approx({key: -value for key, value in expected.items()})
    assert paired_differences(mrp, {(0, 0): 0.6, (1, 0): 0.2}) == pytest.approx({(0, 0): 0.2, (1, 0): 0.7})


def test_images_pair_as_their_trials_do() -> None:
    mrp = {(0, 0): np.array([1.0, 0.0]), (1, 1): np.array([1.0, 1.0])}
    scratch = {(None, 0): np.array([0.0, 0.0]), (None, 1): np.array([1.0, np.nan])}
    found = paired_differences(mrp, scratch)
    assert {key: row.tolist() for key, row in found.items()}.keys() == {(0, 0), (1, 1)}
    np.testing.assert_array_equal(found[1, 1], [0.0, np.nan])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([(None, s) for s in range(3)], "over label draws, for these test images"),
        ([(0, s) for s in range(3)], "over label draws, for this encoder and these test images"),
        ([(p, s) for p in range(2) for s in range(3)], "over pretrainings and label draws, for these test images"),
        ([(s % 2, s) for s in range(6)], "over pretrainings and label draws, for these test images"),
        ([(p, 0) for p in range(3)], "over pretrainings, for this label draw and these test images"),
    ],
)
def test_the_method_says_what_varies_and_what_does_not(keys: list[Key], words: str) -> None:
    rng = np.random.default_rng(0)
    rows = {key: rng.normal(size=7) for key in keys}
    values = {key: float(row.mean()) for key, row in rows.items()}
    assert estimate_over(values).method == f"paired t {words}"
    over = estimate_over(values, rows)
    assert "test images" in over.method.split(", for ")[0]
    assert over.units is not None
    assert over.units.images == 7


def test_one_draw_of_one_encoder_has_no_interval_even_on_many_images() -> None:
    rows = {(0, 0): np.random.default_rng(0).normal(size=100)}
    assert estimate_over({(0, 0): float(rows[0, 0].mean())}, rows).error is None


def test_draws_alone_are_the_units_without_pretraining() -> None:
    values: dict[Key, float] = {(None, s): float(s) for s in range(3)}
    found, by_hand = interval_of(estimate_over(values), 0.95), paired_interval([0.0, 1.0, 2.0], 0.95)
    assert (found.low, found.high, found.n) == (by_hand.low, by_hand.high, 3)


def test_of_an_unfinished_crossed_table_the_whole_draws_count() -> None:
    values: dict[Key, float] = {(p, s): float(p + s * s) for p in range(2) for s in range(4)}
    del values[1, 3]
    whole = {key: value for key, value in values.items() if key[1] < 3}
    assert estimate_over(values) == estimate_over(whole)


def test_images_that_one_trial_could_not_read_are_left_out() -> None:
    rng = np.random.default_rng(0)
    rows: dict[Key, NDArray[np.float64]] = {(0, s): rng.normal(size=9) for s in range(3)}
    values = {key: float(row[1:].mean()) for key, row in rows.items()}
    rows[0, 1][0] = np.nan
    assert estimate_over(values, rows).error == estimate_over(values, {k: row[1:] for k, row in rows.items()}).error


def test_values_must_be_finite() -> None:
    with pytest.raises(UserError, match="finite"):
        estimate_over({(0, 0): 0.1, (1, 0): float("nan")})


def _covered(estimate: Estimate) -> bool:
    found = interval_of(estimate, 0.95)
    return found.low is not None and found.high is not None and found.low <= 0 <= found.high


def _rows(rng: np.random.Generator, keys: list[Key], n: int, sd: dict[str, float]) -> dict[Key, NDArray[np.float64]]:
    """Differences of no gain with effects of pretraining, draw, image, and the rest."""
    a, b, c = rng.normal(0, sd["a"], 9), rng.normal(0, sd["b"], 99), rng.normal(0, sd["c"], n)
    return {key: a[key[0] or 0] + b[key[1]] + c + rng.normal(0, sd["rest"], n) for key in keys}


@pytest.mark.parametrize(
    ("keys", "images", "fails"),
    [
        ([(p, s) for p in range(3) for s in range(4)], 50, "images"),
        ([(s % 3, s) for s in range(9)], 400, "pretrainings"),
        ([(p, s) for p in range(3) for s in range(6)], 400, "pretrainings"),
        ([(0, s) for s in range(6)], 50, "images"),
    ],
)
def test_intervals_cover_where_those_that_leave_a_source_out_do_not(keys: list[Key], images: int, fails: str) -> None:
    """Each source of chance counts: pretrainings, draws and test images, in the crossed and the diagonal design."""
    rng = np.random.default_rng(0)
    sd = {"a": 0.3 if len({p for p, _ in keys}) > 1 else 0.0, "b": 0.3, "c": 3.0, "rest": 1.0}
    covered, less = 0, 0
    for _ in range(400):
        rows = _rows(rng, keys, images, sd)
        values = {key: float(row.mean()) for key, row in rows.items()}
        covered += _covered(estimate_over(values, rows))
        if fails == "images":
            less += _covered(estimate_over(values))
        else:
            draws = {s for _, s in keys}
            means: dict[Key, NDArray[np.float64]] = {
                (None, s): np.mean([row for key, row in rows.items() if key[1] == s], axis=0) for s in draws
            }
            less += _covered(estimate_over({key: float(row.mean()) for key, row in means.items()}, means))
    # 400 repetitions at 0.95: standard deviation 4.4
    assert 367 <= covered <= 396
    assert less < 364
    assert less < covered - 12


def test_draws_with_common_images_make_the_interval_wider() -> None:
    """Nadeau and Bengio: draws of correlation 0.2 need the factor 1 + S ρ / (1 - ρ), here 2.25."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(400):
        common, own = rng.normal(0, 0.2**0.5), rng.normal(0, 0.8**0.5, 5)
        values: dict[Key, float] = {(None, s): float(common + own[s]) for s in range(5)}
        covered += _covered(estimate_over(values, overlap=0.2))
        naive += _covered(estimate_over(values))
    assert 367 <= covered <= 393
    assert naive < 360
    plain, wide = estimate_over(values), estimate_over(values, overlap=0.2)
    assert plain.error is not None
    assert wide.error == pytest.approx(plain.error * 1.5)
