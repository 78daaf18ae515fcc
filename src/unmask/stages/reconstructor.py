"""The network of pretraining: an encoder that sees visible cells, and a light decoder that paints the hidden ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unmask.config import PretrainConfig
from unmask.decoders import build_decoder
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.encoders.protocol import Encoder
from unmask.randomness import derive_seed
from unmask.targets.pixels import pixel_target


class Reconstructor(nn.Module):
    """images [B, C, H, W], hidden bool [B, Hc, Wc] → prediction [B, D, Hc, Wc] for every cell."""

    def __init__(self, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.model = encoder.model
        self.decoder = decoder
        # The masked encoder shares the model's parameters: kept out of the module tree, each is registered once.
        self._encoder: tuple[Encoder] = (encoder,)

    @property
    def encoder(self) -> Encoder:
        """The masked encoder around `model`."""
        return self._encoder[0]

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Encode what is visible, decode every cell."""
        encoding = self.encoder(images, hidden)
        return self.decoder(encoding.maps[-1], encoding.hidden[-1])


@dataclass(frozen=True)
class Target:
    """What is reconstructed: a function of the images, and how many numbers a cell has."""

    dimension: int
    cell: int
    normalised: bool

    def __call__(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, D, Hc, Wc]."""
        return pixel_target(images, self.cell, normalised=self.normalised)


def build_reconstructor(
    config: PretrainConfig, *, channels: int, image_size: tuple[int, int]
) -> tuple[Reconstructor, Target]:
    """Encoder, decoder and target of a configuration, with weights drawn from its seed."""
    model = build_model(config.encoder, channels=channels, image_size=image_size, classes=0, seed=config.seed)
    encoder = masked_encoder(model, image_size=image_size, cell=config.recipe.mask.cell, execution=config.execution)
    target = Target(channels * encoder.cell**2, encoder.cell, config.recipe.target.target == "normalised_pixels")
    shape = last_map_shape(encoder, channels, image_size)
    decoder = build_decoder(
        config.recipe.target,
        channels=shape[0],
        size=shape[1:],
        dimension=target.dimension,
        grid=encoder.grid,
        seed=derive_seed(config.seed, "decoder"),
    )
    return Reconstructor(encoder, decoder), target


def last_map_shape(encoder: Encoder, channels: int, image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(C, h, w) of the encoder's last map, by running it once on a blank image with nothing hidden."""
    was_training = encoder.model.training
    encoder.model.eval()
    with torch.no_grad():
        blank = torch.zeros(1, channels, *image_size)
        shape: Any = encoder(blank, torch.zeros(1, *encoder.grid, dtype=torch.bool)).maps[-1].shape
    encoder.model.train(was_training)
    return int(shape[1]), int(shape[2]), int(shape[3])
