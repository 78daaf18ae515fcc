"""Check the laws on any timm model by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders import laws
from unmask.encoders.build import build_model
from unmask.encoders.masked import REASONS, masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks

PARITY = 1e-10


@dataclass(frozen=True)
class CheckRow:
    """Which laws hold for one model: parity and isolation in float64, the rest in float32."""

    name: str
    execution: str
    """dense, packed, tokens, filled; empty if the model is refused."""
    strides: tuple[int, ...]
    leak: float
    """0.0: changing hidden pixels changes nothing, and hidden features are exactly 0."""
    parity_eval: float
    """Relative difference to the plain model when nothing is hidden."""
    parity_train: float
    """The same in training mode, running statistics included."""
    isolation: float
    """Relative difference between one visible cell and an image of that cell alone (information, not a law: networks
    with asymmetric padding, positions or averages over padding differ)."""
    step: bool
    """One training step is finite and reaches every parameter that the plain features use."""
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether all laws hold."""
        return not self.error and self.leak == 0.0 and max(self.parity_eval, self.parity_train) < PARITY and self.step


def check_encoder(
    name: str,
    *,
    options: dict[str, object] | None = None,
    image_size: int | None = None,
    channels: int = 3,
    execution: str = "auto",
) -> CheckRow:
    """Run the laws on random images.

    Args:
        name: timm name, or patchnet.
        image_size: side in pixels; default: the smallest of 64, 96, 128, 224 that the model takes with two cells.
    """
    sizes = (image_size,) if image_size else (64, 96, 128, 224)
    row = _refused(name, "")
    for size in sizes:
        try:
            row = _check(EncoderConfig(encoder=name, encoder_options=options), size, channels, execution)
        except UserError as error:
            row = _refused(name, str(error))
        except REASONS as error:
            row = _refused(name, f"{type(error).__name__}: {error}".splitlines()[0])
        if not row.error:
            return row
    return row


def check_piece(name: str, image_size: int | None, channels: int, execution: str, data: None) -> CheckRow:
    """`check_encoder` as a job for a worker, without data."""
    return check_encoder(name, image_size=image_size, channels=channels, execution=execution)


def _check(config: EncoderConfig, size: int, channels: int, execution: str) -> CheckRow:
    model = build_model(config, in_chans=channels, image_size=(size, size))
    encoder = masked_encoder(model, image_size=(size, size), execution=execution)
    hidden = draw_masks(MaskConfig(mask_ratio=0.6), encoder.grid, seed=0, epoch=0, ids=range(2))
    images = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    if min(encoder(images, hidden).maps[-1].shape[2:]) < 2:  # BatchNorm of two numbers amplifies rounding
        raise UserError(f"image_size = {size} leaves the last map a single position: choose a larger one")
    finite, missing = laws.training_step(encoder, images, hidden)
    change = laws.leak(encoder, images, hidden)
    model, images = model.double(), images.double()
    return CheckRow(
        name=config.encoder,
        execution=encoder.execution,
        strides=encoder.strides,
        leak=change,
        parity_eval=laws.parity(encoder, images, training=False),
        parity_train=laws.parity(encoder, images, training=True),
        isolation=_or_nan(lambda: laws.isolation(model, images, cell=encoder.cell, execution=execution)),
        step=finite and not missing,
        error="" if not missing else f"no gradient: {missing[0]}",
    )


def _or_nan(measure: Callable[[], float]) -> float:
    try:
        return measure()
    except REASONS:  # the plain model does not take an image of one cell
        return float("nan")


def _refused(name: str, error: str) -> CheckRow:
    nothing = float("nan")
    return CheckRow(name, "", (), nothing, nothing, nothing, nothing, False, error)


def table(rows: list[CheckRow]) -> str:
    """A Markdown table of some rows."""
    head = "| model | execution | strides | no leak | parity eval | parity train | step | isolated cell | holds |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        if row.error:
            lines.append(f"| {row.name} | {row.execution or 'refused'} | | | | | | | no: {row.error} |")
            continue
        numbers = f"{row.leak:.0e} | {row.parity_eval:.0e} | {row.parity_train:.0e} | {'finite' if row.step else 'no'}"
        strides = " ".join(map(str, row.strides))
        verdict = "yes" if row.holds else "no"
        alone = f"{row.isolation:.0e}" if row.isolation == row.isolation else "-"
        lines.append(f"| {row.name} | {row.execution} | {strides} | {numbers} | {alone} | {verdict} |")
    return "\n".join(lines) + "\n"
