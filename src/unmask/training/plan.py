"""How many steps a training takes, and how many images each."""

import math
from typing import NamedTuple

from unmask.config import OptimizerConfig
from unmask.errors import UserError


class Plan(NamedTuple):
    """Steps, steps per epoch, and images per step over all processes."""

    total: int
    per_epoch: int
    batch_size: int

    def epoch_of(self, step: int) -> int:
        """The epoch of a step."""
        return step // self.per_epoch


def plan_steps(config: OptimizerConfig, images: int, processes: int = 1) -> Plan:
    """Return the plan for so many images.

    The batch is shrunk so that an epoch's batches are nearly equal, and so that none holds a single image, on which
    BatchNorm has no variance (except for batches of two): every image is seen once per epoch, and a set smaller than
    the batch still trains. Over several processes every batch has an image for each process and each micro-batch.

    Raises:
        UserError: too few images for so many processes.
    """
    least = 2 if processes == 1 else max(2, processes * config.accumulate)
    per_epoch = math.ceil(images / config.batch_size)
    batch = math.ceil(images / per_epoch)
    while batch > least and 0 < images % batch < least:
        batch -= 1
    if processes > 1 and (batch < least or 0 < images % batch < least):
        each = f" with {config.accumulate} micro-batches each" if config.accumulate > 1 else ""
        raise UserError(
            f"{images} images in batches of {batch} cannot be shared by {processes} processes{each}: start fewer, or "
            "give a larger batch_size"
        )
    per_epoch = math.ceil(images / batch)
    return Plan(_total(config, per_epoch), per_epoch, batch)


def _total(config: OptimizerConfig, per_epoch: int) -> int:
    """Steps: as given, from the given epochs, or the configuration's default for neither."""
    if config.steps is not None:
        return config.steps
    if config.epochs is not None:
        return max(1, round(config.epochs * per_epoch))
    return max(1, config.min_steps, round(config.min_epochs * per_epoch))


def effective_lr(config: OptimizerConfig, *, batch: int | None = None, processes: int = 1) -> str:
    """The learning rate in the field's two conventions, for the log; `batch` is the actual size if it differs."""
    size = batch or config.batch_size
    factors = [f"{size / (processes * config.accumulate):g} per micro-batch"]
    factors += [f"{config.accumulate} micro-batches"] if config.accumulate > 1 else []
    factors += [f"{processes} processes"] if processes > 1 else []
    made_of = f" = {' x '.join(factors)}" if len(factors) > 1 else ""
    return f"lr {config.lr:g} at batch {size}{made_of} (base lr {config.lr * 256 / size:g} per 256 images)"
