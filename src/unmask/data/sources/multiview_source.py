"""The built-in data set multiview: its splits, and what is known of their images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.config.serialize import from_json
from unmask.data.known_parts import Bools, Ints, KnownParts
from unmask.data.sources.multiview import MultiViewConfig, draw_multiview, objects, places
from unmask.data.sources.source import TEST, TRAIN, VAL, Arrays, Source, split_array
from unmask.errors import UserError
from unmask.randomness import permutation, uniform


def read_multiview(options: dict[str, float | int | str | bool]) -> Source:
    """The built-in data set: train as configured, validation and test with equal shares of multi and each part alone.

    The test has the parts "multi", "single_1", ... "single_L".

    Raises:
        UserError: an unknown option, or a value of the wrong type or out of range.
    """
    known = MultiViewConfig.__dataclass_fields__
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"options: multiview has no option {unknown}: the options are {', '.join(known)}")
    config = from_json(MultiViewConfig, options, "options")
    drawn = {name: draw_multiview(config, name, shows) for name, shows in _shows(config).items()}
    counts = [len(part.labels) for part in drawn.values()]
    shows = _shows(config)[TEST]
    rows = np.arange(len(shows)) + counts[0] + counts[1]
    tests = {"multi": rows[shows == 0]} | {f"single_{i}": rows[shows == i] for i in range(1, config.parts + 1)}
    return Source(
        names=tuple(f"{name}[{i}]" for name, n in zip(drawn, counts, strict=True) for i in range(n)),
        labels=np.concatenate([part.labels for part in drawn.values()]),
        classes=tuple(str(i) for i in range(config.classes)),
        splits=split_array([name for name, n in zip(drawn, counts, strict=True) for _ in range(n)]),
        images=Arrays(np.concatenate([part.images for part in drawn.values()])),
        extra_tests=tests,
        parts=MultiViewParts(config),
    )


def _shows(config: MultiViewConfig) -> dict[str, NDArray[np.int64]]:
    """What every image of each split shows: 0 all parts, l part l only."""
    u = uniform(config.seed, "train view", 0, np.arange(config.images), 2)
    single = 1 + (u[:, 1] * config.parts).astype(np.int64)
    train = np.where(u[:, 0] < config.single_view_share, single, 0)
    cycle = config.parts + 1
    return {TRAIN: train, VAL: np.arange(config.val_images) % cycle, TEST: np.arange(config.test_images) % cycle}


@dataclass(frozen=True)
class MultiViewParts:
    """The parts of the images of `read_multiview`, by their rows. Drawn again on demand."""

    config: MultiViewConfig

    def known(self, ids: Ints) -> KnownParts:
        """See `ImageParts.known`."""
        names = tuple(str(i) for i in range(self.config.classes))
        pieces, order = [], []
        for split, shows, local, at in self._places(ids):
            labels = permutation(self.config.seed, f"{split} class", 0, len(shows)) % self.config.classes
            views = np.arange(1, self.config.parts + 1)
            shown = (shows[local, None] == 0) | (shows[local, None] == views)
            pieces.append(true_parts(self.config, split, local, labels[local], shown, names))
            order.append(at)
        columns = zip(*((one.labels, one.shown, one.faint, one.boxes) for one in pieces), strict=True)
        every = KnownParts(names, *(np.concatenate(column) for column in columns))
        return every.select(np.argsort(np.concatenate(order)))

    def removed(self, ids: Ints) -> NDArray[np.generic]:
        """See `ImageParts.removed`."""
        out = np.zeros((len(ids), 1, self.config.size, self.config.size), np.uint8)
        for split, shows, local, at in self._places(ids):
            out[at] = draw_multiview(self.config, split, np.full(len(shows), self.config.parts + 1)).images[local]
        return out

    def _places(self, ids: Ints) -> Iterator[tuple[str, Ints, Ints, Ints]]:
        """For each split with any of the images: its name, what its images show, their positions there and in `ids`."""
        start = 0
        for split, shows in _shows(self.config).items():
            at = np.flatnonzero((ids >= start) & (ids < start + len(shows)))
            if len(at):
                yield split, shows, ids[at] - start, at
            start += len(shows)


def true_parts(
    settings: MultiViewConfig, split: str, ids: Ints, labels: Ints, shown: Bools, classes: tuple[str, ...]
) -> KnownParts:
    """The truth of images drawn by `draw_multiview`, without drawing their pixels again: positions `ids` in the stream
    (N,) of a split, their labels (N,) and which parts of the class they show, (N, L)."""
    n, own = len(ids), settings.parts
    which, strength = objects(settings, split, ids, labels, shown)
    corners = places(settings, split, ids, strength > 0)[:, :own]
    boxes = np.where(shown[:, :, None], np.concatenate([corners, corners + settings.part_size], 2), -1)
    faint = np.zeros((n, settings.classes * own), bool)
    rows, columns = np.nonzero(strength[:, own:] > 0)
    faint[rows, which[:, own:][rows, columns]] = True
    return KnownParts(classes, labels, shown, faint.reshape(n, settings.classes, own), boxes)
