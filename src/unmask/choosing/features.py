"""Features and a digest of every image, in one pass over the files."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unmask.data.imageset import ImageSet
from unmask.deploy.images import require_numbers
from unmask.encoders.stages import evaluating
from unmask.forward import map_images, pooled_features
from unmask.training.engine import build_engine, fast_layout

LARGE = 200_000
"""Number of images above which only the features' main directions are kept, to bound memory."""
WIDTH, BASIS = 64, 10_000
"""Number of directions, and of evenly spread images on which they are found."""


@dataclass(frozen=True)
class Features:
    """A network's features of the readable images."""

    images: ImageSet
    values: NDArray[np.float32]
    """Centered, (N, D)."""
    digests: NDArray[np.bytes_]
    """16 bytes per image: equal iff all pixels at the network's size are, (N,)."""


def features_of(network: nn.Module, images: ImageSet, *, show: bool = False) -> Features:
    """Pooled features, as a head gets them, minus their mean; for more than 200,000 images 64 principal directions.

    Raises:
        UserError: a feature is not a number, or no image can be read.
    """
    model: Any = fast_layout(network).to(build_engine("no").device)
    basis = _main_directions(model, images) if len(images) > LARGE else None
    device, digests = next(network.parameters()).device, list[bytes]()

    def look(batch: Tensor) -> Tensor:
        """Features of a batch; a digest of each of its images is kept."""
        digests.extend(hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in batch.numpy())
        found = model.forward_head(model.forward_features(batch.to(device)), pre_logits=True).flatten(1).float().cpu()
        return found if basis is None else found @ basis

    with evaluating(network):
        outputs = map_images(look, images, description="features", show=show)
    require_numbers(outputs, "the features")
    values = outputs.values.sub_(outputs.values.mean(0)).numpy()
    return Features(outputs.images, values, np.asarray(digests, "S16"))


def _main_directions(model: Any, images: ImageSet) -> Tensor | None:
    """The directions of largest variance, (D, 64); None if there are no more than that."""
    found = pooled_features(model, images.select(images.evenly(BASIS))).values.flatten(1).double()
    if found.shape[1] <= WIDTH:
        return None
    _, directions = torch.linalg.eigh(torch.cov(found.T))
    return directions[:, -WIDTH:].float()
