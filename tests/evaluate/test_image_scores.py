"""One value per image: the mean is the metric, the spread that of other images."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from unmask.config.metric import Metric
from unmask.evaluate.image_scores import image_scores


def _guesses(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.choice(3, size=n, p=[0.6, 0.3, 0.1])
    return np.where(rng.random(n) < 0.7, truth, rng.integers(0, 3, n)), truth


def test_the_mean_is_the_metric() -> None:
    guess, truth = _guesses(200, np.random.default_rng(0))
    assert image_scores(guess, truth).mean() == (guess == truth).mean()
    found = image_scores(guess, truth, "balanced_accuracy").mean()
    assert found == pytest.approx(balanced_accuracy_score(truth, guess))
    assert image_scores(guess, truth, "macro_f1").mean() == pytest.approx(f1_score(truth, guess, average="macro"))


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_spread_is_that_of_new_images(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    found, errors = [], []
    for _ in range(300):
        values = image_scores(*_guesses(400, rng), metric)
        found.append(values.mean())
        errors.append(values.std(ddof=1) / 20)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def test_balanced_accuracy_takes_the_classes_as_given() -> None:
    """A class that is always right and one that is always wrong: other images change nothing."""
    truth = np.array([0] * 9 + [1])
    assert image_scores(np.zeros(10, np.int64), truth, "balanced_accuracy") == pytest.approx(0.5)


def test_unreadable_images_have_no_value() -> None:
    values = image_scores(np.array([0, -1, 1]), np.array([0, 0, 0]))
    np.testing.assert_array_equal(values, [1.0, np.nan, 0.0])
