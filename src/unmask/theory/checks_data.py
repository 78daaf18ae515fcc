"""Verdicts on the data: the samples follow the definition in docs/theory.md, read from the patches themselves."""

from dataclasses import replace
from math import comb, sqrt

import torch
from torch import Tensor

from unmask.theory.distribution import Distribution
from unmask.theory.problem import World, world
from unmask.theory.sampling import Samples
from unmask.theory.setting import Setting
from unmask.theory.verdict import Verdict, attempt, identity, law

SOURCE = "paper, data distribution D = (1 - μ) D_multi + μ D_single; distribution.py"
GENERAL = Distribution(
    classes=6, dim=20, patches=20, patches_per_feature=2, others=2.0, single_share=0.4, feature_noise=0.004, noise=0.02
)
"""In addition to the preset: several patches per feature, feature noise and both kinds of samples together."""


def data_checks(setting: Setting, seed: int = 0) -> list[Verdict]:
    """All checks of this file, on one seed of the setting and of one that has every part of the definition."""
    w = world(setting, seed)
    general = world(replace(setting, data=GENERAL, samples=2000, test_samples=1000, missing=0), seed)
    return [
        *attempt("strengths of features", lambda: [strengths_check([w, general])]),
        *attempt("frequencies of the data", lambda: [frequencies_check([w, general])]),
        *attempt("the labeled samples", lambda: [labels_check(w)]),
    ]


def sets_of(w: World) -> list[tuple[Samples, float, int]]:
    """(samples, the setting's share of single-view ones, features they lack) of all data sets."""
    s = w.setting
    return [
        (w.unlabeled(), s.data.single_share, s.missing),
        (w.labeled(), s.labeled_single_share, 0),
        (w.few(), s.labeled_single_share, 0),
        (w.test(False), 0.0, 0),
        (w.test(True), 1.0, 0),
    ]


def strengths_check(worlds: list[World]) -> Verdict:
    """Σ_p ⟨x_p, v⟩ over a feature's patches against the range of its role, in standard deviations of the noise."""
    worst, n = 0.0, 0
    for w in worlds:
        dist = w.setting.data
        spread = dist.noise * sqrt(dist.patches_per_feature) + 1e-6
        room = dist.feature_noise * dist.patches_per_feature
        for data, _, missing in sets_of(w):
            total, low, high = _sums_and_ranges(data, w, missing)
            beyond = torch.maximum(low - total, total - high - room).clamp_min(0.0) / spread
            worst, n = max(worst, float(beyond.max())), n + total.numel()
    claim = "strengths of features, read from their patches, lie in the ranges of their roles (deviation / sd of noise)"
    return law(claim, worst, 6.0, n, SOURCE)


def _sums_and_ranges(data: Samples, w: World, missing: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the features that are present, and the ends of the ranges they should lie in, one entry each."""
    dist, f = w.setting.data, w.setting.data.features
    along = torch.einsum("npd,fd->nfp", data.x, w.v)
    present = data.position[:, :, 0] >= 0
    present[:, :missing] = False
    total = along.gather(2, data.position.clamp_min(0)).sum(-1).double()
    view, owner = torch.arange(f) % dist.views, torch.arange(f) // dist.views
    own = owner == data.labels[:, None]
    shown = ~data.single[:, None] | (view == data.view[:, None])
    ends = []
    for side in (0, 1):
        others = torch.where(data.single[:, None], dist.single_other[side], dist.other[side])
        mine = torch.where(shown, dist.own[side], dist.weak[side])
        ends.append((torch.where(own, mine, others.expand_as(own)).double() * dist.fade**view)[present])
    return total[present], ends[0], ends[1]


def frequencies_check(worlds: list[World]) -> Verdict:
    """Largest z-score of: each class's share, single-view share, share of the first view in single-view samples, number
    of other classes, feature noise, noise; and of the spread of both starts."""
    scores: list[float] = []
    for w in worlds:
        for start, scale in ((w.start, w.setting.init_scale), (w.scratch_start, w.setting.scratch_init_scale)):
            square = float(start.double().square().mean()) / scale**2
            scores.append((square - 1) * sqrt(start.numel() / 2))
        for data, share, missing in sets_of(w):
            scores += _scores(data, share, missing, w)
    claim = "shares of classes, views and kinds, number of other classes, and noise are those of D (largest z-score)"
    return law(claim, max(abs(score) for score in scores), 4.5, len(scores), SOURCE)


def _scores(data: Samples, share: float, missing: int, w: World) -> list[float]:
    dist, n = w.setting.data, len(data.labels)
    even = 1 / dist.classes
    counts = torch.bincount(data.labels, minlength=dist.classes).double()
    found = [_score(float(count), n, even) for count in counts]
    single = int(data.single.sum())
    found.append(_score(single, n, share))
    if single:
        shown = data.strength[data.single].sum(-1).unflatten(1, (dist.classes, dist.views))
        mine = shown[torch.arange(single), data.labels[data.single]] / dist.fade ** torch.arange(dist.views)
        found.append(_score(int((mine.argmax(1) == 0).sum()), single, 1 / dist.views))
    chances = _others(dist)
    mean = sum(i * c for i, c in enumerate(chances))
    scatter = sqrt(sum(i * i * c for i, c in enumerate(chances)) - mean**2)
    alpha = float(torch.einsum("npd,fd->", data.x.double(), w.v.double()) - data.strength[:, missing:].double().sum())
    entries = n * data.x.shape[1] * dist.features
    spread = sqrt((dist.feature_noise**2 / 12 + dist.noise**2) * entries)
    found.append((alpha - 0.5 * dist.feature_noise * entries) / max(spread, 1e-3 * n))
    number = (data.position[:, :, 0] >= 0).sum(1).double().mean() / dist.views - 1
    found.append(float(number - mean) / max(scatter / sqrt(n), 1e-9))
    rest = w.basis[dist.directions :].to(data.x.dtype)
    if len(rest) and dist.noise:
        noise = (data.x @ rest.T).double()
        found.append(float(noise.square().mean() / dist.noise**2 - 1) * sqrt(noise.numel() / 2))
    return found


def _score(count: float, n: int, chance: float) -> float:
    """z-score of a count; if the probability is 0 or 1 every miss adds 1 to the score."""
    return (count - n * chance) / max(sqrt(n * chance * (1 - chance)), 0.1)


def _others(dist: Distribution) -> list[float]:
    """Probabilities of 0, 1, ... other classes: binomial over k - 1 classes, truncated where no more fit."""
    p, k, most = dist.others / dist.classes, dist.classes - 1, dist.classes_that_fit - 1
    chances = [comb(k, i) * p**i * (1 - p) ** (k - i) for i in range(k + 1)]
    return [*chances[:most], sum(chances[most:])]


def labels_check(w: World) -> Verdict:
    """Numbers of samples, and of labels per class in fine-tuning."""
    s, few = w.setting, w.few().labels
    counts = torch.bincount(few, minlength=s.data.classes)
    off = float((counts - s.labels_per_class).abs().max())
    sizes = ((w.unlabeled(), s.samples), (w.labeled(), s.labeled), (w.test(False), s.test_samples))
    off += sum(abs(len(data.labels) - wanted) for data, wanted in sizes)
    off += float((w.v.double() @ w.v.double().T - torch.eye(s.data.features)).abs().max() > 1e-5)
    claim = "numbers of samples, of labels per class in fine-tuning, and orthonormal features (number of misses)"
    return identity(claim, off, 0.0, len(few), "problem.py")
