"""Batches depend on (seed, epoch, id) alone."""

import torch

from unmask.config import AugmentConfig, DataConfig
from unmask.data.imageset import batches
from unmask.data.load import load_data

STRONG = AugmentConfig(flip_vertical=0.5, shift=0.2, brightness=0.3, contrast=0.3)


def test_augmentation_does_not_depend_on_batch_size_or_order() -> None:
    data = load_data(DataConfig(data="digits"), labels=True, progress=False)
    train = data.pretrain
    order = torch.arange(len(train))

    def run(indices: torch.Tensor, size: int) -> torch.Tensor:
        parts = list(batches(train, indices, size, mean=data.mean, std=data.std, augment=STRONG, seed=3, epoch=2))
        images, ids = torch.cat([b.images for b in parts]), torch.cat([b.ids for b in parts])
        return images[ids.argsort()]

    assert torch.equal(run(order, 256), run(order.flip(0), 7))
