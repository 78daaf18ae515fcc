"""Health of features with a known spectrum, and of whole networks stage by stage."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from unmask.audit.measures.health import dead_units, health
from unmask.audit.measures.stage_features import pooled_stages, stage_maps, with_signs
from unmask.config import EncoderConfig
from unmask.encoders.build import build_model
from unmask.errors import UserError


def features(*sigma: float, n: int = 20, dimensions: int = 8) -> torch.Tensor:
    """Centered features with these singular values."""
    g = torch.Generator().manual_seed(0)
    raw = torch.randn(n, len(sigma), generator=g, dtype=torch.float64)
    left = torch.linalg.qr(raw - raw.mean(0)).Q
    right = torch.linalg.qr(torch.randn(dimensions, len(sigma), generator=g, dtype=torch.float64)).Q
    return left @ torch.diag(torch.tensor(sigma, dtype=torch.float64)) @ right.T


def test_the_spectrum_is_that_of_the_features_and_the_rank_its_entropy() -> None:
    found = health(features(5.0, 3.0, 2.0))
    assert found.spectrum[:4] == pytest.approx([0.5, 0.3, 0.2, 0], abs=1e-9)
    assert found.centered_rank == pytest.approx(0.5**-0.5 * 0.3**-0.3 * 0.2**-0.2)
    assert found.effective_rank == pytest.approx(found.centered_rank)
    assert (found.images, found.features) == (20, 8)


def test_rotation_and_scale_of_the_features_change_no_rank_and_a_shift_only_the_uncentered_one() -> None:
    x = features(5.0, 3.0, 2.0)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    plain, turned, moved = health(x), health(3 * x @ turn), health(x + 100)
    assert turned.centered_rank == pytest.approx(plain.centered_rank)
    assert turned.spectrum == pytest.approx(plain.spectrum)
    assert moved.centered_rank == pytest.approx(plain.centered_rank)
    assert moved.feature_std == pytest.approx(plain.feature_std)
    assert moved.effective_rank < 1.2


def test_dead_units_are_those_that_never_change() -> None:
    x = torch.rand(10, 6, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0
    x[:, 4] = 7
    assert dead_units(x).tolist() == [False, True, False, False, True, False]
    assert health(x).dead == pytest.approx(2 / 6)
    assert health(torch.ones(5, 3)).dead == 1
    assert health(torch.ones(5, 3)).centered_rank == 0


def tiny(name: str, **options: object) -> nn.Module:
    config = EncoderConfig(encoder=name, encoder_options=options or None)
    return build_model(config, in_chans=1, image_size=(32, 32), num_classes=3, seed=0).eval()


def test_maps_of_a_patchnet_are_its_responses() -> None:
    model = tiny("patchnet", width=5, stride=4)
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stage_maps(model, images)["kernels"], model.forward_features(images))


def test_the_last_map_of_a_resnet_is_what_its_head_reads() -> None:
    model = tiny("resnet10t", channels=(4, 8, 8, 12), stem_width=4)
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = stage_maps(model, images)
        assert list(maps) == ["stage 1 of 5", "stage 2 of 5", "stage 4 of 5", "stage 5 of 5"]
        torch.testing.assert_close(model.fc(maps["stage 5 of 5"].mean((2, 3))), model(images))


def test_the_last_map_of_a_vit_is_its_normalized_patch_tokens() -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, in_chans=1
    ).eval()
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = stage_maps(model, images)
        tokens = model.forward_features(images)[:, 1:]
    torch.testing.assert_close(maps["stage 2 of 2"], tokens.transpose(1, 2).reshape(2, 16, 4, 4))


def test_pooling_is_over_positions_and_does_not_depend_on_batches_or_the_mode() -> None:
    model = tiny("resnet10t", channels=(4, 8, 8, 12), stem_width=4).train()
    images = torch.rand(7, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, split = pooled_stages(model, iter([images])), pooled_stages(model, iter(images.split(3)))
    for a, b in zip(whole, split, strict=True):
        torch.testing.assert_close(a.mean, b.mean, rtol=1e-5, atol=1e-7)
    assert model.training
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        maps = stage_maps(model.eval(), images)
    for pooled, (name, values) in zip(whole, maps.items(), strict=True):
        assert pooled.stage == name
        torch.testing.assert_close(pooled.mean, values.double().mean((2, 3)), rtol=1e-5, atol=1e-7)


def test_units_of_either_sign_stand_twice() -> None:
    signed = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert torch.equal(with_signs(signed, True), torch.cat([signed, -signed], 1))
    assert torch.equal(with_signs(signed.abs(), False), signed.abs())


def test_a_network_without_stages_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Linear gives no intermediate maps"):
        stage_maps(nn.Linear(3, 3), torch.rand(1, 3))
