"""The maps of whole images are those of masked code with nothing hidden, at the price of the plain network."""

from copy import deepcopy
from typing import Any

import pytest
import torch

from unmask.config import EncoderConfig
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.encoders.whole_images import whole_maps

CASES = [
    ("resnet10t", {"channels": (4, 6, 8, 10)}, "packed"),
    ("resnet10t", {"channels": (4, 6, 8, 10)}, "dense"),
    ("test_efficientnet", {}, "packed"),
    ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, "dense"),
    ("test_mambaout", {}, "dense"),  # its maps have their channels last
    ("patchnet", {}, "dense"),
    ("test_vit", {}, "auto"),
    ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "embed_dim": 24}, "auto"),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "options", "execution"), CASES)
def test_maps_and_statistics_are_those_of_masked_code(
    name: str, options: dict[str, Any], execution: str, training: bool
) -> None:
    config = EncoderConfig(encoder=name, encoder_options=options)
    model = build_model(config, in_chans=2, image_size=(64, 64)).double().train(training)
    images = torch.randn(3, 2, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    one, other = (masked_encoder(deepcopy(model), image_size=(64, 64), execution=execution) for _ in range(2))
    torch.manual_seed(0)
    found = whole_maps(one, images)
    torch.manual_seed(0)
    nothing = torch.zeros(3, *other.grid, dtype=torch.bool)
    expected = other(images, nothing).maps
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    for mine, theirs in zip(one.model.buffers(), other.model.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("execution", ["dense", "packed"])
def test_no_masked_code_runs(execution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at another size of the images than the encoder was built for."""
    config = EncoderConfig(encoder="resnet10t", encoder_options={"channels": (4, 4, 4, 4)})
    encoder = masked_encoder(
        build_model(config, in_chans=1, image_size=(64, 64)), image_size=(64, 64), execution=execution
    )
    monkeypatch.delattr(type(encoder), "forward")
    assert [tuple(one.shape[2:]) for one in whole_maps(encoder, torch.zeros(2, 1, 32, 32))] == [
        (32 // stride, 32 // stride) for stride in encoder.strides
    ]
