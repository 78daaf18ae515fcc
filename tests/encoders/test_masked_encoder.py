"""The protocol: shared parameters, shapes, zeros, bad input."""

import pytest
import torch

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.laws import leak, parity
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks, expand


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "patchnet", "test_convnext"])
def test_maps_are_zero_exactly_where_hidden(name: str) -> None:
    model = build_model(EncoderConfig(encoder=name), in_chans=2, image_size=(64, 96))
    encoder = masked_encoder(model, image_size=(64, 96))
    hidden = draw_masks(MaskConfig(mask_ratio=0.5), encoder.grid, seed=0, epoch=0, ids=range(3))
    encoding = encoder(torch.randn(3, 2, 64, 96, generator=torch.Generator().manual_seed(0)), hidden)
    assert tuple(m.shape[1] for m in encoding.maps) == encoder.channels
    for stride, features, gone in zip(encoder.strides, encoding.maps, encoding.hidden, strict=True):
        assert features.shape[2:] == (64 // stride, 96 // stride)
        assert torch.equal(gone, expand(hidden, *features.shape[2:]))
        assert not features.masked_select(gone[:, None]).any()
        assert features.masked_select(~gone[:, None]).any()
    assert all(a is b for a, b in zip(encoder.model.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "execution"),
    [("test_resnet", "dense"), ("test_resnet", "packed"), ("test_resnet", "filled"), ("test_vit", "auto")],
)
def test_masks_that_do_not_fit_the_images_are_refused(name: str, execution: str) -> None:
    """Another type, grid or number would be read as other cells, and images of other sizes as well."""
    model = build_model(EncoderConfig(encoder=name), in_chans=1, image_size=(64, 64))
    encoder = masked_encoder(model, image_size=(64, 64), execution=execution)
    images = torch.zeros(2, 1, 64, 64)
    hidden = draw_masks(MaskConfig(), encoder.grid, seed=0, epoch=0, ids=range(2))
    assert encoder(images, hidden).maps
    rows, columns = encoder.grid
    for wrong in (
        hidden.to(torch.uint8),
        hidden[:1],
        torch.zeros(2, rows, columns + 1, dtype=torch.bool),
        torch.zeros(2, 1, 1, dtype=torch.bool),
    ):
        with pytest.raises(UserError, match=r"hidden: expected bool \[2, "):
            encoder(images, wrong)
    with pytest.raises(UserError, match="hidden: expected bool"):
        encoder(torch.zeros(2, 1, 128, 64), hidden)


def test_weights_follow_the_seed_and_leave_the_global_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (
        build_model(EncoderConfig(encoder="test_resnet"), in_chans=1, image_size=(32, 32), seed=seed)
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.state_dict()["conv1.0.weight"], other.state_dict()["conv1.0.weight"])


def test_an_unknown_name_is_answered_with_close_matches() -> None:
    with pytest.raises(UserError, match="resnet18"):
        build_model(EncoderConfig(encoder="resnet81"), in_chans=3, image_size=(64, 64))


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_size_that_does_not_divide_proposes_the_nearest(name: str) -> None:
    with pytest.raises(UserError, match="64x64 or 96x96" if name == "test_resnet" else "64x64 or 80x80"):
        masked_encoder(build_model(EncoderConfig(encoder=name), in_chans=3, image_size=(70, 70)), image_size=(70, 70))


def test_a_cell_finer_than_the_first_stride_is_refused() -> None:
    model = build_model(EncoderConfig(encoder="test_resnet"), in_chans=3, image_size=(64, 64))
    with pytest.raises(UserError, match="finer than the first stride 2"):
        masked_encoder(model, image_size=(64, 64), cell=1)


@pytest.mark.parametrize(("levels", "strides"), [(0, (2, 4, 8, 16, 32)), (1, (1, 2, 4, 8, 16)), (3, (1, 1, 1, 2, 4))])
def test_unstrided_layers_keep_resolution(levels: int, strides: tuple[int, ...]) -> None:
    config = EncoderConfig(encoder="resnet18", unstrided=levels)
    encoder = masked_encoder(build_model(config, in_chans=3, image_size=(32, 32)), image_size=(32, 32))
    assert encoder.strides == strides


def test_strides_of_unpadded_convolutions_are_the_declared_ones() -> None:
    config = EncoderConfig(encoder="inception_v3", encoder_options={"aux_logits": False})
    encoder = masked_encoder(build_model(config, in_chans=3, image_size=(128, 128)), image_size=(128, 128))
    assert (encoder.strides, encoder.grid) == ((2, 4, 8, 16, 32), (4, 4))


def test_a_model_without_feature_maps_is_refused() -> None:
    model = build_model(EncoderConfig(encoder="mixer_s32_224"), in_chans=3, image_size=(224, 224))
    with pytest.raises(UserError, match="MlpMixer"):
        masked_encoder(model, image_size=(224, 224), execution="dense")


@pytest.mark.case("hybrids, pit, volo, visformer and csatv2 ended in a traceback")
@pytest.mark.parametrize(
    ("name", "execution", "line"),
    [
        ("vit_tiny_r_s16_p8_224", "auto", ""),
        ("vit_tiny_r_s16_p8_224", "filled", ""),
        ("pit_ti_224", "auto", ""),
        ("sam2_hiera_tiny", "auto", ""),
        ("pit_ti_224", "packed", "cannot be masked: cat"),
        ("volo_d1_224", "auto", "cannot be masked: unfold"),
        ("volo_d1_224", "filled", "cannot be masked"),
        ("visformer_tiny", "dense", "two dimensions"),
        ("visformer_tiny", "filled", ""),
        ("csatv2", "auto", "cannot be masked"),
    ],
)
def test_what_cannot_be_masked_is_one_line(name: str, execution: str, line: str) -> None:
    """Before any training; what says nothing runs, and its maps are 0 where hidden."""
    model = build_model(EncoderConfig(encoder=name), in_chans=3, image_size=(64, 64))
    if line:
        with pytest.raises(UserError, match=line) as error:
            masked_encoder(model, image_size=(64, 64), execution=execution)
        assert len(str(error.value).splitlines()) == 1
        return
    encoder = masked_encoder(model, image_size=(64, 64), execution=execution)
    assert encoder.execution == "filled"
    assert bool(encoder.note) == (execution == "auto")
    hidden = torch.zeros(1, *encoder.grid, dtype=torch.bool)
    hidden[:, 0, 0] = True
    with torch.no_grad():
        maps = encoder(torch.rand(1, 3, 64, 64), hidden).maps[-1]
    assert bool((maps[:, :, 0, 0] == 0).all())
    assert bool((maps[:, :, -1, -1] != 0).any())


@pytest.mark.parametrize("ratio_max", [None, 0.8])
def test_hiera_encodes_its_visible_mask_units(ratio_max: float | None) -> None:
    """Its own forward drops hidden units, as many of each image."""
    options = {"embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1)}
    config = EncoderConfig(encoder="hiera_tiny_224", encoder_options=options)
    encoder = masked_encoder(build_model(config, in_chans=3, image_size=(128, 128)), image_size=(128, 128))
    assert (encoder.execution, encoder.cell, encoder.strides) == ("tokens", 32, (4, 8, 16, 32))
    mask = MaskConfig(mask_ratio=0.5, mask_ratio_max=ratio_max)
    hidden = draw_masks(mask, encoder.grid, seed=0, epoch=0, ids=range(2))
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    if ratio_max is not None:
        with pytest.raises(UserError, match="mask_ratio_max"):
            encoder(images, hidden)
        return
    assert leak(encoder, images, hidden) == 0.0
    assert parity(encoder.double(), images.double(), training=True) < 1e-10
