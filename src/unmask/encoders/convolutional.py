"""Masked CNNs, dense reference: the model's own forward on tensors that carry their mask."""

from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.dense.layout import Cells, Layout, Masked, UnsupportedError
from unmask.encoders.dense.tensor import MaskedTensor, masked_images
from unmask.encoders.protocol import Encoding
from unmask.encoders.sizes import require_divisible, require_mask
from unmask.encoders.stages import (
    CannotMaskError,
    captured,
    evaluating,
    explain,
    first_kernel,
    stage_modules,
    stage_strides,
    total_stride,
)
from unmask.errors import UserError


class DenseEncoder(nn.Module):
    """A CNN whose hidden positions are exactly 0 after every layer and never enter statistics.

    The model's parameters and buffers are shared. The work is that of the plain model; this is the reference that
    packed execution must equal.
    """

    execution = "dense"
    note = ""
    """Why packed execution was not possible, for the log."""

    def __init__(self, model: nn.Module, *, image_size: tuple[int, int], cell: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.stages = stage_modules(model)
        unit = total_stride(model)
        whole = -(-image_size[0] // unit) * unit, -(-image_size[1] // unit) * unit  # there strides are ratios of sizes
        shapes = self._probe(whole)
        self.channels = tuple(shape[1] for shape in shapes)
        self.strides = _strides(model, whole[0], shapes)
        self.cell = self.strides[-1] if cell is None else cell
        name = type(model).__name__
        require_divisible(image_size, self.cell, f"the mask cell of {self.cell} pixels")
        if self.cell < self.strides[0]:
            raise UserError(f"cell = {self.cell} is finer than the first stride {self.strides[0]} of {name}")
        self.grid = (image_size[0] // self.cell, image_size[1] // self.cell)

    def forward(self, images: Tensor, hidden: Tensor) -> Encoding:
        """See `Encoder.__call__`."""
        require_mask(images, hidden, self.cell)
        stages = self._run(images, hidden)
        return Encoding(tuple(s.values for s in stages), tuple(s.layout.hidden for s in stages))

    def _run(self, images: Tensor, hidden: Tensor) -> list[Masked]:
        cells = Cells(hidden)
        pixels = masked_images(images, Layout(cells, cells.at(*images.shape[2:]), (0, 2, 3)))
        try:
            with captured(self.model, self.stages, _snapshot) as stages:
                final = _snapshot(self.model.forward_features(pixels))  # type: ignore[operator]
        except UnsupportedError as error:
            raise CannotMaskError(explain(self.model, error)) from None
        maps = [stage for stage in stages if stage is not None]
        if final is not None and maps and final.layout.sizes == maps[-1].layout.sizes:
            maps[-1] = final
        if not maps:
            raise CannotMaskError(f"encoder = {type(self.model).__name__} has no spatial features to reconstruct from")
        return maps

    @torch.no_grad()
    def _probe(self, image_size: tuple[int, int]) -> list[torch.Size]:
        """Shapes of the stages, from one masked pass: an unsupported operation is found before training."""
        like = first_kernel(self.model)
        with evaluating(self.model):
            images = torch.zeros(1, like.shape[1], *image_size, device=like.device, dtype=like.dtype)
            return [s.values.shape for s in self._run(images, images.new_zeros(1, 1, 1, dtype=torch.bool))]


def _strides(model: nn.Module, height: int, shapes: list[torch.Size]) -> tuple[int, ...]:
    """Pixels per position: what the model declares, or less if layers were set to stride 1.

    Heights alone would be wrong for convolutions without padding, whose maps are smaller than height / stride.
    """
    measured = [-(-height // shape[2]) for shape in shapes]
    declared = stage_strides(model)
    if len(declared) != len(measured):
        return tuple(measured)
    return tuple(min(pair) for pair in zip(measured, declared, strict=True))


def _snapshot(value: Any) -> Masked | None:
    """Values and layout of a [B, C, H, W] map (channels-last maps are transposed), None for anything else."""
    if not isinstance(value, MaskedTensor) or value.plain.ndim != 4:
        return None
    masked = value.masked
    if masked.layout.axes == (0, 1, 2):
        return Masked(masked.values.permute(0, 3, 1, 2), masked.layout.with_axes((0, 2, 3)))
    return masked if masked.layout.axes == (0, 2, 3) else None
