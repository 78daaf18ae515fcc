"""Scores of labels and numbers are those of scikit-learn, and values per image their influence."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from unmask.config.metric import TASK_METRICS, Metric
from unmask.tasks.kinds import AnyTask
from unmask.tasks.multilabel import Multilabel
from unmask.tasks.regression import Regression

RNG = np.random.default_rng(0)
TRUE_LABELS = (RNG.random((60, 3)) < [0.2, 0.5, 0.7]).astype(np.uint8)
LOGITS = (RNG.normal(size=(60, 3)) + TRUE_LABELS).round(1)
NUMBERS = RNG.normal(size=(60, 1))
GUESSES = NUMBERS + RNG.normal(size=(60, 1))
LABELS, NUMBER = Multilabel(labels=("a", "b", "c")), Regression(targets=("age",))


def test_labels_score_as_in_scikit_learn() -> None:
    found = LABELS.scores(torch.tensor(LOGITS), torch.tensor(TRUE_LABELS))
    assert found.macro_auroc == pytest.approx(roc_auc_score(TRUE_LABELS, LOGITS, average="macro"))
    precision = average_precision_score(TRUE_LABELS, LOGITS, average="macro")
    assert found.mean_average_precision == pytest.approx(precision)
    assert found.micro_auroc == pytest.approx(roc_auc_score(TRUE_LABELS, LOGITS, average="micro"))
    assert found.macro_f1 == pytest.approx(f1_score(TRUE_LABELS, LOGITS > 0, average="macro"))
    assert found.micro_f1 == pytest.approx(f1_score(TRUE_LABELS, LOGITS > 0, average="micro"))


def test_numbers_score_as_in_scikit_learn() -> None:
    found = NUMBER.scores(torch.tensor(GUESSES), torch.tensor(NUMBERS))
    assert found.mae == pytest.approx(mean_absolute_error(NUMBERS, GUESSES))
    assert found.rmse == pytest.approx(root_mean_squared_error(NUMBERS, GUESSES))
    assert found.r2 == pytest.approx(r2_score(NUMBERS, GUESSES))
    assert found.spearman == pytest.approx(spearmanr(NUMBERS, GUESSES).statistic)


@pytest.mark.parametrize(
    ("task", "outputs", "labels", "metric"),
    [(LABELS, LOGITS, TRUE_LABELS, metric) for metric in TASK_METRICS["multilabel"]]
    + [(NUMBER, GUESSES, NUMBERS, metric) for metric in TASK_METRICS["regression"]],
)
def test_values_per_image_are_the_score_and_its_influence(
    task: AnyTask, outputs: np.ndarray, labels: np.ndarray, metric: Metric
) -> None:
    """Their mean is the score; one image once more among 200 copies of all changes it by its value's share."""
    values, copies, image = task.contributions(outputs, labels, metric), 200, 5

    def score(rows: np.ndarray) -> float:
        return float(getattr(task.scores(torch.tensor(outputs[rows]), torch.tensor(labels[rows])), metric))

    everything = np.arange(60)
    assert values.mean() == pytest.approx(score(everything))
    more = np.append(np.repeat(everything, copies), image)
    change = (score(more) - score(everything)) * copies * 60
    assert change == pytest.approx(values[image] - values.mean(), rel=0.05, abs=1e-3)


def test_unknown_labels_and_numbers_do_not_count() -> None:
    """Neither in the loss nor in scores."""
    target = torch.tensor([[1.0, torch.nan, 0.0]])
    losses = [LABELS.loss(torch.tensor([[0.3, x, 0.1]]), target, smoothing=0.0, balance=None) for x in (-9.0, 9.0)]
    assert losses[0] == losses[1]
    two = Regression(targets=("a", "b"))
    labels = torch.tensor([[1.0, torch.nan], [3.0, 2.0], [2.0, 5.0]])
    scores = two.fitted(labels).scores(torch.tensor([[1.0, 9.0], [3.0, 2.0], [2.0, 4.0]]), labels)
    assert [row.mae for row in scores.per_target] == [0.0, 0.5]


def test_strata_are_labels_and_quantiles() -> None:
    """Rare labels first; numbers in bins that fit a small budget."""
    strata = LABELS.strata(TRUE_LABELS)
    rarest = int(TRUE_LABELS.sum(0).argmin())
    assert len(set(strata[TRUE_LABELS[:, rarest] == 1].tolist())) == 1
    assert len(np.unique(LABELS.strata(TRUE_LABELS, 2))) == 2
    assert len(np.unique(NUMBER.strata(NUMBERS))) == 6
    assert len(np.unique(NUMBER.strata(NUMBERS, 3))) == 3


@pytest.mark.parametrize(("number", "images"), [(0.1, 3), (1.1, 30), (36.6, 11)])
def test_equal_numbers_vary_by_nothing(number: float, images: int) -> None:
    """Their mean may be rounded: their deviation is 0 all the same, and their R² undefined."""
    task = Regression(targets=("one", "other"))
    labels = np.stack([np.full(images, number), np.arange(images)], axis=1)
    outputs = torch.from_numpy(labels + 0.5)
    found = task.scores(outputs, torch.from_numpy(labels))
    one, other = found.per_target
    assert (one.r2, one.std) == (None, 0.0)
    assert found.r2 == other.r2
    assert task.contributions(outputs.numpy(), labels, "r2").mean() == pytest.approx(found.r2)
    assert task.fitted(torch.from_numpy(labels)).std[0] == 1.0
    assert Regression(targets=("one",)).smallest_effect("mae", labels[:, :1]) == 0.01
