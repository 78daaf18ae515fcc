"""Images through a network, batch by batch, with the ids of those that could be read."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from unmask.data.imageset import ImageSet


@torch.no_grad()
def apply(
    network: Callable[[Tensor], Tensor], images: ImageSet, *, description: str = "", show: bool = False
) -> tuple[Tensor, Tensor]:
    """Ids (N,) and outputs (N, ...) float32 on the CPU. An unreadable streamed file is left out under policy "skip".

    `network` gets images (B, C, H, W), normalised by their format; as many at once as in evaluation, so that the
    numbers are the same to the last bit.
    """
    ids, parts = [], []
    order = torch.arange(len(images))
    with tqdm(total=len(images), desc=description, unit="image", disable=not show) as bar:
        for batch in images.batches(order, images.at_once):
            parts.append(network(batch.images).float().cpu())
            ids.append(batch.ids)
            bar.update(len(batch.ids))
    return torch.cat(ids), torch.cat(parts)
