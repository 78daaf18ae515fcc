"""AdamW over named parameter groups, and the learning-rate schedule as a pure function of the step."""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from unmask.config import OptimizerConfig
from unmask.encoders.heads import encoder_of

_UNDECAYED_TOKENS = (
    "cls_token",
    "reg_token",
    "pos_embed",
    "positions",
    "mask_token",
    "dist_token",
    "relative_position_bias_table",
)


def schedule(step: int, total: int, warmup: float) -> float:
    """Learning rate relative to its peak: linear warm-up over warmup·total steps, then a half cosine to zero.

    f(t) = (t + 1) / w for t < w, else ½ (1 + cos(π (t - w) / (T - w))).
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(total - rising, 1)))


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Weight decay applies only to matrices and kernels: no biases, norms, tokens or position embeddings (MAE, BEiT),
    nor gains with one number per channel or head, whatever their shape."""
    wide = parameter.ndim > 1 and parameter.numel() > parameter.shape[0]
    return wide and not any(token in name for token in _UNDECAYED_TOKENS)


def undecayed(model: nn.Module) -> set[str]:
    """Names, or patterns of names, that the timm models within `model` exempt from weight decay."""
    names = set()
    for path, module in model.named_modules():
        own = getattr(module, "no_weight_decay", None)
        names |= {f"{path}.{name}" if path else name for name in own()} if callable(own) else set()
    return names


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """Learning-rate factor of every parameter: decay^(depth of its layer below the top one), Clark et al. 2020.

    Layers are those of timm's own `group_matcher`; a model without one is a single layer.
    """
    names = [name for name, _ in model.named_parameters()]
    encoder = encoder_of(model)
    matcher = getattr(encoder, "group_matcher", None)
    if decay == 1.0 or matcher is None:
        return dict.fromkeys(names, 1.0)
    layers: Mapping[str, int] = group_parameters(encoder, matcher(coarse=False), reverse=True)
    top = max(layers.values())
    prefix = "" if encoder is model else "encoder."
    scales = {f"{prefix}{name}": decay ** (top - layer) for name, layer in layers.items()}
    return {name: scales.get(name, 1.0) for name in names}


def parameter_groups(
    model: nn.Module, *, weight_decay: float, scale_of: Callable[[str], float] | None = None
) -> list[dict[str, Any]]:
    """One group per pair (weight decay, learning-rate scale); parameters scaled by 0 are left out."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    spared = undecayed(model)
    for name, parameter in model.named_parameters():
        scale = 1.0 if scale_of is None else scale_of(name)
        if not parameter.requires_grad or scale == 0:
            continue
        decays = is_decayed(name, parameter) and not any(fnmatchcase(name, pattern) for pattern in spared)
        decay = weight_decay if decays else 0.0
        group = groups.setdefault((decay, scale), {"params": [], "names": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def build_optimizer(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW; `set_lr` gives every group lr · lr_scale · schedule. The parameters are where they will be trained."""
    bare = [{key: value for key, value in group.items() if key != "names"} for group in groups]
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    # One kernel for all parameters; without a GPU the lists of torch's foreach are the fastest.
    fast = {"fused": True} if on_gpu else {"foreach": True}
    return torch.optim.AdamW(bare, lr=config.lr, betas=config.betas, **fast)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's rate to lr times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
