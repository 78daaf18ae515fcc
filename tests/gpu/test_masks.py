"""The masked law on a GPU: nothing hidden reaches any output; every execution is that of the CPU; packed is dense."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders import laws
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.masking import draw_masks, expand

SIDE = 64
CASES: dict[str, tuple[str, dict[str, object], str]] = {  # name: (encoder, options, execution)
    "dense BatchNorm": ("resnet18", {"layers": [1, 1, 1, 1]}, "dense"),
    "packed BatchNorm": ("resnet18", {"layers": [1, 1, 1, 1]}, "packed"),
    "dense squeeze-excite": ("test_efficientnet", {}, "dense"),
    "packed squeeze-excite": ("test_efficientnet", {}, "packed"),
    "dense LayerNorm": ("test_convnext", {}, "dense"),
    "packed LayerNorm": ("test_convnext", {}, "packed"),
    "dense GroupNorm": ("test_efficientnet_gn", {}, "dense"),
    "packed GroupNorm": ("test_efficientnet_gn", {}, "packed"),
    "packed patchnet": ("patchnet", {}, "packed"),
    "tokens": ("test_vit", {}, "tokens"),
    "tokens with register": ("vit_tiny_patch16_224", {"depth": 2, "reg_tokens": 3}, "tokens"),
    "filled": (
        "swin_tiny_patch4_window7_224",
        {"depths": (1, 1, 1), "embed_dim": 24, "num_heads": (3, 3, 3)},
        "filled",
    ),
}


def _encoder(case: str) -> Any:
    name, options, execution = CASES[case]
    options = options | ({"drop_path_rate": 0.0} if name.startswith("swin") else {})
    model = build_model(EncoderConfig(encoder=name, encoder_options=options), in_chans=3, image_size=(SIDE, SIDE))
    wanted = "auto" if execution == "tokens" else execution
    encoder = masked_encoder(model, image_size=(SIDE, SIDE), execution=wanted)
    assert encoder.execution == execution
    return encoder


def _given(encoder: Any) -> tuple[Tensor, Tensor]:
    images = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    mask = MaskConfig(mask_ratio=0.4, mask_ratio_max=0.8)
    return images, draw_masks(mask, encoder.grid, seed=0, epoch=0, ids=range(4))


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_hidden_pixels_change_nothing(case: str, precision: str, device: torch.device) -> None:
    """Other hidden pixels, noise among them: the same bits at every stage in training and in evaluation mode."""
    encoder = _encoder(case).to(device, memory_format=torch.channels_last)
    images, hidden = (t.to(device) for t in _given(encoder))
    noise = 30 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1)).to(device)
    noisy = torch.where(expand(hidden, SIDE, SIDE)[:, None], noise, images)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        change = laws.leak(encoder.train(), images, hidden)
        encoder.eval()
        with torch.no_grad():
            one, two = (encoder(x, hidden).maps for x in (images, noisy))
            apart = max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True))
    print(f"{case}, {precision}: {change}, with noise {apart}")
    assert max(change, apart) <= 1e-6


def _step(encoder: Any, images: Tensor, hidden: Tensor) -> tuple[list[Tensor], dict[str, Tensor], list[Tensor]]:
    maps = list(encoder.train()(images, hidden).maps)
    sum(m.square().sum() / m.shape[1] / len(maps) for m in maps).backward()
    gradients = {name: p.grad.cpu() for name, p in encoder.named_parameters() if p.grad is not None}
    return [m.detach().cpu() for m in maps], gradients, [b.cpu() for b in encoder.buffers()]


def _apart(one: Any, two: Any) -> dict[str, float]:
    """Largest relative differences of maps, gradients (to the largest of all) and running statistics."""
    scale = max(float(g.abs().max()) for g in two[1].values())
    assert one[1].keys() == two[1].keys()
    return {
        "maps": max(laws.distance(a, b) for a, b in zip(one[0], two[0], strict=True)),
        "gradients": max(float((one[1][k] - two[1][k]).abs().max()) for k in two[1]) / scale,
        "buffers": max([laws.distance(a, b) for a, b in zip(one[2], two[2], strict=True)], default=0.0),
    }


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_cpu(case: str, device: torch.device) -> None:
    """Features, gradients and running statistics in float32."""
    encoder = _encoder(case)
    images, hidden = _given(encoder)
    gpu = deepcopy(encoder).to(device, memory_format=torch.channels_last)
    apart = _apart(_step(gpu, images.to(device), hidden.to(device)), _step(encoder, images, hidden))
    print(f"{case}: relative distance to the CPU {apart}")
    assert max(apart.values()) < 1e-4


@pytest.mark.parametrize("name", ["BatchNorm", "squeeze-excite", "LayerNorm", "GroupNorm"])
def test_packed_equals_dense(name: str, device: torch.device) -> None:
    """Features, gradients and running statistics in float32, in channels-last order as in training."""
    packed, dense = (
        _encoder(f"{way} {name}").to(device, memory_format=torch.channels_last) for way in ("packed", "dense")
    )
    images, hidden = (t.to(device) for t in _given(dense))
    images = images.to(memory_format=torch.channels_last)
    apart = _apart(_step(packed, images, hidden), _step(dense, images, hidden))
    print(f"{name}: relative distance of packed to dense {apart}")
    assert max(apart.values()) < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_bf16_is_close(case: str, device: torch.device) -> None:
    """One autocast step: features near float32's, gradients finite."""
    encoder = _encoder(case).to(device, memory_format=torch.channels_last)
    images, hidden = (t.to(device) for t in _given(encoder))
    with torch.no_grad():
        exact = deepcopy(encoder).train()(images, hidden).maps[0]
    with torch.autocast(device.type, dtype=torch.bfloat16):
        maps, gradients, _ = _step(encoder, images, hidden)
    assert (maps[0].float() - exact.cpu()).abs().max() < 0.1 * exact.abs().max()
    assert all(g.isfinite().all() for g in gradients.values())
