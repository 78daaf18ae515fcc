"""The loss of masks: cross-entropy and soft Dice of every image, in equal parts.

Letters: B images, K classes, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unmask.config.data import IGNORED


def mask_targets(masks: Tensor, classes: int) -> Tensor:
    """Masks, integers (B, H, W), as float targets (B, K, H, W): 1 for the class, NaN where it is `IGNORED`."""
    ignored = masks == IGNORED
    shown = F.one_hot(masks.long().masked_fill(ignored, 0), classes).movedim(-1, 1).float()
    return shown.masked_fill(ignored.unsqueeze(1), torch.nan)


def mask_loss(logits: Tensor, target: Tensor, *, smoothing: float = 0.0, balance: Tensor | None = None) -> Tensor:
    """The sum over images of (mean cross-entropy of the counted pixels) + (1 - mean Dice of the classes shown).

    Dice is 2 Σ p t / (Σ p + Σ t) over the counted pixels of an image, for every class that it shows. All images count
    equally, so that micro-batches add up to their batch; one without a counted pixel counts 0.

    Args:
        logits: (B, K, H, W), in any precision; the loss is in float32.
        target: shares of the classes (B, K, H, W); NaN at pixels that do not count.
        smoothing: share of every cross-entropy target that is spread over all classes.
        balance: weights of the classes in the cross-entropy, (K,).
    """
    logits = logits.float()
    counted = ~target.isnan().any(1)
    target = target.nan_to_num(0.0)
    pixels = counted.sum((1, 2))
    entropy = F.cross_entropy(logits, target, balance, label_smoothing=smoothing, reduction="none")
    entropy = torch.where(counted, entropy, 0.0).sum((1, 2)) / pixels.clamp(min=1)
    predicted = logits.softmax(1) * counted.unsqueeze(1)
    true = target.sum((2, 3))
    overlap = 2 * (predicted * target).sum((2, 3)) / (predicted.sum((2, 3)) + true).clamp(min=1e-7)
    shown = true > 0
    dice = torch.where(shown, overlap, 0.0).sum(1) / shown.sum(1).clamp(min=1)
    return (entropy + torch.where(pixels > 0, 1 - dice, 0.0)).sum()
