"""Schedule, groups and steps against their definitions."""

import itertools
import math

import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unmask.config import EncoderConfig, OptimizerConfig
from unmask.encoders.build import build_model
from unmask.training.optimizer import is_decayed, layer_scales, parameter_groups, schedule
from unmask.training.plan import effective_lr, plan_steps


@given(st.integers(1, 2000), st.floats(0, 0.9))
def test_schedule_rises_to_one_and_falls_to_zero(total: int, warmup: float) -> None:
    """Monotone up to the peak of 1, monotone down after it, never negative, and near 0 at the end."""
    values = [schedule(step, total, warmup) for step in range(total)]
    rising = math.ceil(warmup * total)
    assert all(a < b for a, b in itertools.pairwise(values[:rising]))
    assert all(a >= b for a, b in itertools.pairwise(values[rising:]))
    assert min(values) >= 0
    assert max(values) == pytest.approx(1)
    if rising < total:
        assert schedule(total, total, warmup) == pytest.approx(0, abs=1e-12)


@given(st.integers(1, 5000), st.integers(1, 600))
def test_every_image_is_seen_and_no_batch_is_single(images: int, batch_size: int) -> None:
    """ceil(N / B') batches of at most B; the last one holds one image only where the batch size or the set is tiny."""
    config = OptimizerConfig(batch_size=batch_size, epochs=3)
    total, per_epoch, batch = plan_steps(config, images)
    assert batch <= batch_size
    assert (per_epoch - 1) * batch < images <= per_epoch * batch
    assert total == 3 * per_epoch
    last = images - (per_epoch - 1) * batch
    assert last > 1 or images == 1 or batch <= 2


def test_fewer_images_than_the_batch_still_train() -> None:
    """3 images, batch 8: one step an epoch."""
    assert plan_steps(OptimizerConfig(batch_size=8, epochs=5), 3) == (5, 1, 3)


@pytest.mark.case("tokens were decayed, or in the wrong group of learning rates")
def test_decay_is_for_kernels_only() -> None:
    """Biases, norms and tokens are not decayed; every trainable parameter is in exactly one group."""
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=3, image_size=(160, 160), num_classes=5)
    groups = parameter_groups(model, weight_decay=0.05)
    named = dict(model.named_parameters())
    assert sorted(name for group in groups for name in group["names"]) == sorted(named)
    for group in groups:
        for name in group["names"]:
            assert group["weight_decay"] == (0.05 if is_decayed(name, named[name]) else 0.0)
    assert not is_decayed("cls_token", named["cls_token"])
    assert not is_decayed("norm.weight", named["norm.weight"])
    assert is_decayed("blocks.0.attn.qkv.weight", named["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("nf_resnet26", "stages.0.0.conv1.gain"),
        ("dm_nfnet_f0", "stages.0.0.skipinit_gain"),
        ("swinv2_cr_tiny_224", "stages.0.blocks.0.attn.logit_scale"),
        ("levit_128s", "stages.0.blocks.0.attn.attention_biases"),
        ("xcit_nano_12_p16_224", "blocks.0.attn.temperature"),
    ],
)
def test_gains_scales_and_what_timm_spares_are_not_decayed(name: str, spared: str) -> None:
    """Within another module, too: names get its path in front."""
    model = timm.create_model(name, pretrained=False)
    groups = parameter_groups(nn.ModuleDict({"model": model}), weight_decay=0.05)
    decay = {one: group["weight_decay"] for group in groups for one in group["names"]}
    assert decay[f"model.{spared}"] == 0.0
    kernels = [n for n, p in model.named_parameters() if p.ndim > 1 and n.endswith("weight") and min(p.shape[:2]) > 1]
    assert sum(decay[f"model.{kernel}"] == 0.05 for kernel in kernels) > 0.8 * len(kernels) > 0


@pytest.mark.case("tokens were decayed, or in the wrong group of learning rates")
def test_layer_decay_falls_towards_the_stem() -> None:
    """Clark et al.: the head has scale 1, the stem and the tokens the smallest."""
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=3, image_size=(160, 160), num_classes=5)
    scales = layer_scales(model, 0.5)
    assert scales["head.weight"] == 1.0
    assert scales["cls_token"] == scales["patch_embed.proj.weight"] == min(scales.values())
    assert scales["blocks.0.attn.qkv.weight"] < scales["blocks.1.attn.qkv.weight"]
    assert set(layer_scales(model, 1.0).values()) == {1.0}


def test_effective_rate_is_told() -> None:
    """lr at a batch of 32 in the convention of 256 images."""
    assert effective_lr(OptimizerConfig(lr=1.25e-4, batch_size=32)) == (
        "lr 0.000125 at batch 32 (base lr 0.001 per 256 images)"
    )
