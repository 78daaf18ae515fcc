"""The protocol of every encoder: a call from images and hidden cells to feature maps.

Letters: B images, C channels, H x W pixels, Hc x Wc cells, s a stage with C_s channels on
H_s x W_s positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Encoding:
    """Feature maps of the visible part of a batch."""

    maps: Sequence[Tensor]
    """One map per stage, [B, C_s, H_s, W_s], exactly 0 at hidden positions; the last one is the deepest."""
    hidden: Sequence[Tensor]
    """bool[B, H_s, W_s] beside each map: a position is visible iff a cell it covers is visible."""


class Encoder(Protocol):
    """An encoder that sees only visible cells.

    Implementations are `nn.Module`s whose `model` is the plain network: its parameters are shared, not copied, so its
    state_dict is what gets exported. Parameters outside `model` (a learned fill token) are only for pretraining; they
    are in an `nn.ParameterList` named `extra`.
    """

    model: nn.Module
    cell: int
    """Side of a mask cell in pixels."""
    grid: tuple[int, int]
    """Cells along height and width."""
    channels: tuple[int, ...]
    """Channels of each stage."""
    strides: tuple[int, ...]
    """Pixels along each side of a position of each stage."""
    execution: str
    """How hidden cells are treated: dense, packed, tokens or filled."""

    def __call__(self, images: Tensor, hidden: Tensor) -> Encoding:
        """Encode images [B, C, H, W] of which cells `hidden` (bool[B, Hc, Wc]) are not seen."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters: the model's, and those used in pretraining only."""
        ...
