"""Given weights for a comparison: those named, or public ones of the encoder that are already on this disk."""

from dataclasses import replace
from pathlib import Path

from unmask.comparison.earlier_defaults import begun_comparison
from unmask.config import ARMS, CompareConfig
from unmask.config.comparison import AUTO
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.weights.public import OF_THE_ENCODER, find_public
from unmask.weights.start import initialize


def with_given_weights(config: CompareConfig, out: Path, *, resume: bool) -> tuple[CompareConfig, list[str]]:
    """The comparison with its given weights, and notes. It tries their arms by default.

    `given` = auto downloads nothing. A resumed comparison keeps the weights it started with.

    Raises:
        UserError: an arm that was asked for needs weights, and there are none.
    """
    if config.given != AUTO:
        return config, []
    if (before := begun_comparison(out, resume=resume)) is not None:
        return replace(config, given=before.given), []
    needs = [arm for arm in config.arms if ARMS[arm].needs_given]
    if config.arms and not needs:
        return replace(config, given=None), []
    found, note = _find(config)
    if needs and found is None:
        raise UserError(f"give weights with `given`: {', '.join(needs)} starts from them ({note})")
    config = replace(config, given=found)
    if found is None or config.arms:
        return config, [note] if note else []
    return config, [f"{note}; arms that use them are tried too, `given` = none leaves them out"]


def _find(config: CompareConfig) -> tuple[str | None, str]:
    """The file of public weights that fits the encoder, and a note; nothing if none can exist."""
    encoder = config.encoder
    plain = not encoder.encoder_options and not encoder.unstrided
    try:
        file = find_public(OF_THE_ENCODER, encoder.encoder)
    except UserError:  # timm has none for this encoder
        return None, ""
    if file is None:
        fetch = f"no weights of {encoder.encoder} are on this disk; `given` = {OF_THE_ENCODER} downloads timm's"
        return None, fetch if plain else ""
    size = config.data.image_size or (224, 224)
    try:
        model = build_model(encoder, in_chans=3, image_size=size)
        initialize(model, str(file), encoder, ImageFormat.plain(size, 3, "uint8"), field="given")
    except UserError as error:
        return (
            None,
            f"weights of {encoder.encoder} are on this disk and do not fit its options, so they are not used: {error}",
        )
    return str(file), f"weights of {encoder.encoder} are on this disk: `given` = {file}"
