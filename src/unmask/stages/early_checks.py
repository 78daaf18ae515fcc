"""Check what can be wrong in a configuration whatever the images are, before any of them is read."""

from unmask.config import DataConfig, EncoderConfig, PretrainRecipe
from unmask.config.schedule import Schedule
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.stages.size_schedule import require_sizes
from unmask.weights.files import resolve_weights
from unmask.weights.public import is_public_id

_RGB = 3


def check_encoder(
    encoder: EncoderConfig,
    data: DataConfig,
    *,
    masked: bool,
    cell: int | None = None,
    execution: str = "auto",
    recipe: PretrainRecipe | None = None,
) -> None:
    """Raise UserError if the encoder cannot be built at the requested image size or with these cells, or cannot take
    the sizes of a pretraining's schedule.

    Without an image size nothing is checked; without channels, three are assumed.
    """
    if data.image_size is None:
        return
    sizes = Schedule.constant(data.image_size) if recipe is None else recipe.sizes(data.image_size)
    channels = data.channels or _RGB
    model = build_model(encoder, in_chans=channels, image_size=data.image_size, several_sizes=sizes.varies)
    if masked:
        require_sizes(masked_encoder(model, image_size=data.image_size, cell=cell, execution=execution), sizes)


def check_start(init: str | None, *, field: str = "init") -> None:
    """Raise UserError if there are no weights at a path."""
    if init is not None and not is_public_id(init):
        resolve_weights(init, field=field)
