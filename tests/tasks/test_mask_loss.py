"""The loss of masks against torch's cross-entropy and the Dice loss of segmentation-models-pytorch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unmask.config.data import IGNORED
from unmask.tasks.mask_loss import mask_loss, mask_targets
from unmask.tasks.segmentation import Segmentation

K = 4


def drawn(images: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    masks = torch.randint(0, K - 1, (images, 6, 7), generator=generator, dtype=torch.uint8)
    masks[:, 0, :3] = IGNORED
    return torch.randn(images, K, 6, 7, generator=generator), masks


def test_of_one_image_it_is_cross_entropy_and_the_dice_loss_of_others() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    logits, masks = drawn(1)
    entropy = F.cross_entropy(logits, masks.long(), ignore_index=IGNORED)
    theirs = smp.losses.DiceLoss("multiclass", ignore_index=IGNORED)(logits, masks.long())
    shown = len(masks[masks != IGNORED].unique())  # theirs is the mean over all classes, of which the others give 0
    expected = entropy + theirs * K / shown
    torch.testing.assert_close(mask_loss(logits, mask_targets(masks, K)), expected, rtol=1e-5, atol=1e-5)


def test_parts_of_a_batch_add_up_to_it() -> None:
    logits, masks = drawn()
    target = mask_targets(masks, K)
    parts = sum(mask_loss(logits[i : i + 1], target[i : i + 1]) for i in range(3))
    torch.testing.assert_close(mask_loss(logits, target), parts)


def test_ignored_pixels_change_nothing_and_get_no_gradient() -> None:
    logits, masks = drawn()
    logits.requires_grad_()
    loss = mask_loss(logits, mask_targets(masks, K))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, :, 0, :3].abs().max() == 0
    assert logits.grad[:, :, 1:].abs().min() > 0
    other = logits.detach().clone()
    other[:, :, 0, :3] = 50.0
    torch.testing.assert_close(mask_loss(other, mask_targets(masks, K)), loss.detach())


def test_an_image_without_a_mask_counts_nothing() -> None:
    logits, masks = drawn()
    one = mask_loss(logits[:1], mask_targets(masks[:1], K))
    masks[1:] = IGNORED
    torch.testing.assert_close(mask_loss(logits, mask_targets(masks, K)), one)


def test_a_right_prediction_costs_nothing() -> None:
    _, masks = drawn()
    sure = mask_targets(masks, K).nan_to_num(0.0) * 60
    assert mask_loss(sure, mask_targets(masks, K)) < 1e-4


def test_balanced_weights_have_the_mean_one_over_pixels() -> None:
    _, masks = drawn()
    weights = Segmentation(classes=tuple("abcd")).balance(masks)
    counted = masks[masks != IGNORED].long()
    assert float(weights[counted].mean()) == pytest.approx(1.0)
    assert weights[K - 1] == 0
