"""One law suite for all encoders; a family joins by one line."""

import pytest

from unmask.encoders.check import check_encoder

FAMILIES = {  # name: (options that make it small, whether one visible cell equals an image of that cell)
    "patchnet": ({}, True),
    "resnet18": ({"layers": [1, 1, 1, 1]}, True),
    "resnext50_32x4d": ({"layers": [1, 1, 1, 1]}, True),
    "seresnet50": ({"layers": [1, 1, 1, 1]}, True),
    "wide_resnet50_2": ({"layers": [1, 1, 1, 1], "base_width": 80}, True),
    "resnetblur18": ({"layers": [1, 1, 1, 1]}, False),
    "resnetv2_18": ({"layers": [1, 1, 1, 1]}, True),
    "regnetx_002": ({}, True),
    "regnety_002": ({}, True),
    "convnext_atto": ({"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, True),
    "convnextv2_atto": ({"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, True),
    "test_efficientnet": ({}, True),
    "test_efficientnet_gn": ({}, True),
    "test_efficientnet_ln": ({}, True),
    "tf_mobilenetv3_small_minimal_100": ({}, False),
    "mobilenetv3_small_050": ({}, True),
    "densenet121": ({"block_config": (2, 2, 2, 2), "growth_rate": 8}, False),
    "vgg11_bn": ({"mlp_ratio": 0.02}, True),
    "darknet17": ({}, True),
    "cspresnet50": ({}, True),
    "repvgg_a0": ({}, True),
    "test_nfnet": ({}, True),
    "test_byobnet": ({}, True),
    "test_mambaout": ({}, True),
    "edgenext_xx_small": ({"depths": (1, 1, 2, 1)}, False),
    "resnest14d": ({"layers": [1, 1, 1, 1]}, False),
    "skresnet18": ({"layers": [1, 1, 1, 1]}, True),
    "test_coatnet": ({}, False),
    "test_vit": ({}, False),
    "test_vit2": ({}, False),
    "test_vit3": ({}, False),
    "test_vit4": ({}, False),
    "vit_tiny_patch16_224": ({"depth": 2, "reg_tokens": 3}, False),
    "deit_tiny_distilled_patch16_224": ({"depth": 2}, False),
    "vit_relpos_small_patch16_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, False),
    "beit_base_patch16_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, False),
    "beitv2_base_patch16_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, False),
    "eva02_tiny_patch14_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3, "patch_size": 16}, False),
    "pvt_v2_b0": ({"depths": (1, 1, 1, 1), "embed_dims": (8, 16, 24, 32), "num_heads": (1, 1, 1, 1)}, False),
    "swin_tiny_patch4_window7_224": ({"depths": (1, 1, 1, 1), "embed_dim": 24}, False),
}
LARGE = {"cspresnet50", "vgg11_bn", "darknet17", "repvgg_a0", "resnest14d", "wide_resnet50_2", "regnety_002"}
LARGE |= {"resnext50_32x4d", "seresnet50"}
"""Those that take a second or more."""


@pytest.mark.case("dense convolution leaked hidden pixels, BatchNorm averaged zeros")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in FAMILIES])
def test_the_laws_hold(name: str) -> None:
    options, isolated = FAMILIES[name]
    execution = "auto" if name.startswith(("swin", "pvt")) else "dense"  # packed: test_packed.py, against dense
    row = check_encoder(name, options=options, execution=execution)
    assert row.error == ""
    assert row.leak == 0.0
    assert row.parity_eval < 1e-10
    assert row.parity_train < 1e-10
    assert row.step
    if isolated:
        assert row.isolation < 1e-9
