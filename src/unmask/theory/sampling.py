"""Draw samples of the distribution, vectorized: no loop over samples, features or patches."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unmask.randomness import derive_seed
from unmask.theory.distribution import Distribution, Range


@dataclass(frozen=True)
class Samples:
    """N drawn samples. Everything but `x` and `labels` is ground truth that no learner sees."""

    x: Tensor
    """Patches, (N, P, d); one more with a background."""
    labels: Tensor
    """y, (N,) int64."""
    single: Tensor
    """True where the sample is single-view, (N,) bool."""
    view: Tensor
    """The view l̂ a single-view sample shows, -1 for multi-view, (N,) int64."""
    position: Tensor
    """Patches of each feature, (N, F, C_p) int64, -1 where the feature is absent."""
    strength: Tensor
    """z of each feature on each of its patches, (N, F, C_p), 0 where absent."""

    def subset(self, index: Tensor) -> "Samples":
        """The samples at `index` (integer or boolean)."""
        return Samples(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def to(self, dtype: torch.dtype) -> "Samples":
        """The same samples with `x` and `strength` in another floating type."""
        return replace(self, x=self.x.to(dtype), strength=self.strength.to(dtype))


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A separate generator for one purpose, a pure function of (seed, purpose)."""
    return torch.Generator().manual_seed(derive_seed(seed, "theory", *purpose))


def features(dist: Distribution, gen: torch.Generator) -> Tensor:
    """A random orthonormal basis of R^d, (d, d) float64; its first F rows are the features V."""
    gaussian = torch.randn(dist.dim, dist.dim, generator=gen, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * torch.sign(torch.diagonal(r))).T.contiguous()


def sample(dist: Distribution, n: int, basis: Tensor, gen: torch.Generator, dtype: torch.dtype) -> Samples:
    """Draw n samples: x_p = z_p v + Σ_v' α_{p,v'} v' + ξ_p on a feature's patches, noise alone on the others.

    Args:
        dist: the distribution.
        n: number of samples.
        basis: (d, d) or (F, d) orthonormal rows, the first F are the features, the next is the background's.
        gen: source of all randomness; drawn in a fixed order in float64, so dtype does not change the draw.
        dtype: type of the returned patches and strengths.
    """
    f, c, p = dist.features, dist.patches_per_feature, dist.patches
    labels = torch.randint(dist.classes, (n,), generator=gen)
    single = _uniform((n,), gen) < dist.single_share
    view = torch.where(single, torch.randint(dist.views, (n,), generator=gen), -1)
    present = _present_classes(dist, labels, gen).repeat_interleave(dist.views, dim=1)
    strength = _sums(dist, labels, single, view, gen)[:, :, None] * _split(dist, n, gen)
    strength = strength * present[:, :, None]
    slot = (present.repeat_interleave(c, dim=1).cumsum(1) - 1).clamp(0, p - 1)
    order = _uniform((n, p), gen).argsort(1)
    position = torch.gather(order, 1, slot).view(n, f, c)
    position = torch.where(present[:, :, None], position, -1)
    coefficients = torch.zeros(n, f, p, dtype=torch.float64)
    coefficients.scatter_add_(2, position.clamp_min(0), strength)
    if dist.feature_noise:
        coefficients += dist.feature_noise * _uniform((n, f, p), gen)
    x = (coefficients.transpose(1, 2) @ basis[:f].double()).to(dtype)
    if dist.background:
        x = torch.cat([x, (dist.background * basis[f]).to(dtype).expand(n, 1, -1)], 1)
    x += dist.noise * torch.randn(x.shape, generator=gen, dtype=torch.float64).to(dtype)
    return Samples(x, labels, single, view, position, strength.to(dtype))


def _present_classes(dist: Distribution, labels: Tensor, gen: torch.Generator) -> Tensor:
    """(N, k) bool: y, and each other class with probability s/k, truncated to the classes that fit."""
    draw = _uniform((labels.numel(), dist.classes), gen)
    draw.scatter_(1, labels[:, None], -1.0)
    rank = draw.argsort(1).argsort(1)
    return (draw < dist.others / dist.classes) & (rank < dist.classes_that_fit)


def _sums(dist: Distribution, labels: Tensor, single: Tensor, view: Tensor, gen: torch.Generator) -> Tensor:
    """(N, F) sums Σ_p z_p the features would have if present."""
    shape = (labels.numel(), dist.classes, dist.views)
    own_class = torch.nn.functional.one_hot(labels, dist.classes).bool()[:, :, None]
    shown = (view[:, None] == torch.arange(dist.views)) | ~single[:, None]
    u = _uniform(shape, gen)
    others = torch.where(single[:, None, None], _between(u, dist.single_other), _between(u, dist.other))
    own = torch.where(shown[:, None, :], _between(u, dist.own), _between(u, dist.weak))
    fade = dist.fade ** torch.arange(dist.views, dtype=torch.float64)
    return (fade * torch.where(own_class, own, others)).flatten(1)


def _split(dist: Distribution, n: int, gen: torch.Generator) -> Tensor:
    """(N, F, C_p) shares of a feature's patches, each row sums to 1."""
    shape = (n, dist.features, dist.patches_per_feature)
    weights = 0.5 + _uniform(shape, gen)
    if dist.equal_patches:
        weights = torch.ones_like(weights)
    return weights / weights.sum(-1, keepdim=True)


def _uniform(shape: tuple[int, ...], gen: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=gen, dtype=torch.float64)


def _between(u: Tensor, bounds: Range) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * u
