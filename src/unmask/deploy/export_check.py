"""Check an export on real images: its outputs are compared with the run's own before it counts as done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.deploy.images import load_as_trained
from unmask.deploy.trained import Trained
from unmask.errors import UserError
from unmask.segmenters import Segmenter

SIZES = (1, 2, 5)
"""Batch sizes at which a graph with a free batch is compared."""
UNIT = 32
"""Pixels that free sides are a multiple of."""
TOLERANCE = 1e-4
"""Largest difference, absolute, or relative to the largest output where that is above 1."""


@dataclass(frozen=True)
class Reference:
    """Five images and the run's output for them."""

    stored: Tensor
    """Pixel values as stored in files, float32 (5, C, H, W)."""
    normalized: Tensor
    """What the encoder sees, as evaluation prepares it."""
    outputs: Tensor
    """Logits, or pooled features, in float32."""

    @torch.no_grad()
    def enlarged(self, trained: Trained) -> "Reference":
        """The same images larger by `UNIT` pixels along both sides, as stored values that are not whole numbers."""
        height, width = self.stored.shape[2:]
        stored = interpolate(self.stored, (height + UNIT, width + UNIT), mode="bilinear")
        normalized = trained.card.format.prepare(stored)
        return Reference(stored, normalized, trained.model.cpu()(normalized))


def takes_any_size(trained: Trained) -> bool:
    """Whether a network is a segmenter of a CNN, and its images have sides that a free size covers."""
    model = trained.model
    free = isinstance(model, Segmenter) and not hasattr(model.encoder, "num_prefix_tokens")
    return free and all(side % UNIT == 0 and side >= 2 * UNIT for side in trained.card.format.size)


@torch.no_grad()
def reference(trained: Trained, data: str | None) -> Reference:
    """Images of the run's data, or of other data, through the run's own network.

    Raises:
        UserError: the data are missing (any images of the right form will do), or none can be read.
    """
    try:
        images = load_as_trained(trained, data, on_bad_file="skip", limit=max(SIZES)).readable
    except UserError as error:
        raise UserError(f"no images to check the export with: {error}; `data` names others") from None
    order = torch.arange(max(SIZES)) % len(images)
    normalized = next(iter(images.batches(order, len(order)))).images
    low, high = trained.card.format.ends()
    stored = images.raw(order) * (high - low) + low
    stored = stored if trained.card.format.kind == "float32" else stored.round()
    return Reference(stored, normalized, trained.model.cpu()(normalized))


def require_agreement(
    network: Callable[[Tensor], Tensor], inputs: Tensor, outputs: Tensor, *, what: str, sizes: Sequence[int] = SIZES
) -> float:
    """Compare outputs of an export, at several batch sizes, with the run's. Returns the largest difference.

    Raises:
        UserError: it is above `TOLERANCE`, or the shapes differ.
    """
    scale = max(1.0, float(outputs.abs().max()))
    worst = 0.0
    for size in sizes:
        got = network(inputs[:size])
        if got.shape != outputs[:size].shape:
            raise UserError(
                f"{what}: gives {tuple(got.shape)} for {size} images, the run {tuple(outputs[:size].shape)}"
            )
        worst = max(worst, float((got - outputs[:size]).abs().max()) / scale)
    if not worst <= TOLERANCE:
        raise UserError(f"{what}: differs from the run by {worst:.2g} (allowed {TOLERANCE:g}); nothing was exported")
    return worst
