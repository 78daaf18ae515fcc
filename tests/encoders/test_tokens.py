"""ViTs on visible tokens, against the plain model with hidden keys shut out of attention."""

import pytest
import torch
from timm.layers import set_fused_attn, use_fused_attn
from torch import Tensor
from torch.nn import functional as F

from unmask.config import EncoderConfig, MaskConfig
from unmask.encoders.build import build_model
from unmask.encoders.laws import leak
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks

MODELS = {
    "test_vit": {},
    "vit_tiny_patch16_224": {"depth": 2, "reg_tokens": 3},
    "vit_small_patch16_36x1_224": {"depth": 2, "class_token": False, "global_pool": "avg"},
    "eva02_tiny_patch14_224": {"depth": 2, "patch_size": 16, "embed_dim": 48, "num_heads": 3},
    "vit_base_patch16_rope_mixed_224": {"depth": 2, "embed_dim": 48, "num_heads": 3},
}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("maximum", [None, 0.9])
def test_visible_features_are_those_of_full_attention_without_hidden_keys(name: str, maximum: float | None) -> None:
    config = EncoderConfig(encoder=name, encoder_options=MODELS[name])
    model = build_model(config, in_chans=3, image_size=(64, 96)).double().eval()
    encoder = masked_encoder(model, image_size=(64, 96))
    hidden = draw_masks(MaskConfig(mask_ratio=0.3, mask_ratio_max=maximum), encoder.grid, seed=0, epoch=0, ids=range(3))
    images = draw(3, 3, 64, 96)
    open_keys = F.pad(~hidden.flatten(1), (model.num_prefix_tokens, 0), value=True)[:, None, None, :]
    tokens = model.forward_features(images, attn_mask=open_keys.expand(-1, 1, open_keys.shape[-1], -1))
    expected = tokens[:, model.num_prefix_tokens :].transpose(1, 2).reshape(3, -1, 4, 6) * ~hidden[:, None]
    torch.testing.assert_close(encoder(images, hidden).maps[-1], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["test_vit", "vit_relpos_small_patch16_224"])
def test_nothing_leaks_with_unfused_attention(name: str) -> None:
    """timm's switch for its own attention, which the masks would not reach."""
    options = {} if name == "test_vit" else {"depth": 2, "embed_dim": 48, "num_heads": 3}
    before = use_fused_attn()
    set_fused_attn(False)
    try:
        model = build_model(EncoderConfig(encoder=name, encoder_options=options), in_chans=3, image_size=(64, 64))
    finally:
        set_fused_attn(before)
    encoder = masked_encoder(model, image_size=(64, 64))
    hidden = draw_masks(MaskConfig(mask_ratio=0.3, mask_ratio_max=0.9), encoder.grid, seed=0, epoch=0, ids=range(3))
    assert leak(encoder, draw(3, 3, 64, 64).float(), hidden) == 0.0


def test_attention_that_cannot_be_masked_is_refused_where_images_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=3, image_size=(64, 64))
    encoder = masked_encoder(model, image_size=(64, 64))
    for block in model.blocks:
        monkeypatch.setattr(block.attn, "fused_attn", False)
    hidden = draw_masks(MaskConfig(mask_ratio=0.3, mask_ratio_max=0.9), encoder.grid, seed=0, epoch=0, ids=range(3))
    with pytest.raises(UserError, match="omit mask_ratio_max"):
        encoder(draw(3, 3, 64, 64).float(), hidden)


def test_blocks_see_the_class_token_and_the_visible_ones_only() -> None:
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=3, image_size=(64, 64))
    encoder = masked_encoder(model, image_size=(64, 64))
    hidden = torch.zeros(2, 4, 4, dtype=torch.bool)
    hidden.view(2, 16)[:, [0, 5]] = True
    seen: list[int] = []
    handle = model.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    encoding = encoder(draw(2, 3, 64, 64).float(), hidden)
    handle.remove()
    assert seen == [1 + 14]
    assert (encoding.maps[-1] == 0).all(1).flatten(1)[0].nonzero()[:, 0].tolist() == [0, 5]
    assert not model.patch_drop._forward_hooks


def test_a_relative_bias_belongs_to_the_pair_of_places_not_to_the_order_of_tokens() -> None:
    options = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    config = EncoderConfig(encoder="beit_base_patch16_224", encoder_options=options)
    model = build_model(config, in_chans=3, image_size=(64, 64)).double().eval()
    attention = model.blocks[0].attn
    torch.nn.init.normal_(attention.relative_position_bias_table, std=3.0, generator=torch.Generator().manual_seed(1))
    encoder = masked_encoder(model, image_size=(64, 64))
    hidden = draw_masks(MaskConfig(mask_ratio=0.5), encoder.grid, seed=0, epoch=0, ids=range(2))
    images = draw(2, 3, 64, 64)
    bias = attention._get_rel_pos_bias()
    shut = F.pad(hidden.flatten(1), (1, 0))[:, None, None, :]
    attention._get_rel_pos_bias = lambda: bias.masked_fill(shut, float("-inf"))  # the oracle: hidden keys shut
    tokens = model.forward_features(images)[:, 1:].transpose(1, 2).reshape(2, -1, 4, 4) * ~hidden[:, None]
    del attention._get_rel_pos_bias
    torch.testing.assert_close(encoder(images, hidden).maps[-1], tokens, rtol=0, atol=1e-10)


def test_cells_of_several_patches_hide_whole_cells() -> None:
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=3, image_size=(64, 64))
    encoder = masked_encoder(model, image_size=(64, 64), cell=32)
    hidden = torch.tensor([[[True, False], [False, False]]])
    gone = encoder(draw(1, 3, 64, 64).float(), hidden).hidden[-1]
    assert gone[0, :2, :2].all()
    assert gone.sum() == 4
    with pytest.raises(UserError, match="not a multiple"):
        masked_encoder(model, image_size=(64, 64), cell=24)


def test_patches_that_overlap_are_filled() -> None:
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=3, image_size=(64, 64))
    model.patch_embed.proj = torch.nn.Conv2d(3, 64, 32, 16, 8)
    encoder = masked_encoder(model, image_size=(64, 64))
    assert encoder.execution == "filled"
    assert "neighboring patches" in encoder.note
