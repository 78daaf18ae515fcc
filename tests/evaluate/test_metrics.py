"""Scores against hand-counted ones, and the cases in which a score does not exist."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from unmask.errors import UserError
from unmask.evaluate.metrics import classification_metrics
from unmask.runs.scores import ClassScores

STEADY = settings(deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow])


def _one_hot(predicted: list[int], k: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predicted), k).float()


def test_a_hand_counted_table() -> None:
    logits = _one_hot([0, 0, 1, 1, 1, 2], 3)
    scores = classification_metrics(logits, torch.tensor([0, 0, 0, 1, 1, 1]), ["a", "b", "c"])
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.balanced_accuracy == pytest.approx(2 / 3)
    assert scores.confusion == ((0, 0, 2), (0, 1, 1), (1, 1, 2), (1, 2, 1))
    # F1 of a: 2*1*(2/3)/(5/3) = 0.8; of b: 2*(2/3)*(2/3)/(4/3) = 2/3; of c, predicted but never true: 0.
    assert scores.macro_f1 == pytest.approx((0.8 + 2 / 3) / 3)
    assert scores.per_class[0] == ClassScores(name="a", recall=pytest.approx(2 / 3), precision=1.0, images=3)
    assert scores.per_class[2] == ClassScores(name="c", recall=None, precision=0.0, images=0)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(60, 3, generator=generator), torch.arange(60) % 3
    shares = logits.softmax(dim=1)
    areas = []
    for i in range(3):
        positive, negative = shares[labels == i, i], shares[labels != i, i]
        areas.append((positive[:, None] > negative[None, :]).double().mean())
    measured = classification_metrics(logits, labels, "abc").auroc
    assert measured == pytest.approx(float(sum(areas) / 3), abs=1e-6)


@pytest.mark.case("one class, or top-5 of three classes, failed deep in the training")
def test_a_split_with_one_class_has_no_auroc() -> None:
    scores = classification_metrics(_one_hot([1, 1, 0], 2), torch.tensor([1, 1, 1]), ["a", "b"])
    assert scores.auroc is None
    assert scores.balanced_accuracy == pytest.approx(2 / 3)


@STEADY
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_laws_of_the_confusion_matrix(pairs: list[tuple[int, int]]) -> None:
    predicted, truth = [p for p, _ in pairs], [t for _, t in pairs]
    scores = classification_metrics(_one_hot(predicted, 4), torch.tensor(truth), "abcd")
    table = torch.zeros(4, 4)
    for true, guess, images in scores.confusion:
        assert images > 0
        table[true, guess] = images
    assert table.sum() == len(pairs)
    assert scores.accuracy == pytest.approx(float(table.diag().sum() / table.sum()))
    assert [row.images for row in scores.per_class] == table.sum(dim=1).tolist()


def test_a_class_of_minus_infinity_is_never_predicted() -> None:
    logits = torch.tensor([[0.0, -torch.inf], [-3.0, -torch.inf]])
    assert classification_metrics(logits, torch.tensor([0, 1]), "ab").accuracy == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.tensor([[0.0, torch.nan]]), [0], "diverged"),
        (torch.zeros(1, 2), [2], "outside"),
        (torch.zeros(2, 2), [0], "shape"),
        (torch.zeros(0, 2), [], "no image"),
    ],
)
def test_bad_input_is_one_clear_line(logits: torch.Tensor, labels: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        classification_metrics(logits, torch.tensor(labels, dtype=torch.long), ["a", "b"])


@STEADY
@given(st.integers(2, 5), st.integers(2, 40), st.integers(0, 10**6))
def test_auroc_is_scikit_learns(classes: int, images: int, seed: int) -> None:
    """Ties included: logits are whole numbers."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, 3, (images, classes), generator=generator).float()
    labels = torch.randint(0, classes, (images,), generator=generator)
    shares = logits.double().softmax(1).numpy()
    areas = [roc_auc_score(labels == i, shares[:, i]) for i in range(classes) if 0 < int((labels == i).sum()) < images]
    measured = classification_metrics(logits, labels, "abcde"[:classes]).auroc
    assert measured == (pytest.approx(float(np.mean(areas)), abs=1e-12) if areas else None)


@pytest.mark.case("5,000 classes took five minutes and 400 MB: a matrix of 25 million counts, a loop over classes")
def test_many_classes_stay_in_proportion() -> None:
    """The record grows with the images, not with the square of the classes."""
    classes = 3000
    logits = torch.zeros(classes, classes)
    logits[torch.arange(classes), torch.arange(classes).roll(1)] = 1.0
    scores = classification_metrics(logits, torch.arange(classes), [str(i) for i in range(classes)])
    assert len(scores.confusion) == len(scores.per_class) == classes
    assert scores.accuracy == 0
