"""One seed's world: the features, the data sets and the initial weights, pure functions of (setting, seed)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unmask.theory.sampling import Samples, features, generator, sample
from unmask.theory.setting import Setting


@dataclass(frozen=True)
class World:
    """Everything drawn for one seed. Directions and patches are in ambient coordinates."""

    setting: Setting
    seed: int
    basis: Tensor
    """(d, d) orthonormal rows, the first F are the features V."""
    start: Tensor
    """w(0) ~ N(0, σ0² I), (K, d)."""
    dtype: torch.dtype

    @property
    def v(self) -> Tensor:
        """The features V, (F, d)."""
        return self.basis[: self.setting.data.features].to(self.dtype)

    @property
    def scratch_start(self) -> Tensor:
        """The same draw at the scale of training from scratch, (K, d)."""
        return self.start * (self.setting.scratch_init_scale / self.setting.init_scale)

    def unlabeled(self) -> Samples:
        """The N samples of pretraining."""
        return self._draw("pretraining", self.setting.samples, self.setting.data.single_share, self.setting.missing)

    def labeled(self) -> Samples:
        """The labeled samples of training from scratch."""
        return self._draw("labeled", self.setting.labeled, self.setting.labeled_single_share)

    def few(self) -> Samples:
        """labels_per_class samples of every class, drawn like the labeled ones."""
        s = self.setting
        pool = self._draw("few", 40 * s.labels_per_class * s.data.classes, s.labeled_single_share)
        same = pool.labels[:, None] == torch.arange(s.data.classes)
        chosen = (same & (same.cumsum(0) <= s.labels_per_class)).any(1)
        return pool.subset(chosen)

    def test(self, single: bool) -> Samples:
        """Test samples of one kind."""
        return self._draw(f"test {single}", self.setting.test_samples, float(single))

    def _draw(self, purpose: str, n: int, single_share: float, missing: int = 0) -> Samples:
        dist = replace(self.setting.data, single_share=single_share)
        shown = self.basis.clone()
        shown[:missing] = 0.0
        return sample(dist, n, shown, generator(self.seed, purpose), self.dtype)


def downstream(w: World) -> World:
    """The world of the downstream task: its classes are the first task_classes, its features their first task_views.

    Its features V' are a subset of those of pretraining, in the same directions; the directions of the others stay in
    the basis, but no sample shows them. From scratch there are m kernels per class.
    """
    s, data = w.setting, w.setting.data
    k, views = s.task_classes or data.classes, s.task_views or data.views
    if (k, views) == (data.classes, data.views):
        return w
    shown = task_features(s)
    rest = torch.ones(data.dim, dtype=torch.bool)
    rest[shown] = False
    few = replace(data, classes=k, views=views, others=min(data.others, float(k - 1)))
    setting = replace(s, data=few, task_classes=0, task_views=0, missing=0)
    return World(setting, w.seed, torch.cat([w.basis[shown], w.basis[rest]]), w.start[: setting.kernels], w.dtype)


def task_features(setting: Setting) -> Tensor:
    """(F',) int64: the features of pretraining that the downstream task shows, in the task's own order."""
    k, views = setting.task_classes or setting.data.classes, setting.task_views or setting.data.views
    return (torch.arange(k)[:, None] * setting.data.views + torch.arange(views)).flatten()


def world(setting: Setting, seed: int, dtype: torch.dtype = torch.float32) -> World:
    """Draw a world. Random numbers are drawn in float64, so all number types share one draw."""
    basis = features(setting.data, generator(seed, "features"))
    start = torch.randn(setting.kernels, setting.data.dim, generator=generator(seed, "start"), dtype=torch.float64)
    return World(setting, seed, basis, (setting.init_scale * start).to(dtype), dtype)
