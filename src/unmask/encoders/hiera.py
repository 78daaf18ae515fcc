"""Hiera on its visible mask units (Ryali et al. 2023): timm's own forward drops hidden units after position embedding.

A mask unit is 8 x 8 tokens, 32 pixels: attention windows never cross it before the units are single tokens.
"""

import torch
from timm.models.hiera import Hiera
from torch import Tensor, nn

from unmask.encoders.protocol import Encoding
from unmask.encoders.sizes import require_divisible, require_mask
from unmask.encoders.stages import evaluating
from unmask.errors import UserError
from unmask.masking import expand


class HieraEncoder(nn.Module):
    """Cells are whole mask units; all images of a batch must have the same number of visible ones."""

    execution = "tokens"

    def __init__(self, model: Hiera, *, image_size: tuple[int, int], cell: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.units: tuple[int, int] = tuple(model.mask_spatial_shape)
        unit = image_size[0] // self.units[0]
        self.cell = unit if cell is None else cell
        if self.cell % unit:
            raise UserError(f"cell = {cell} is not a multiple of the {unit}-pixel mask units of Hiera")
        if model.patch_drop_rate:
            raise UserError("encoder_options: patch_drop_rate must be 0, the mask already drops units")
        require_divisible(image_size, self.cell, f"the mask cell of {self.cell} pixels")
        self.grid = (image_size[0] // self.cell, image_size[1] // self.cell)
        weight = model.patch_embed.proj.weight
        with torch.no_grad(), evaluating(model):
            blank = weight.new_zeros(1, weight.shape[1], *image_size)
            maps = self(blank, torch.zeros(1, *self.grid, dtype=torch.bool, device=weight.device)).maps
        self.channels = tuple(features.shape[1] for features in maps)
        self.strides = tuple(image_size[0] // features.shape[2] for features in maps)

    def forward(self, images: Tensor, hidden: Tensor) -> Encoding:
        """See `Encoder.__call__`."""
        require_mask(images, hidden, self.cell)
        gone = expand(hidden, *self.units)
        visible = ~gone.flatten(1)
        if len(visible.sum(1).unique()) > 1:
            raise UserError(
                "encoder = Hiera needs the same number of visible cells in every image: omit mask_ratio_max"
            )
        _, stages = self.model.forward_features(images, mask=visible, return_intermediates=True)
        maps = tuple(self._scatter(stage, visible) for stage in stages)
        return Encoding(maps, tuple(expand(hidden, *features.shape[2:]) for features in maps))

    def _scatter(self, units: Tensor, visible: Tensor) -> Tensor:
        """[B, n, h, w, C], the visible units, to [B, C, H, W], 0 at hidden ones."""
        batch, _, height, width, channels = units.shape
        rows, columns = self.units
        whole = units.new_zeros(batch, rows * columns, height, width, channels)
        whole = whole.index_put((*visible.nonzero().unbind(1),), units.flatten(0, 1))
        whole = whole.view(batch, rows, columns, height, width, channels).permute(0, 5, 1, 3, 2, 4)
        return whole.reshape(batch, channels, rows * height, columns * width)
