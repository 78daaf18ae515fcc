"""The maps of whole images: what a teacher, a monitor and the laws read.

Masked code with nothing hidden gives the same maps and takes up to three times as long.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unmask.encoders.dense.joint import JointStatistics
from unmask.encoders.protocol import Encoder
from unmask.encoders.sizes import grid_of
from unmask.encoders.stages import captured, stage_modules


def whole_maps(encoder: Encoder, images: Tensor) -> Sequence[Tensor]:
    """One map per stage, [B, C_s, H_s, W_s]: those of a call with nothing hidden, by a CNN's own forward.

    BatchNorm in training takes its statistics over the images of all processes.
    """
    if encoder.execution in ("dense", "packed"):
        with JointStatistics():
            return plain_stages(encoder.model, images)
    nothing = torch.zeros(len(images), *grid_of(images, encoder.cell), dtype=torch.bool, device=images.device)
    return encoder(images, nothing).maps


def plain_stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The plain model's stage maps by its own code: what an encoder must return when nothing is hidden."""
    stages = [] if hasattr(model, "num_prefix_tokens") else stage_modules(model)
    with captured(model, stages, lambda x: x) as taken:
        final = model.forward_features(images)  # type: ignore[operator]
    maps = [_channels_first(stage, model) for stage in taken if stage is not None and stage.ndim == 4]
    if final.ndim == 3 and not hasattr(model, "num_prefix_tokens"):  # tokens in an order of the model's own (Hiera)
        return list(model.forward_intermediates(images)[1])  # type: ignore[operator]
    if final.ndim == 3:
        side = final.shape[1] - int(model.num_prefix_tokens)  # type: ignore[arg-type]
        patch = round((images.shape[2] * images.shape[3] / side) ** 0.5)
        tokens = final[:, -side:].transpose(1, 2)
        return [tokens.reshape(*tokens.shape[:2], images.shape[2] // patch, -1)]
    final = _channels_first(final, model)
    if maps and final.ndim == 4 and final.shape[2:] == maps[-1].shape[2:]:
        maps[-1] = final
    return maps


def _channels_first(features: Tensor, model: nn.Module) -> Tensor:
    last = getattr(model, "output_fmt", "NCHW") == "NHWC" and features.ndim == 4
    return features.permute(0, 3, 1, 2) if last else features
