"""The one way to run a network on the images of a set in evaluation: batch by batch, outputs with their images."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from unmask.data.imageset import ImageSet
from unmask.distributed import all_gather_objects, fail_together, share_of
from unmask.encoders.stages import evaluating
from unmask.errors import UserError
from unmask.training.sharding import whole


@dataclass(frozen=True)
class Outputs:
    """A network's outputs for the images that could be read; unreadable ones are missing in both fields."""

    images: ImageSet
    """The images, in the order of the set: their labels, ids and names are those of `values`."""
    values: Tensor
    """float32, or what the readout returns, [n, ...], on the CPU."""
    rows: Tensor
    """Positions of the images in the requested set: int64 [n], increasing."""

    def padded(self, number: int) -> Tensor:
        """[number, ...] with one row per image of the set, NaN where an image is missing."""
        if len(self.rows) == number:
            return self.values
        out = torch.full((number, *self.values.shape[1:]), torch.nan, dtype=self.values.dtype)
        out[self.rows] = self.values
        return out


@torch.no_grad()
def map_images(
    network: Callable[[Tensor], Tensor],
    images: ImageSet,
    engine: Accelerator | None = None,
    *,
    readout: Callable[[Tensor], Tensor] | None = None,
    description: str = "",
    show: bool = False,
) -> Outputs:
    """Return a network's outputs for all images of a set, normalized by the set's format.

    A module is put in evaluation mode meanwhile. Batches hold `images.at_once` images everywhere, so that numbers
    agree bit for bit. The processes of an engine share the images, and each gets all outputs. An unreadable file of
    streamed data is left out under the policy "skip", alone or with its whole batch; each output keeps its image.

    Args:
        network: images [B, C, H, W] to [B, ...]; on the engine's device, else it gets batches on the CPU.
        images: the set.
        engine: gives device, precision and processes.
        readout: what is kept of a batch of outputs. Default: all of it.
        description: of the progress bar.
        show: show a progress bar.

    Raises:
        UserError: a file cannot be read and the policy is "error", or none can be.
    """
    order = torch.arange(len(images))
    if engine is not None:
        order = share_of(order, engine.process_index, engine.num_processes)
    rows: list[Tensor] = []
    parts: list[Tensor] = []
    numbered = replace(images, ids=torch.arange(len(images)))
    with ExitStack() as stack:
        if isinstance(network, nn.Module):
            stack.enter_context(evaluating(network))
            stack.enter_context(whole(network))
        stack.enter_context(fail_together())
        bar = stack.enter_context(tqdm(total=len(order), desc=description, unit="image", disable=not show))
        for batch in numbered.batches(order, images.at_once, allow_empty=True):
            if len(batch.ids):
                given = _run(network, batch.images, engine).float().cpu()
                parts.append(given if readout is None else readout(given))
                rows.append(batch.ids)
            bar.update(len(batch.ids))
    return _gathered(images, rows, parts)


def _gathered(images: ImageSet, rows: list[Tensor], parts: list[Tensor]) -> Outputs:
    """The outputs of all processes in the order of the set."""
    pieces = all_gather_objects((torch.cat(rows), torch.cat(parts)) if parts else None)
    known = [piece for piece in pieces if piece is not None]
    if not known:
        first = f", the first is {images.names[0]}" if len(images) else ""
        raise UserError(f"none of {len(images)} images can be read{first}")
    found, values = (torch.cat(column) for column in zip(*known, strict=True))
    order = found.argsort()
    found = found[order]
    return Outputs(images if len(found) == len(images) else images.select(found), values[order], found)


def pooled_features(model: Any, images: ImageSet, *, description: str = "", show: bool = False) -> Outputs:
    """The encoder's pooled features of whole images, [N, D], as its head would get them; run on the model's device."""
    device = next(model.parameters()).device

    def features(batch: Tensor) -> Tensor:
        return model.forward_head(model.forward_features(batch.to(device)), pre_logits=True)

    with evaluating(model):
        return map_images(features, images, description=description, show=show)


def pooled_and_outputs(model: Any, images: ImageSet, engine: Accelerator, *, outputs: int) -> Outputs | None:
    """Return pooled features and the head's raw outputs side by side, [N, D + outputs]; run on the engine's device.

    None if a network has no pooled features, as is the case for few architectures. All processes of the engine call it.
    """
    head = getattr(model, "forward_head", None)
    if head is None or "pre_logits" not in signature(head).parameters:
        return None

    def outputs_of(batch: Tensor) -> Tensor:
        maps = model.forward_features(batch)
        pooled = head(maps, pre_logits=True).flatten(1)
        return torch.cat([pooled, head(maps)], dim=1) if outputs else pooled

    with evaluating(model), whole(model):
        return map_images(outputs_of, images, engine)


def _run(network: Callable[[Tensor], Tensor], images: Tensor, engine: Accelerator | None) -> Tensor:
    if engine is None:
        return network(images)
    with engine.autocast():
        return network(images.to(engine.device, memory_format=torch.channels_last))
