"""Monitor pretraining by loss, collapse and a picture, on a fixed batch of images with fixed masks."""

from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from unmask.config import PretrainConfig, TargetConfig
from unmask.data.imageset import Batch
from unmask.data.load import Dataset
from unmask.encoders.whole_images import whole_maps
from unmask.evaluate.rank import effective_rank, feature_std, is_collapsed
from unmask.masking import draw_masks
from unmask.stages.reconstructor import Reconstructor
from unmask.targets.target import Target, truth_of

_MONITORED_PIXELS = 2**21  # of the validation images on which loss, rank and deviation are monitored


class Look(NamedTuple):
    """Numbers for the log, and the prediction [B, D, Hc, Wc] that they were computed from."""

    values: dict[str, Any]
    prediction: Tensor


def watched_batch(config: PretrainConfig, data: Dataset, grid: tuple[int, int]) -> tuple[Batch, Tensor]:
    """Images of the validation split, if there is one, and their hidden cells: always the same."""
    source = data.val if data.val is not None and len(data.val) > 0 else data.pretrain
    height, width = data.format.size
    chosen = source.evenly(min(512, max(32, _MONITORED_PIXELS // (height * width))))
    batch = next(iter(source.batches(chosen, len(chosen))))
    return batch, draw_masks(config.recipe.mask, grid, seed=config.seed, epoch=-1, ids=batch.ids.numpy())


@torch.no_grad()
def observe(
    network: Reconstructor, target: Target, batch: Batch, hidden: Tensor, *, wanted: TargetConfig, engine: Accelerator
) -> Look:
    """Loss beside its baseline on hidden cells; effective rank and deviation of the features of whole images."""
    images, was_training = batch.images, network.training
    network.eval()
    with engine.autocast():
        prediction = network(images, hidden).float()
    loss = truth_of(target, images, batch.valid).loss(prediction, hidden, wanted.loss)
    features = whole_maps(network.encoder, images)[-1].float().mean(dim=(2, 3))
    network.train(was_training)
    health: dict[str, Any] = {"effective_rank": effective_rank(features), "feature_std": feature_std(features)}
    values = {"val_loss": float(loss.total / loss.number), "baseline": float(loss.baseline / loss.number), **health}
    return Look(values | {"collapsed": is_collapsed(**health)}, prediction)
