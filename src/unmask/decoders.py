"""Light decoders: from the encoder's last map, hidden positions filled with a learned token, to one vector per cell.

A decoder sees the last map only. Skips from earlier stages would let it paint from details and leave the encoder
nothing to learn (measured in prototypes); a heavy decoder hides the time that masked execution saves.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from unmask.config import TargetConfig
from unmask.encoders.packed.convolution import convolve_at
from unmask.masking import expand

Convolve = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Fill(nn.Module):
    """Linear projection of the encoder's map to the grid of cells, hidden cells replaced by a learned token.

    If a cell covers several positions of the map, each has its own weights (a strided convolution), so that the
    place within the cell is not averaged away; if a position covers several cells, each cell gets its own channels
    (pixel shuffle).
    """

    def __init__(self, channels: int, width: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.finer = max(1, size[0] // grid[0])
        self.coarser = max(1, grid[0] // size[0])
        self.project = nn.Conv2d(channels, width * self.coarser**2, self.finer, self.finer)
        self.mask_token = nn.Parameter(torch.zeros(1, width, 1, 1))
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, features: Tensor, hidden: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """features [B, C, h, w], hidden bool [B, h, w] at the same resolution → [B, width, Hc, Wc]; `grid` where the
        images have other cells than it was built for."""
        grid = grid or self.grid
        x = F.pixel_shuffle(self.project(features), self.coarser)
        where = F.max_pool2d((~hidden).float(), self.finer) == 0
        where = where.repeat_interleave(self.coarser, 1).repeat_interleave(self.coarser, 2).unsqueeze(1)
        x = torch.where(where, self.mask_token.to(x.dtype), x)
        return x if tuple(x.shape[-2:]) == grid else F.interpolate(x, size=grid, mode="nearest")


class ConvolutionDecoder(nn.Module):
    """Residual 3x3 blocks on the grid of cells, then 1x1 to the target; without blocks one 3x3 convolution.

    Without blocks the whole decoder is linear, as in the theory's pixel form: a hidden cell is a linear function of
    the features of the cells around it.
    """

    def __init__(self, fill: Fill, width: int, depth: int, dimension: int) -> None:
        super().__init__()
        self.fill = fill
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(depth)
        )
        self.head = nn.Conv2d(width, dimension, 1 if depth else 3, padding=0 if depth else 1)

    def forward(
        self, features: Tensor, hidden: Tensor, wanted: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """features [B, C, h, w], hidden bool [B, h, w] → [B, D, Hc, Wc]; 0 at cells that are not requested."""
        x = self.fill(features, hidden, grid)
        for block in self.blocks[:-1]:
            x = x + block(F.gelu(x))
        if wanted is None:
            return self._end(x, x, lambda x, weight, bias: F.conv2d(x, weight, bias, padding=1), self.head)
        head, rows = self.head, x.permute(0, 2, 3, 1)[wanted]
        found = self._end(
            x,
            rows,
            lambda x, weight, bias: convolve_at(x, weight, bias, wanted),
            lambda rows: F.linear(rows, head.weight[:, :, 0, 0], head.bias),
        )
        return _scattered(found, wanted)

    def _end(self, x: Tensor, kept: Tensor, convolve: Convolve, head: Callable[[Tensor], Tensor]) -> Tensor:
        """The last block and the head: `kept` is what of x the block is added to, `convolve` a 3x3 convolution there.

        Block and head end in two linear maps, 3x3 and 1x1. Where the head is narrower, their product costs less.
        """
        if not self.blocks:
            return convolve(x, self.head.weight, self.head.bias)
        block: Any = self.blocks[-1]
        widen, narrow = block[0], block[2]
        inner = F.gelu(widen(F.gelu(x)))
        if self.head.out_channels >= narrow.out_channels:
            return head(kept + convolve(inner, narrow.weight, narrow.bias))
        with torch.autocast(x.device.type, enabled=False):
            last = self.head.weight[:, :, 0, 0]
            weight = (last @ narrow.weight.flatten(1)).view(-1, *narrow.weight.shape[1:])
            bias = last @ narrow.bias
        return head(kept) + convolve(inner, weight, bias)


def _scattered(rows: Tensor, wanted: Tensor) -> Tensor:
    """[n, D] at the n wanted cells of bool [B, Hc, Wc] to [B, D, Hc, Wc]."""
    out = rows.new_zeros(*wanted.shape, rows.shape[1])
    return out.index_put(wanted.nonzero().unbind(1), rows).permute(0, 3, 1, 2)


class TransformerDecoder(nn.Module):
    """MAE's decoder: learned positions, transformer blocks over all cells, linear head."""

    def __init__(self, fill: Fill, width: int, depth: int, dimension: int) -> None:
        super().__init__()
        self.fill = fill
        self.positions = nn.Parameter(torch.zeros(1, fill.grid[0] * fill.grid[1], width))
        heads = max(h for h in (16, 12, 8, 6, 4, 3, 2, 1) if width % h == 0 and (width // h >= 16 or h == 1))
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, dimension)
        nn.init.normal_(self.positions, std=0.02)

    def forward(
        self, features: Tensor, hidden: Tensor, wanted: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """features [B, C, h, w], hidden bool [B, h, w] → [B, D, Hc, Wc]; hidden cells that are not wanted are left out
        of the tokens, and 0. Positions are resampled where `grid` is not the one it was built for."""
        grid = grid or self.fill.grid
        positions = resample_abs_pos_embed(self.positions, list(grid), list(self.fill.grid), num_prefix_tokens=0)
        tokens = self.fill(features, hidden, grid).flatten(2).transpose(1, 2) + positions
        kept = None if wanted is None else self._kept(hidden, wanted)
        if kept is not None:
            tokens = tokens.gather(1, kept.expand(-1, -1, tokens.shape[2]))
        for block in self.blocks:
            tokens = block(tokens)
        out = self.head(self.norm(tokens))
        if kept is not None:
            blank = out.new_zeros(len(out), grid[0] * grid[1], out.shape[2])
            out = blank.scatter(1, kept.expand(-1, -1, out.shape[2]), out)
        return out.transpose(1, 2).unflatten(2, grid)

    def _kept(self, hidden: Tensor, wanted: Tensor) -> Tensor:
        """[B, n, 1]: visible and wanted cells in reading order; images with fewer keep some other cells too."""
        left_out = expand(hidden, *wanted.shape[1:]) & ~wanted
        flat = left_out.flatten(1)
        return torch.argsort(flat.byte(), dim=1, stable=True)[:, : int((~flat).sum(1).max()), None]


def build_decoder(
    config: TargetConfig, *, channels: int, size: tuple[int, int], dimension: int, grid: tuple[int, int], seed: int
) -> nn.Module:
    """The configured decoder with weights drawn from `seed`. `linear` is a convolution decoder without blocks.

    Args:
        channels, size: of the encoder's last map.
        dimension: numbers per cell of the target.
        grid: rows and columns of cells.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = config.decoder_width
        fill = Fill(channels, width, size, grid)
        if config.decoder == "transformer":
            return TransformerDecoder(fill, width, config.decoder_depth, dimension)
        depth = config.decoder_depth if config.decoder == "convolution" else 0
        return ConvolutionDecoder(fill, width, depth, dimension)
