"""Ensembles and distillation of supervised networks (Allen-Zhu & Li, arXiv 2012.09816), beside MRP on the same data.

Trained from scratch, a network learns one view per class, drawn by its start. The mean of R networks trained from
independent starts on one data set holds a view if any of them does: of the L views of a class a share

    1 - (1 - 1/L)^R,

so its error on single-view data falls as (1 - 1/L)^R if views are drawn evenly. One student trained on the mean of
the R networks' probabilities, on samples that include single-view ones, learns the class of each feature: it
learns all views that the ensemble holds. MRP holds all views after one pretraining.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unmask.theory.capture import own_held
from unmask.theory.problem import World
from unmask.theory.sampling import Samples, generator
from unmask.theory.supervision import Supervised, logits, train_from_scratch


@dataclass(frozen=True)
class Ensemble:
    """R networks trained from scratch on one data set from independent starts, and a student of their mean."""

    world: World
    members: Supervised
    """R rows."""

    def logits(self, x: Tensor, count: int) -> Tensor:
        """Mean logits of the first `count` members, (N, k)."""
        rows = zip(self.members.weights[:count], self.members.head[:count], strict=True)
        return torch.stack([logits(w, u, x, self.world.setting) for w, u in rows]).mean(0)

    def error(self, count: int, single: bool) -> float:
        """Test error of the mean of the first `count` members."""
        data = self.world.test(single)
        return float((self.logits(data.x, count).argmax(1) != data.labels).double().mean())

    def missing(self, count: int) -> float:
        """Share of features that none of the first `count` members holds in kernels of its own class."""
        correlation = self.members.weights[:count] @ self.world.v.T
        return 1 - float(own_held(correlation, self.world.setting).any(1).any(0).double().mean())


def lottery(views: int, members: int) -> float:
    """Share of views that none of R networks holds if each draws one of L per class: (1 - 1/L)^R."""
    return (1 - 1 / views) ** members


def train_ensemble(w: World, members: int) -> Ensemble:
    """Train R networks from the starts 0 (that of the world), 1, ..., R - 1 on the world's labeled samples."""
    worlds = [w] + [replace(w, start=_start(w, i)) for i in range(1, members)]
    return Ensemble(w, train_from_scratch(worlds, data=[w.labeled()] * members))


def distill(
    one: Ensemble, data: Samples, temperature: float = 1.0, stop_loss: float = 0.01, end: float = 1e6
) -> Supervised:
    """Train a network from its own start on the ensemble's softened probabilities of `data`, without labels.

    Args:
        one: the teacher.
        data: samples; their labels are not used.
        temperature: the mean logits are divided by it.
        stop_loss: training stops at this mean Kullback-Leibler divergence.
        end: last time.
    """
    soft = torch.softmax(one.logits(data.x, len(one.members.weights)) / temperature, 1)
    setting = replace(one.world.setting, stop_loss=stop_loss)
    student = replace(one.world, setting=setting, start=_start(one.world, -1))
    return train_from_scratch([student], end=end, data=[replace(data, labels=soft)])


def unlabeled_like_paper(w: World, single_share: float = 0.2) -> Samples:
    """The N unlabeled samples of a world whose pretraining data also hold single-view samples."""
    data = replace(w.setting.data, single_share=single_share)
    return replace(w, setting=replace(w.setting, data=data)).unlabeled()


def _start(w: World, number: int) -> Tensor:
    draw = torch.randn(w.start.shape, generator=generator(w.seed, "ensemble", number), dtype=torch.float64)
    return (w.setting.init_scale * draw).to(w.dtype)
