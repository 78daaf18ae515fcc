"""Scores of masks against scikit-learn, torchmetrics, segmentation-models-pytorch and SciPy on the same masks."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from sklearn.metrics import f1_score, jaccard_score

from unmask.config.data import IGNORED
from unmask.evaluate.overlap import (
    Overlap,
    boundary_overlap,
    dice,
    dice_per_image,
    iou,
    iou_per_image,
    mean_of_classes,
    overlap,
)

K = 5


def masks(images: int = 12, side: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks of classes, of which class 4 is never true nor predicted; a tenth of the pixels is to be ignored."""
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(0, 4, (images, side // 4, side // 4), generator=generator)
    truth = truth.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)
    wrong = torch.rand(truth.shape, generator=generator) < 0.3
    predicted = torch.where(wrong, torch.randint(0, 4, truth.shape, generator=generator, dtype=torch.uint8), truth)
    ignored = torch.rand(truth.shape, generator=generator) < 0.1
    return predicted, truth.masked_fill(ignored, IGNORED)


def test_iou_and_dice_are_those_of_scikit_learn_over_all_pixels() -> None:
    predicted, truth = masks()
    known = truth != IGNORED
    pair = truth[known].numpy(), predicted[known].numpy()
    counts = overlap(predicted, truth, K)
    np.testing.assert_allclose(iou(counts)[:4], jaccard_score(*pair, average=None, labels=range(4)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(dice(counts)[:4], f1_score(*pair, average=None, labels=range(4)), rtol=0, atol=1e-12)
    assert np.isnan(iou(counts)[4])
    assert mean_of_classes(iou(counts)) == pytest.approx(jaccard_score(*pair, average="macro"), abs=1e-12)


def test_iou_is_that_of_torchmetrics() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    predicted, truth = masks()
    theirs = classification.MulticlassJaccardIndex(K, average="none", ignore_index=IGNORED)(
        predicted.int(), truth.int()
    )
    np.testing.assert_allclose(iou(overlap(predicted, truth, K))[:4], theirs[:4].numpy(), rtol=1e-6)


def test_counts_of_each_image_are_those_of_segmentation_models_pytorch() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    predicted, truth = masks()
    known = truth != IGNORED
    stats = smp.metrics.get_stats(
        predicted.long().masked_fill(~known, -1),
        truth.long().masked_fill(~known, -1),
        mode="multiclass",
        num_classes=K,
        ignore_index=-1,
    )
    counts = overlap(predicted, truth, K)
    true_positive, false_positive, false_negative = (stat.numpy() for stat in stats[:3])
    np.testing.assert_array_equal(counts.both, true_positive)
    np.testing.assert_array_equal(counts.predicted, true_positive + false_positive)
    np.testing.assert_array_equal(counts.true, true_positive + false_negative)


def test_the_boundary_is_what_erosion_takes_away() -> None:
    predicted, truth = masks()
    counts = boundary_overlap(predicted, truth, K)
    square, reach = np.ones((3, 3), bool), max(1, round(0.02 * 24 * 2**0.5))
    known = (truth != IGNORED).numpy()
    for image in (0, 5):
        for label in range(4):
            edges = []
            for one in (predicted[image].numpy(), truth[image].numpy()):
                mask = (one == label) & known[image]
                edges.append(mask & ~binary_erosion(mask | ~known[image], square, iterations=reach, border_value=0))
            assert counts.both[image, label] == (edges[0] & edges[1]).sum()
            assert counts.predicted[image, label] == edges[0].sum()
            assert counts.true[image, label] == edges[1].sum()


@pytest.mark.parametrize(("per_image", "score"), [(iou_per_image, iou), (dice_per_image, dice)])
def test_values_per_image_have_the_score_as_mean_and_its_spread_over_images(per_image, score) -> None:  # type: ignore[no-untyped-def]
    predicted, truth = masks(images=60)
    counts = overlap(predicted, truth, K)
    values = per_image(counts)
    assert values.mean() == pytest.approx(mean_of_classes(score(counts)), abs=1e-12)
    generator = np.random.default_rng(0)
    means = []
    for _ in range(400):
        rows = generator.integers(0, 60, 60)
        drawn = Overlap(counts.both[rows], counts.predicted[rows], counts.true[rows])
        means.append(mean_of_classes(score(drawn)))
    assert np.std(means) == pytest.approx(values.std() / 60**0.5, rel=0.12)


def test_counts_survive_storing() -> None:
    counts = overlap(*masks(), K)
    again = Overlap.of_stacked(counts.stacked())
    np.testing.assert_array_equal(again.both, counts.both)
    np.testing.assert_array_equal(again.union, counts.union)


def test_no_image_has_no_score() -> None:
    nothing = torch.zeros(0, 8, 8, dtype=torch.uint8)
    assert np.isnan(mean_of_classes(iou(overlap(nothing, nothing, K))))
    assert boundary_overlap(nothing, nothing, K).both.shape == (0, K)
