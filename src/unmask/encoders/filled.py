"""Hierarchical transformers as in SimMIM (Xie et al. 2022): hidden cells are filled with a learned token.

Their windows need a full grid, so hidden cells cannot be left out. The fill carries nothing of the hidden pixels: it
is applied to tokens if the patches do not overlap, and to pixels otherwise.
"""

from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.protocol import Encoding
from unmask.encoders.sizes import require_divisible, require_mask
from unmask.encoders.stages import evaluating, first_kernel
from unmask.errors import UserError
from unmask.masking import expand


class FilledEncoder(nn.Module):
    """Any model with `forward_intermediates`; `fill` is a parameter of pretraining, not of the model."""

    execution = "filled"
    note = ""
    """Why hidden cells are not left out, for the log."""

    def __init__(self, model: nn.Module, *, image_size: tuple[int, int], cell: int | None = None) -> None:
        super().__init__()
        if not hasattr(model, "forward_intermediates"):
            raise UserError(f"encoder = {type(model).__name__} gives no intermediate maps: choose another encoder")
        self.model = model
        self._patches = _separate_patches(model)
        first = first_kernel(model)
        width = first.shape[0] if self._patches else first.shape[1]
        self.extra = nn.ParameterList([first.new_zeros(width)])
        shapes = self._probe(first.new_zeros(1, first.shape[1], *image_size))
        self.channels = tuple(shape[1] for shape in shapes)
        self.strides = tuple(image_size[0] // shape[2] for shape in shapes)
        self.cell = self.strides[-1] if cell is None else cell
        if self.cell < self.strides[0]:
            raise UserError(f"cell = {cell} is finer than the first stride {self.strides[0]} of {type(model).__name__}")
        require_divisible(image_size, self.cell, f"the mask cell of {self.cell} pixels")
        self.grid = (image_size[0] // self.cell, image_size[1] // self.cell)

    @property
    def fill(self) -> Tensor:
        """The token, with as many numbers as a patch or a pixel has channels."""
        return self.extra[0]

    def forward(self, images: Tensor, hidden: Tensor) -> Encoding:
        """See `Encoder.__call__`."""
        require_mask(images, hidden, self.cell)
        maps = self._run(images, hidden)
        gone = tuple(expand(hidden, *features.shape[2:]) for features in maps)
        return Encoding(tuple(m.masked_fill(h[:, None], 0) for m, h in zip(maps, gone, strict=True)), gone)

    def _run(self, images: Tensor, hidden: Tensor) -> list[Tensor]:
        if not self._patches:
            gone = expand(hidden, *images.shape[2:])[:, None]
            return _stages(self.model, torch.where(gone, self.fill[:, None, None].to(images.dtype), images))

        def fill(module: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:
            """Hook of the patch embedding: hidden tokens become the learned one."""
            flat = tokens.reshape(tokens.shape[0], -1, tokens.shape[-1])  # [B, h, w, D] or [B, N, D]
            grid = (images.shape[2] // self._patches, images.shape[3] // self._patches)
            gone = expand(hidden, *grid).flatten(1)[..., None]
            return torch.where(gone, self.fill.to(flat.dtype), flat).reshape(tokens.shape)

        handle = self.model.get_submodule("patch_embed").register_forward_hook(fill)
        try:
            return _stages(self.model, images)
        finally:
            handle.remove()

    @torch.no_grad()
    def _probe(self, images: Tensor) -> list[torch.Size]:
        with evaluating(self.model):
            return [m.shape for m in self._run(images, images.new_zeros(1, 1, 1, dtype=torch.bool))]


def _stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Stage maps [B, C, h, w]; the last one is the model's final, normalized output if it has the same size."""
    final, maps = model.forward_intermediates(images)  # type: ignore[operator]
    maps = list(maps)
    if final.ndim == 4 and final.shape == maps[-1].shape:
        maps[-1] = final
    elif final.ndim == 4 and final.permute(0, 3, 1, 2).shape == maps[-1].shape:
        maps[-1] = final.permute(0, 3, 1, 2)
    return maps


def _separate_patches(model: nn.Module) -> int:
    """Side of the patches if the model starts with non-overlapping ones and channels-last tokens, else 0."""
    embed = getattr(model, "patch_embed", None)
    proj = None if hasattr(embed, "backbone") else getattr(embed, "proj", None)  # a hybrid's patches are of a CNN's map
    separate = isinstance(proj, nn.Conv2d) and proj.kernel_size == proj.stride and len(set(proj.stride)) == 1
    return proj.stride[0] if separate and isinstance(proj, nn.Conv2d) else 0
