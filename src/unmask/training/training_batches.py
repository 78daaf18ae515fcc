"""Which images each step trains on: a function only of the seed, the epoch and the number of processes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from unmask.config import AugmentConfig
from unmask.data.imageset import Batch, ImageSet
from unmask.distributed import rank, share_of, world_size
from unmask.randomness import permutation
from unmask.training.plan import Plan


def training_batches(
    images: ImageSet, plan: Plan, *, augment: AugmentConfig, seed: int, start: int
) -> Iterator[tuple[int, Batch]]:
    """(step, this process's share of its batch) from step `start` to the end.

    Order, crops and flips are keyed by (seed, epoch, sample id), so that starting at any step gives exactly what an
    uninterrupted run would have given there.
    """
    step = start
    while step < plan.total:
        epoch, skip = divmod(step, plan.per_epoch)
        order = torch.from_numpy(permutation(seed, "order", epoch, len(images)))
        local, size = shares(order, plan.batch_size, rank(), world_size())
        for batch in images.batches(local, size, augment=augment, seed=seed, epoch=epoch, start=skip):
            if step >= plan.total:
                return
            yield step, batch
            step += 1


def shares(order: Tensor, batch_size: int, index: int, processes: int) -> tuple[Tensor, int]:
    """One process's part of every batch of an epoch, batch by batch, and its images in a full batch.

    Every image is in exactly one part of exactly one batch, and a batch holds the same images whatever the number of
    processes. Parts of one batch may differ by one image: losses and statistics are sums over all, divided by the total
    count.
    """
    parts = [share_of(batch, index, processes) for batch in order.split(batch_size)]
    return torch.cat(parts), len(parts[0])
