"""All masks of a source, decoded once to the size of the encoder's images: one byte per pixel, with pixel counts.

Letters: N images, H x W pixels, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unmask.config.data import IGNORED
from unmask.data.decoding.decode import named
from unmask.data.decoding.mask import indices_of, is_colored, read_mask
from unmask.data.headers import header_of
from unmask.data.sources.source import Masks, Source
from unmask.data.threads import failures
from unmask.errors import UserError
from unmask.tasks.mask_strata import strata_of
from unmask.wording import first_of


@dataclass(frozen=True)
class MaskTable:
    """The masks of all images."""

    masks: NDArray[np.uint8]
    """(N, H, W); all `IGNORED` if an image has none."""
    classes: tuple[str, ...]
    """The K names."""
    pixels: NDArray[np.int64]
    """Pixels of every class in the files' own size, (N, K)."""
    ignored: NDArray[np.int64]
    """Pixels to be ignored, (N,); 0 for images without a mask."""
    bad: dict[int, str]
    """A message for each row whose mask cannot be read or does not fit its image."""


def with_masks(source: Source, size: tuple[int, int], *, progress: bool) -> tuple[Source, MaskTable | None]:
    """The source with each image's class for drawing splits, the rarest that its mask shows; and the masks.

    Classes are counted at the files' own size, so that splits do not depend on `size`, to which the masks are brought.
    """
    if source.masks is None:
        return source, None
    table = read_masks(source, size, progress=progress)
    labels, notes = strata_of(table.pixels > 0), (*source.notes, *_one_class(table))
    return replace(source, labels=labels, classes=table.classes, notes=notes), table


def read_masks(source: Source, size: tuple[int, int], *, progress: bool = False) -> MaskTable:
    """Decode the masks of a source and bring them to a size by the nearest pixel.

    Raises:
        UserError: masks whose values are clearly not indices of classes: 0 and 255 only or, without names, large gaps.
    """
    assert source.masks is not None
    masks = _colored_alike(source.masks)
    rows = np.flatnonzero(masks.of >= 0)
    values = np.full((len(masks.of), *size), IGNORED, np.uint8)
    counts = np.zeros((len(masks.of), IGNORED + 1), np.int64)

    def read(at: int) -> None:
        row = int(rows[at])
        mask = _mask_of(masks, source.names[row], int(masks.of[row]))
        _require_size(mask, source, row)
        values[row] = nearest(mask, size)
        counts[row] = np.bincount(mask.reshape(-1), minlength=IGNORED + 1)

    failed = failures(read, len(rows), threads=masks.files.threads, bar="masks" if progress else None)
    bad = {int(rows[at]): message for at, message in failed.items()}
    if not masks.code.values:
        _require_classes(counts.sum(0), masks.code.names)
    classes = masks.code.names or _unnamed(counts.sum(0))
    return MaskTable(
        values,
        classes,
        counts[:, : len(classes)],
        counts[:, IGNORED],
        bad,
    )


def nearest(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) at another size: each new pixel takes the class of the pixel at its center."""
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * (old / new)).astype(np.int64).clip(max=old - 1)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def _mask_of(masks: Masks, name: str, row: int) -> NDArray[np.uint8]:
    stored = masks.files.stored(row)
    if isinstance(stored, np.ndarray):
        with named(f"mask of {name}"):
            return indices_of(stored[0], masks.code)
    return read_mask(stored, masks.code)


def _require_size(mask: NDArray[np.uint8], source: Source, row: int) -> None:
    """Raise `UserError` if a mask does not have its image's size. Unreadable images are reported elsewhere."""
    try:
        size = header_of(source.images.stored(row), source.reading).size
    except UserError:
        return
    if mask.shape != size:
        (height, width), (rows, columns) = size, mask.shape
        raise UserError(
            f"{source.names[row]} is {height}x{width} (height x width), its mask {rows}x{columns}: they must agree"
        )


def _colored_alike(masks: Masks) -> Masks:
    """Masks that all count by their colors if colors have names and one of the masks is in color.

    Programs that save space store a mask of few colors as gray, or with a palette of its own.
    """
    if masks.code.values or not masks.code.colors:
        return masks
    stored = (masks.files.stored(row) for row in range(len(masks.files)))
    colored = any(not isinstance(one, np.ndarray) and is_colored(one) for one in stored)
    return replace(masks, code=replace(masks.code, all_colored=colored))


def _require_classes(counts: NDArray[np.int64], names: tuple[str, ...]) -> None:
    """Raise `UserError` if masks whose values are indices hold only 0 and `IGNORED`, which then may be an object.

    With names it must be both: masks that are ignored as a whole have no object.
    """
    if not counts[IGNORED] or counts[1:IGNORED].any() or (names and not counts[0]):
        return
    background, thing = (*names, "object")[:2] if names else ("background", "object")
    raise UserError(
        f"masks: hold only 0 and {IGNORED}, and {IGNORED} means ignored: if it is {thing}, name it in classes.csv "
        f"(name,value), e.g. {background},0 and {thing},{IGNORED}, or store 1; if not, write {thing},1"
    )


def _one_class(table: MaskTable) -> Iterator[str]:
    """A note if masks show a single class and pixels that are ignored, which may be another one."""
    shown = np.flatnonzero(table.pixels.sum(0))
    if len(shown) == 1 and len(table.classes) > 1 and table.ignored.any():
        share = 100 * table.ignored.sum() / (table.ignored.sum() + table.pixels.sum())
        yield f"masks: show only {table.classes[shown[0]]}; {share:.2g} % of their pixels are {IGNORED} and ignored"


def _unnamed(counts: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of classes that no file names: background, 1, 2, ... up to the largest value.

    Raises:
        UserError: most values below the largest never occur, so they are hardly indices.
    """
    found = np.flatnonzero(counts[:IGNORED])
    count = int(found[-1]) + 1 if len(found) else 0
    if len(found) * 2 < count:
        raise UserError(
            f"masks: hold the values {first_of(found, 6)}, hardly indices of {count} classes: name them in classes.csv "
            "(name,value)"
        )
    return unnamed_classes(count)


def unnamed_classes(count: int) -> tuple[str, ...]:
    """What classes without names are called."""
    return ("background", *map(str, range(1, count)))[:count]
