"""The file of an image of a pool, so that a table can name it; an image without its own file gets one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.decoding.decode import decode
from unmask.data.decoding.reading import Reading
from unmask.data.imageset import ImageSet
from unmask.data.pixels import CachedPixels, StreamedPixels, read_one
from unmask.runs.files import atomic_path, read_json, write_json

NAMES_FILE = "names_in_data.json"
"""Beside written images: by file name, the name of the image in its data."""


def file_of(data: str, name: str) -> Path | None:
    """The file of an image, from the name of its data and its own name in them; None if it has none."""
    root = Path(data)
    found = next((path for path in (root / name, root.parent / name, Path(name)) if path.is_file()), None)
    return None if found is None else found.absolute()


def write_image(images: ImageSet, index: int, path: Path) -> Path:
    """Write an image as read for the network: PNG for 8 bits in gray or RGB, else .npy; returns the file."""
    values = _pixels(images, index)
    plain = values.dtype == np.uint8 and len(values) in (1, 3)
    path = path.with_suffix(".png" if plain else ".npy")
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if plain:
            Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))).save(
                stream, format="PNG"
            )
        else:
            np.save(stream, values[0] if len(values) == 1 else values)
    return path.absolute()


def holds_image(path: Path, images: ImageSet, index: int) -> bool:
    """Whether a file that `write_image` wrote holds the pixels of this image."""
    return np.array_equal(decode(path, Reading(layout="channels-first")), _pixels(images, index), equal_nan=True)


def _pixels(images: ImageSet, index: int) -> NDArray[np.generic]:
    """An image as read for the network, (C, H, W)."""
    pixels, row = images.pixels, int(images.rows[index])
    if isinstance(pixels, CachedPixels):
        return pixels.values[row].numpy()
    assert isinstance(pixels, StreamedPixels)
    return read_one(pixels.images, row, pixels.format, pixels.reading).numpy()


def remember_names(folder: Path, names: dict[str, str]) -> None:
    """Add to the names of written images, by file name, in the folder that holds them."""
    if names:
        write_json(folder / NAMES_FILE, {**names_in(folder), **names})


def names_in(folder: Path) -> dict[str, str]:
    """The names in their data of images that were written because they have no file, by file name."""
    found: dict[str, str] = read_json(folder / NAMES_FILE) if (folder / NAMES_FILE).is_file() else {}
    return found
