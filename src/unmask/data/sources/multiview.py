"""Images whose classes have known parts: the data distribution of docs/theory.md as pictures.

A class has L parts, textures of its own. A multi-view image shows all parts of its class, a single-view image only one.
Added to them are faint parts of other classes (distractors), a smooth random field (clutter) and noise.

Letters: N images, k classes, L parts per class, p side of a part, S side of an image, M distractors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from unmask.config.validation import require, require_between, require_least, require_ranges, require_seed
from unmask.randomness import permutation, uniform

Floats = NDArray[np.float32]
CHUNK = 1000
"""Images drawn per call, to bound memory. Does not change them."""


@dataclass(frozen=True, kw_only=True)
class MultiViewConfig:
    """Settings of the built-in `multiview`, given as DataConfig.options."""

    images: int = 10000
    """Training images."""
    val_images: int = 3000
    """Validation images, the same number of multi-view ones and of each part alone."""
    test_images: int = 3000
    """Test images, the same number of multi-view ones and of each part alone."""
    classes: int = 10
    """k."""
    parts: int = 2
    """L, parts of a class."""
    weak_strength: float = 0.6
    """Strength of the last part; the others have 1."""
    single_view_share: float = 0.0
    """μ: share of the training images that show only one part, drawn uniformly."""
    size: int = 32
    """S, height and width in pixels."""
    part_size: int = 8
    """p, height and width of a part in pixels."""
    bandwidth: int = 5
    """Cosines per direction in a texture: few for smooth textures, part_size for white ones."""
    step: int = 1
    """Parts lie at multiples of so many pixels: 1 is anywhere; an encoder's stride spares it one kernel per shift."""
    distractors: int = 2
    """M, parts of other classes in every image."""
    distractor_strength: float = 0.4
    """Largest strength of a distractor; strengths are uniform between half of it and this."""
    clutter: float = 0.3
    """Standard deviation of the smooth background relative to a part's."""
    noise: float = 0.3
    """Standard deviation of the pixel noise relative to a part's."""
    contrast: float = 0.15
    """Standard deviation of a part of strength 1, where black to white is 1."""
    seed: int = 0
    """Seed of textures and images."""

    def __post_init__(self) -> None:
        require_least(self, images=1, val_images=1, test_images=1, classes=2, parts=1, part_size=2, bandwidth=2)
        require_seed("seed", self.seed)
        require_between("step", self.step, 1, self.part_size)
        require(self.part_size <= self.size, "part_size", self.part_size, f"at most size = {self.size}")
        room = _room(self.size, self.part_size, self.step)
        allowed = f"at most {room} parts of {self.part_size} pixels surely find a place in {self.size} pixels"
        require(self.parts <= room, "parts", self.parts, allowed)
        require_least(self, distractors=0, clutter=0, noise=0)
        require_ranges(self, single_view_share="[0, 1]", weak_strength="[0, 1]")
        require_ranges(self, distractor_strength="[0, 1]", contrast="[0, 1]")


def _room(size: int, part: int, step: int) -> int:
    """How many parts always find a place one after the other: each blocks at most (2⌈p/step⌉ - 1)² places of all."""
    along = (size - part) // step + 1
    return 1 + (along**2 - 1) // (2 * -(-part // step) - 1) ** 2


@dataclass(frozen=True)
class MultiView:
    """Images and their ground truth."""

    images: NDArray[np.uint8]
    """(N, 1, S, S)."""
    labels: NDArray[np.int64]
    """(N,)."""
    parts_present: NDArray[np.bool_]
    """Which parts of its class an image shows, (N, L)."""
    boxes: NDArray[np.int64]
    """Top, left, bottom, right (exclusive) of each part in pixels, (N, L, 4); -1 where it is absent."""


def textures(config: MultiViewConfig) -> Floats:
    """The part of every class and place, float32 (k, L, p, p): random, smooth, of zero mean and unit variance.

    Random combinations of the lowest bandwidth² - 1 cosines. Orthogonal, like the features v[i, l] of the theory, as
    long as k · L of them fit, that is k · L < bandwidth²; beyond that, merely random.
    """
    k, parts, p, band = config.classes, config.parts, config.part_size, min(config.bandwidth, config.part_size)
    waves = np.cos(np.pi / p * np.outer(np.arange(band), np.arange(p) + 0.5))
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    atoms = np.einsum("ay,bx->abyx", waves, waves).reshape(band * band, p * p)[1:]
    mix = ndtri(_open(uniform(config.seed, "texture", 0, np.arange(k * parts), len(atoms))))
    mix = np.linalg.qr(mix.T)[0].T if k * parts <= len(atoms) else mix
    mix /= np.linalg.norm(mix, axis=1, keepdims=True)
    return (p * mix @ atoms).reshape(k, parts, p, p).astype(np.float32)


def draw_multiview(config: MultiViewConfig, split: str, shows: NDArray[np.int64]) -> MultiView:
    """The images of a split.

    Args:
        split: names the stream of random numbers.
        shows: what image i shows: 0 all parts, l >= 1 part l only, (N,).

    Returns:
        Images and truth. Classes are balanced. Image i depends on config, split, i and shows[i] only (its class on N).
    """
    n = len(shows)
    labels = permutation(config.seed, f"{split} class", 0, n) % config.classes
    parts = [
        _draw(config, split, ids, labels[ids], shows[ids]) for ids in np.split(np.arange(n), range(CHUNK, n, CHUNK))
    ]
    images, present, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
    return MultiView(images, labels, present, boxes)


def _draw(
    config: MultiViewConfig, split: str, ids: NDArray[np.int64], labels: NDArray[np.int64], shows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]:
    n, parts, size = len(ids), config.parts, config.size
    present = (shows[:, None] == 0) | (shows[:, None] == np.arange(1, parts + 1))
    which, strength = objects(config, split, ids, labels, present)
    corners = places(config, split, ids, strength > 0)
    canvas = _background(config, split, ids)
    patterns = textures(config).reshape(-1, config.part_size, config.part_size)
    span = np.arange(config.part_size)
    for j in range(strength.shape[1]):
        rows, columns = corners[:, j, 0, None] + span, corners[:, j, 1, None] + span
        placed = strength[:, j, None, None] * patterns[which[:, j]]
        canvas[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]] += placed
    images = np.clip(np.rint(255 * (0.5 + config.contrast * canvas)), 0, 255).astype(np.uint8)
    own = corners[:, :parts]
    boxes = np.where(present[:, :, None], np.concatenate([own, own + config.part_size], 2), -1)
    return images.reshape(n, 1, size, size), present, boxes


def objects(
    config: MultiViewConfig, split: str, ids: NDArray[np.int64], labels: NDArray[np.int64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], Floats]:
    """Texture (index into k · L) and strength of the L own parts and the M distractors, each (n, L + M).

    Own parts vary by ±10 % in strength. A distractor is a random part of a random other class.
    """
    k, parts, m = config.classes, config.parts, config.distractors
    own = labels[:, None] * parts + np.arange(parts)
    base = np.ones(parts)
    base[-1] = config.weak_strength
    strength = present * base * (0.9 + 0.2 * uniform(config.seed, f"{split} strength", 0, ids, parts))
    u = uniform(config.seed, f"{split} distractor", 0, ids, 3 * m).reshape(len(ids), m, 3)
    other = (labels[:, None] + 1 + (u[:, :, 0] * (k - 1)).astype(np.int64)) % k
    which = other * parts + (u[:, :, 1] * parts).astype(np.int64)
    faint = config.distractor_strength * (0.5 + 0.5 * u[:, :, 2])
    return np.concatenate([own, which], 1), np.concatenate([strength, faint], 1).astype(np.float32)


def places(config: MultiViewConfig, split: str, ids: NDArray[np.int64], shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Top-left corners, (n, L + M, 2): uniform over the places that overlap nothing placed before.

    Own parts come first and always find a place. A distractor that finds none covers another distractor's.
    """
    n, count, p = len(ids), shown.shape[1], config.part_size
    side = config.size - p + 1
    u = uniform(config.seed, f"{split} place", 0, ids, count)
    free = np.zeros((n, side, side), bool)
    free[:, :: config.step, :: config.step] = True
    own_free = free
    corners = np.zeros((n, count, 2), np.int64)
    span = np.arange(side)
    for j in range(count):
        stuck = ~free.any((1, 2))
        free[stuck] = own_free[stuck]
        flat = free.reshape(n, -1)
        ranks = np.cumsum(flat, 1, dtype=np.int32)
        pick = (u[:, j] * ranks[:, -1]).astype(np.int64)
        place = (ranks <= pick[:, None]).sum(1)
        corners[:, j] = np.stack([place // side, place % side], 1)
        near = np.abs(span - corners[:, j, :, None]) < p
        free &= ~(near[:, 0, :, None] & near[:, 1, None, :] & shown[:, j, None, None])
        if j == config.parts - 1:
            own_free = free.copy()
    return corners


def _background(config: MultiViewConfig, split: str, ids: NDArray[np.int64]) -> Floats:
    """Clutter and noise in units of a part's standard deviation, (n, S, S).

    Clutter is white noise on a grid of 5 x 5, interpolated linearly and scaled to unit variance at every pixel.
    """
    n, size, knots = len(ids), config.size, 5
    field = ndtri(_open(uniform(config.seed, f"{split} clutter", 0, ids, knots * knots))).astype(np.float32)
    weights = _interpolation(size, knots)
    smooth = weights @ field.reshape(n, knots, knots) @ weights.T
    noise = ndtri(_open(uniform(config.seed, f"{split} noise", 0, ids, size * size))).astype(np.float32)
    return config.clutter * smooth + config.noise * noise.reshape(n, size, size)


def _interpolation(size: int, knots: int) -> Floats:
    """Linear interpolation from `knots` to `size` points with rows of unit length, (size, knots)."""
    at = np.linspace(0, knots - 1, size)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots)))
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def _open(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """From [0, 1) into the open interval, where the normal quantile is finite."""
    return u + 2.0**-54
