"""One step of each execution under bf16 autocast is finite, and close to float32."""

import pytest
import torch

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.masking import draw_masks

OPTIONS = {"resnet10t": {"channels": (8, 16, 24, 32), "stem_width": 4, "stem_type": "deep"}}
"""Of an encoder with few channels, whose BatchNorm has a way of its own."""


@pytest.mark.case("number types clashed under autocast")
@pytest.mark.parametrize(
    ("name", "execution"),
    [
        ("test_resnet", "dense"),
        ("test_resnet", "packed"),
        ("resnet10t", "dense"),
        ("resnet10t", "packed"),
        ("test_convnext", "dense"),
        ("test_convnext", "packed"),
        ("test_efficientnet_gn", "dense"),
        ("test_efficientnet_gn", "packed"),
        ("test_vit", "auto"),
        ("patchnet", "dense"),
        ("patchnet", "packed"),
    ],
)
def test_a_bf16_step_is_finite_and_close(name: str, execution: str) -> None:
    config = EncoderConfig(encoder=name, encoder_options=OPTIONS.get(name, {}))
    model = build_model(config, in_chans=3, image_size=(64, 64))
    encoder = masked_encoder(model, image_size=(64, 64), execution=execution)
    hidden = draw_masks(MaskConfig(mask_ratio=0.3, mask_ratio_max=0.7), encoder.grid, seed=0, epoch=0, ids=range(4))
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = encoder(images, hidden).maps[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoding = encoder(images, hidden)
    assert (encoding.maps[0].float() - exact).abs().max() < 0.1 * exact.abs().max()
    encoding.maps[-1].float().square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
