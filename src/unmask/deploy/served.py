"""The network as it is deployed: pixel values in, logits or features out."""

import torch
from torch import Tensor, nn

from unmask.data.decoding.image_format import ImageFormat
from unmask.tasks.regression import Regression


class Served(nn.Module):
    """y = model((clip((x - low) / (high - low)) - mean) / std), for pixel values x as stored in files, (B, C, H, W).

    (low, high) is the format's value range, (0, 255) for 8 bits, per channel if each has its own; clipped only
    if the run clipped. Missing values (NaN) become the channel's mean, as in the run. With `normalized`, x is what
    the encoder sees, and y = model(x). The outputs of a regression are numbers in their own unit, std y + mean.
    """

    low: Tensor
    span: Tensor
    mean: Tensor
    std: Tensor
    numbers: Tensor | None

    def __init__(
        self, model: nn.Module, wanted: ImageFormat, *, normalized: bool, task: Regression | None = None
    ) -> None:
        super().__init__()
        numbers = None if task is None else torch.tensor([task.std, task.mean])
        self.register_buffer("numbers", numbers)
        self.model = model
        self.normalized = normalized
        self.format = wanted
        low, high = wanted.ends()
        self.register_buffer("low", torch.as_tensor(low))
        self.register_buffer("span", torch.as_tensor(high - low))
        mean, std = wanted.statistics()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) to (B, classes), or (B, features) without a classifier."""
        found = self._outputs(images)
        return found if self.numbers is None else found * self.numbers[0] + self.numbers[1]

    def _outputs(self, images: Tensor) -> Tensor:
        if self.normalized:
            return self.model(images)
        shares = (images - self.low) / self.span
        shares = shares.clamp(0.0, 1.0) if self.format.clipped else shares
        # masked by the input: runtimes differ in how they clip a NaN
        return self.model(((shares - self.mean) / self.std).masked_fill(images.isnan(), 0.0))
