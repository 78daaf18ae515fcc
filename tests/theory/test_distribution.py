"""The sampler against the definition of the distribution."""

from dataclasses import replace

import pytest
import torch

from unmask.errors import UserError
from unmask.theory.distribution import Distribution
from unmask.theory.presets import asymptotic, paper, paper_small, preset
from unmask.theory.sampling import features, generator, sample

DIST = Distribution(classes=6, dim=16, patches=20, patches_per_feature=2, others=2.0, single_share=0.4)


def draw(dist: Distribution, n: int = 3000):
    return sample(dist, n, features(dist, generator(0, "v")), generator(0, "x"), torch.float64)


def test_features_are_orthonormal() -> None:
    v = features(DIST, generator(3, "v"))
    assert torch.allclose(v @ v.T, torch.eye(16, dtype=torch.float64), atol=1e-12)


def test_noiseless_patches_are_the_stated_combination() -> None:
    dist = replace(DIST, noise=0.0)
    v = features(dist, generator(0, "v"))
    s = draw(dist, 200)
    for i in range(200):
        expected = torch.zeros(dist.patches, dist.dim, dtype=torch.float64)
        for f in range(dist.features):
            for c in range(dist.patches_per_feature):
                if s.position[i, f, c] >= 0:
                    expected[s.position[i, f, c]] += s.strength[i, f, c] * v[f]
        assert torch.allclose(s.x[i], expected, atol=1e-12)


def test_a_patch_carries_one_feature() -> None:
    s = draw(DIST)
    taken = s.position.flatten(1)
    for row in taken[:300]:
        used = row[row >= 0]
        assert used.unique().numel() == used.numel()


def test_sums_lie_in_their_ranges() -> None:
    s = draw(DIST)
    total = s.strength.sum(-1)
    own = torch.arange(DIST.features) // DIST.views == s.labels[:, None]
    shown = (torch.arange(DIST.features) % DIST.views == s.view[:, None]) | ~s.single[:, None]
    present = s.position[:, :, 0] >= 0
    for mask, (low, high) in (
        (own & shown, DIST.own),
        (own & ~shown, DIST.weak),
        (~own & present & ~s.single[:, None], DIST.other),
        (~own & present & s.single[:, None], DIST.single_other),
    ):
        assert mask.any()
        assert (total[mask] >= low - 1e-12).all()
        assert (total[mask] <= high + 1e-12).all()


def test_frequencies() -> None:
    dist = replace(DIST, patches=24)
    s = draw(dist, 20000)
    others = ((s.position[:, :, 0] >= 0).sum(1) / dist.views - 1).mean()
    assert abs(float(others) - dist.others * (dist.classes - 1) / dist.classes) < 0.05
    assert abs(float(s.single.double().mean()) - 0.4) < 0.02
    assert torch.bincount(s.labels).min() > 20000 / 6 * 0.9


def test_classes_that_do_not_fit_are_dropped_never_y() -> None:
    dist = replace(DIST, patches=12, others=2.0)
    s = draw(dist, 4000)
    present = s.position[:, :, 0] >= 0
    assert int(present.sum(1).max()) == 3 * dist.views
    own = torch.arange(dist.features) // dist.views == s.labels[:, None]
    assert present[own].all()


def test_draw_is_a_function_of_the_seed_and_not_of_the_type() -> None:
    v = features(DIST, generator(0, "v"))
    a = sample(DIST, 50, v, generator(7, "x"), torch.float64)
    b = sample(DIST, 50, v, generator(7, "x"), torch.float64)
    c = sample(DIST, 50, v, generator(8, "x"), torch.float64)
    single = sample(DIST, 50, v, generator(7, "x"), torch.float32)
    assert torch.equal(a.x, b.x)
    assert not torch.equal(a.x, c.x)
    assert torch.allclose(a.x.float(), single.x, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dim": 10}, "dim"),
        ({"patches": 8}, "patches"),
        ({"others": 7.0}, "others"),
        ({"own": (2.0, 1.0)}, "own"),
        ({"noise": -1.0}, "noise"),
        ({"single_share": 1.5}, "single_share"),
    ],
)
def test_impossible_combinations_name_the_field(changes: dict, field: str) -> None:
    with pytest.raises(UserError, match=f"^{field} = "):
        replace(DIST, **changes)


def test_presets_are_possible_and_have_enough_kernels() -> None:
    for setting in (paper_small(), paper(), asymptotic(20)):
        f = setting.data.features
        assert setting.teacher_scale < setting.effective_gain < setting.teacher_scale**setting.power
        assert (1 - 1 / f) ** setting.kernels < 1e-3 or setting.data.classes == 20
    assert preset("asymptotic-12").data.classes == 12
    with pytest.raises(UserError, match="preset"):
        preset("large")
