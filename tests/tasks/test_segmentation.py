"""The task of masks: what it says of labels, and that its pieces agree with each other."""

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from unmask.errors import UserError
from unmask.tasks.segmentation import Segmentation

TASK = Segmentation(classes=("background", "cat", "dog"))


def masks(images: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    found = torch.randint(0, 3, (images, 8, 8), generator=generator, dtype=torch.uint8)
    found[0, :, :4] = 255
    return found


def outputs() -> Tensor:
    raw = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return TASK.readout(raw)


def test_an_image_has_a_label_where_its_mask_has_a_class() -> None:
    labels = masks().numpy()
    labels[2] = 255
    assert TASK.known(labels).tolist() == [True, True, False, True, True, True]
    assert TASK.strata(labels)[2] == -1
    assert set(TASK.strata(labels)) <= {-1, 0, 1, 2}


def test_scores_contributions_and_the_short_score_are_one_number() -> None:
    predicted, truth = outputs(), masks()
    scores = TASK.scores(predicted, truth)
    judged = TASK.judged(predicted, truth).numpy()
    assert TASK.contributions(judged, truth.numpy(), "miou").mean() == pytest.approx(scores.miou, abs=1e-12)
    assert TASK.contributions(judged, truth.numpy(), "dice").mean() == pytest.approx(scores.dice, abs=1e-12)
    assert TASK.score_of(TASK.predictions(TASK.kept(predicted)), truth) == scores.miou
    assert scores.per_class[1].pixels == int((truth == 1).sum())
    assert scores.pixel_accuracy == float((predicted == truth)[truth != 255].double().mean())


def test_an_unreadable_image_has_no_part_in_it() -> None:
    predicted, truth = outputs(), masks()
    without = TASK.scores(predicted[1:], truth[1:]).miou
    predicted[0] = torch.nan
    values = TASK.contributions(TASK.judged(predicted, truth).numpy(), truth.numpy(), "miou")
    assert np.isnan(values[0])
    assert values[1:].mean() == pytest.approx(without, abs=1e-12)
    kept = TASK.predictions(TASK.kept(predicted))
    assert kept[0].isnan().all()
    assert TASK.score_of(kept, truth) == pytest.approx(without, abs=1e-12)


def test_outputs_that_are_no_numbers_are_an_error() -> None:
    raw = torch.zeros(2, 3, 8, 8)
    raw[1, 0, 0, 0] = torch.nan
    found = TASK.readout(raw)
    assert found[1].isnan().all()
    with pytest.raises(UserError, match="diverged"):
        TASK.scores(found, masks()[:2])
    with pytest.raises(UserError, match="no image"):
        TASK.scores(found[:0], masks()[:0])


@pytest.mark.parametrize("encoder", [tiny.RESNET, tiny.VIT, tiny.PATCHNET])
def test_the_network_learns_masks(encoder) -> None:  # type: ignore[no-untyped-def]
    network = TASK.network(encoder, channels=1, size=(16, 16), seed=0)
    truth = torch.zeros(4, 16, 16, dtype=torch.uint8)
    truth[:, 4:12, 4:12] = 1
    images = truth.unsqueeze(1).float() * 2 - 1
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = TASK.loss(network(images), TASK.target(truth), smoothing=0.0, balance=None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
