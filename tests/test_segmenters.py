"""Heads for every pixel: their size, that every map counts, and that the linear one is linear."""

import pytest
import torch
from torch import Tensor

import tiny
from unmask.config import EncoderConfig
from unmask.encoders.build import build_model
from unmask.encoders.heads import head_names
from unmask.encoders.maps import feature_maps, map_shapes, maps_read
from unmask.segmenters import LinearHead, Segmenter, UNetHead, build_segmenter

SIZE = (32, 32)


def segmenter(encoder: EncoderConfig, decoder: str | None = None, size: tuple[int, int] = SIZE) -> Segmenter:
    model = build_model(encoder, in_chans=3, image_size=size, seed=1)
    return build_segmenter(model, classes=5, in_chans=3, image_size=size, seed=2, decoder=decoder).eval()  # type: ignore[arg-type]


def pictures(*size: int) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("encoder", "head"),
    [
        (tiny.resnet(unstrided=0), "UNetHead"),
        (tiny.resnet(), "UNetHead"),
        (tiny.vit(), "DPTHead"),
        (tiny.PATCHNET, "LinearHead"),
    ],
)
def test_the_head_follows_the_encoders_maps_and_gives_logits_for_every_pixel(encoder: EncoderConfig, head: str) -> None:
    model = segmenter(encoder)
    assert type(model.head).__name__ == head
    assert model(pictures(*SIZE)).shape == (2, 5, *SIZE)


@pytest.mark.parametrize("encoder", [tiny.resnet(unstrided=0), tiny.vit()])
def test_every_map_reaches_the_logits(encoder: EncoderConfig) -> None:
    model = segmenter(encoder).train()
    images = pictures(*SIZE)
    maps = [one.detach().requires_grad_() for one in feature_maps(model.encoder, images, model.read)]
    model.head(images, maps).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in maps)


def test_a_cnn_takes_images_of_any_size() -> None:
    model = segmenter(tiny.resnet(unstrided=0))
    assert model(pictures(45, 70)).shape == (2, 5, 45, 70)


def test_maps_of_a_vit_are_four_of_its_blocks_and_the_last_is_normalized() -> None:
    config = EncoderConfig(encoder="vit_tiny_patch16_224", encoder_options=tiny.VIT.encoder_options | {"depth": 8})  # type: ignore[operator]
    model = build_model(config, in_chans=3, image_size=SIZE, seed=0).eval()
    read = maps_read(model, SIZE)
    assert read == (1, 3, 5, 7)
    assert map_shapes(model, read, SIZE) == [(16, 8, 8)] * 4
    images = pictures(*SIZE)
    last = model.forward_features(images)[:, 1:]  # type: ignore[operator]
    torch.testing.assert_close(feature_maps(model, images, read)[-1].flatten(2).transpose(1, 2), last)


def test_the_linear_head_is_its_weights_times_the_features_of_a_pixel() -> None:
    model = segmenter(tiny.resnet(unstrided=0), "linear")
    assert isinstance(model.head, LinearHead)
    images = pictures(*SIZE)
    maps = feature_maps(model.encoder, images, model.read)
    width = sum(one.shape[1] for one in maps)
    generator = torch.Generator().manual_seed(5)
    weight, bias = torch.randn(5, width, generator=generator), torch.randn(5, generator=generator)
    model.head.set(weight, bias)
    full = torch.cat([torch.nn.functional.interpolate(one, size=SIZE, mode="bilinear") for one in maps], 1)
    expected = torch.einsum("kd,bdhw->bkhw", weight, full) + bias[:, None, None]
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)


def test_the_encoder_has_the_weights_of_its_seed_and_the_head_is_the_rest() -> None:
    model = segmenter(tiny.resnet(unstrided=0))
    plain = build_model(tiny.resnet(unstrided=0), in_chans=3, image_size=SIZE, seed=1).state_dict()
    assert all(torch.equal(model.encoder.state_dict()[name], value) for name, value in plain.items())
    assert head_names(model) == {name for name, _ in model.named_parameters() if name.startswith("head.")}


def test_the_seed_draws_the_head() -> None:
    one, two = segmenter(tiny.resnet(unstrided=0)), segmenter(tiny.resnet(unstrided=0))
    assert isinstance(one.head, UNetHead)
    torch.testing.assert_close(one(pictures(*SIZE)), two(pictures(*SIZE)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("encoder", "size", "sides"),
    [
        (tiny.resnet(unstrided=0), SIZE, [16, 8, 4, 2, 1]),
        (tiny.resnet(unstrided=1), SIZE, [16, 8, 4, 2]),
        (tiny.resnet(unstrided=1, output_stride=8), SIZE, [16, 8]),
        (tiny.resnet(unstrided=2, output_stride=8), (16, 16), [16, 8]),
    ],
)
def test_a_unet_reads_one_map_of_each_resolution_below_the_images(
    encoder: EncoderConfig, size: tuple[int, int], sides: list[int]
) -> None:
    """The image's own is read where without it one map would be left."""
    model = segmenter(encoder, size=size)
    assert isinstance(model.head, UNetHead)
    assert [side for _, side, _ in map_shapes(model.encoder, model.read, size)] == sides
    deepest = map_shapes(model.encoder, maps_read(model.encoder, size), size)
    assert model.read[-1] == len(deepest) - 1
    assert model(pictures(*size)).shape == (2, 5, *size)


def test_a_unet_is_narrower_than_the_maps_beside_it() -> None:
    model = segmenter(tiny.resnet(unstrided=0, channels=(8, 40, 800, 64)))
    assert isinstance(model.head, UNetHead)
    assert [block.conv2[0].out_channels for block in model.head.decoder.blocks] == [256, 20, 16, 16]
