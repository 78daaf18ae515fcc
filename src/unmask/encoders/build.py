"""From a name to a plain network."""

from difflib import get_close_matches

import timm
import torch
from torch import nn

from unmask.config import EncoderConfig
from unmask.encoders.patchnet import PatchNet
from unmask.encoders.sizes import require_divisible
from unmask.encoders.strides import unstride
from unmask.errors import UserError, is_out_of_memory


def build_model(
    config: EncoderConfig,
    *,
    in_chans: int,
    image_size: tuple[int, int],
    num_classes: int = 0,
    seed: int = 0,
    several_sizes: bool = False,
) -> nn.Module:
    """Build a plain timm model (or PatchNet) with random weights.

    Weights are drawn from `seed`; the caller's global random state is not touched.

    Args:
        config: name, constructor options, layers to run without stride.
        in_chans: input channels.
        image_size: (height, width) in pixels.
        num_classes: outputs of the classifier; 0 leaves the pooled features.
        seed: seed of the weights.
        several_sizes: whether images of other sizes follow: a model that can then resamples its position embeddings.

    Raises:
        UserError: unknown name (close matches are listed), an option the constructor refuses, or an image size that a
            model with a fixed grid cannot take (the nearest valid sizes are suggested).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _create(config, in_chans, image_size, num_classes, several_sizes)
    _require_fit(model, image_size)
    if config.unstrided:
        unstride(model, config.unstrided, channels=in_chans, image_size=image_size)
    return model


def _create(
    config: EncoderConfig, in_chans: int, image_size: tuple[int, int], num_classes: int, several_sizes: bool
) -> nn.Module:
    options = dict(config.encoder_options or {})
    if config.encoder == "patchnet":
        try:
            return PatchNet(in_chans=in_chans, num_classes=num_classes, **options)  # type: ignore[arg-type]
        except TypeError as error:
            raise UserError(f"encoder_options = {options} is refused by patchnet: {error}") from error
    if not timm.is_model(config.encoder):
        raise UserError(f"encoder = {config.encoder!r} is not known: {_suggest(config.encoder)}")
    # Fixed arguments come last: an option cannot request weights, or other channels or classes.
    arguments = {**options, "pretrained": False, "in_chans": in_chans, "num_classes": num_classes}
    sized: dict[str, object] = {"img_size": image_size}
    for more in ([{**sized, "dynamic_img_size": True}] if several_sizes else []) + [sized]:
        try:
            return timm.create_model(config.encoder, **{**arguments, **more})
        except TypeError as error:
            if "img_size" not in str(error):
                raise _refusal(config, error) from error
        except AssertionError as error:
            raise UserError(f"image_size = {image_size} is refused by {config.encoder}: {error}") from error
        except (RuntimeError, ValueError, LookupError, AttributeError) as error:
            raise _refusal(config, error) from error
    try:
        return timm.create_model(config.encoder, **arguments)
    except (RuntimeError, ValueError, LookupError, AttributeError, TypeError, AssertionError) as error:
        raise _refusal(config, error) from error


def _refusal(config: EncoderConfig, error: Exception) -> Exception:
    """A one-line error for what a constructor raised; if memory ran out, the error itself."""
    if is_out_of_memory(error):
        return error
    asked = f"encoder_options = {dict(config.encoder_options)}" if config.encoder_options else "encoder"
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{asked} is refused by {config.encoder}: {reason}")


def _suggest(name: str) -> str:
    matches = get_close_matches(name, [*timm.list_models(), "patchnet"], n=4, cutoff=0.5)
    return "did you mean " + ", ".join(matches) + "?" if matches else "see timm.list_models()"


def _require_fit(model: nn.Module, image_size: tuple[int, int]) -> None:
    """Require a size that is a multiple of the model's patches (times later strides), if it cuts images into them."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is None:
        return
    unit = max(patch) if isinstance(patch, (tuple, list)) else int(patch)
    info = getattr(model, "feature_info", None)
    if isinstance(info, list) and info and not hasattr(model, "num_prefix_tokens"):
        unit = max(unit, int(info[-1]["reduction"]))
    require_divisible(image_size, unit, f"the patches of {type(model).__name__} ({unit} pixels)")
