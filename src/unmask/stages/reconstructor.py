"""The network of pretraining: an encoder that sees visible cells, and a light decoder that paints the hidden ones."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from unmask.config import EncoderConfig, PretrainConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.decoders import build_decoder
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.encoders.protocol import Encoder
from unmask.encoders.sizes import grid_of
from unmask.errors import UserError
from unmask.randomness import derive_seed
from unmask.stages.size_schedule import require_sizes
from unmask.targets.target import PixelTarget, Target, TeacherTarget
from unmask.weights.card import load_weights
from unmask.weights.files import resolve_weights
from unmask.weights.public import OF_THE_ENCODER
from unmask.weights.start import initialize


class Reconstructor(nn.Module):
    """images [B, C, H, W], hidden bool [B, Hc, Wc] → prediction [B, D, Hc, Wc] for all cells, or for requested ones."""

    def __init__(self, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.model = encoder.model
        self.decoder = decoder
        # What the masked encoder learns beyond the model, e.g. the token that fills a Swin's hidden cells. It is the
        # very list that the encoder reads: sharding puts other parameters in the place of these.
        self.extra: nn.ParameterList = getattr(encoder, "extra", nn.ParameterList())
        known = {id(parameter) for owner in (encoder.model, self.extra) for parameter in owner.parameters()}
        if any(id(parameter) not in known for parameter in encoder.parameters()):
            raise TypeError(f"{type(encoder).__name__}: its parameters outside `model` must stand in a list `extra`")
        # The masked encoder shares the model's parameters: kept out of the module tree, each is registered once.
        self._encoder: tuple[Encoder] = (encoder,)

    @property
    def encoder(self) -> Encoder:
        """The masked encoder around `model`."""
        return self._encoder[0]

    def forward(self, images: Tensor, hidden: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Encode what is visible, decode every cell, or at least those that `wanted`, bool [B, Hc, Wc], marks."""
        encoding = self.encoder(images, hidden)
        return self.decoder(encoding.maps[-1], encoding.hidden[-1], wanted, grid_of(images, self.encoder.cell))


def build_reconstructor(config: PretrainConfig, format: ImageFormat) -> tuple[Reconstructor, Target]:
    """Encoder, decoder and target of a configuration for images of a format, with weights drawn from its seed.

    Raises:
        UserError: encoder, cell, image size or teacher do not fit.
    """
    channels, image_size = format.channels, format.size
    sizes = config.recipe.sizes(image_size)
    model = build_model(
        config.encoder, in_chans=channels, image_size=image_size, seed=config.seed, several_sizes=sizes.varies
    )
    encoder = masked_encoder(model, image_size=image_size, cell=config.recipe.mask.cell, execution=config.execution)
    _require_cells(encoder, image_size)
    require_sizes(encoder, sizes)
    target = build_target(config, encoder, format)
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


def _require_cells(encoder: Encoder, image_size: tuple[int, int]) -> None:
    """Raise `UserError` for a single cell, which cannot be both hidden and visible."""
    if encoder.grid[0] * encoder.grid[1] > 1:
        return
    side = 4 * encoder.cell
    raise UserError(
        f"image_size = {image_size[0]} {image_size[1]} is one mask cell of {encoder.cell} pixels (the encoder's last "
        f"stride unless `cell` is given): give a larger `image_size`, for example {side} {side}, or a smaller `cell`"
    )


def build_target(config: PretrainConfig, encoder: Encoder, format: ImageFormat) -> Target:
    """Pixels, or a teacher: a copy of the student for an EMA teacher, another network for a frozen one."""
    wanted = config.recipe.target
    if wanted.target in ("pixels", "normalized_pixels"):
        return PixelTarget(format.channels * encoder.cell**2, encoder.cell, wanted.target == "normalized_pixels")
    frozen, sizes = wanted.target == "frozen_teacher", config.recipe.sizes(format.size)
    teacher, own = _frozen_teacher(config, format) if frozen else (deepcopy(encoder.model), None)
    whole = masked_encoder(teacher, image_size=format.size, execution="auto")
    require_sizes(whole, sizes, teacher=True)
    return TeacherTarget(
        whole,
        encoder.grid,
        stages=wanted.teacher_stages,
        momentum=None if frozen else wanted.teacher_momentum,
        mode="eval" if frozen else wanted.teacher_mode,
        shape=format.shape,
        format=own,
    )


def _frozen_teacher(config: PretrainConfig, format: ImageFormat) -> tuple[nn.Module, ImageFormat]:
    """The teacher of a run or file, built as its card says; or a timm model with its pretrained weights.

    With the format of the images it sees, whose mean and deviation are those it was trained with, if they are known.
    """
    name, several = config.recipe.target.teacher, config.recipe.sizes(format.size).varies
    assert name is not None
    build = partial(build_model, in_chans=format.channels, image_size=format.size, several_sizes=several)
    load = partial(initialize, format=format, normalization=config.normalization, field="teacher")
    if not Path(name).exists() and timm.is_model(name):
        encoder = EncoderConfig(encoder=name)
        model = build(encoder)
        return model, load(model, OF_THE_ENCODER, encoder).format
    _, card = load_weights(resolve_weights(name, field="teacher"))
    encoder = card.encoder if card is not None else config.encoder
    model = build(encoder)
    return model, load(model, name, encoder).format


def last_map_shape(encoder: Encoder, channels: int, image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(C, h, w) of the encoder's last map, by running it once on a blank image with nothing hidden."""
    was_training = encoder.model.training
    encoder.model.eval()
    with torch.no_grad():
        blank = torch.zeros(1, channels, *image_size)
        shape: Any = encoder(blank, torch.zeros(1, *encoder.grid, dtype=torch.bool)).maps[-1].shape
    encoder.model.train(was_training)
    return int(shape[1]), int(shape[2]), int(shape[3])
