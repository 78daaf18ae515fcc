"""The file of an image of a pool, so that a table can name it; an image without its own file gets one."""

from pathlib import Path

import numpy as np
from PIL import Image

from unmask.data.imageset import ImageSet
from unmask.data.pixels import CachedPixels, StreamedPixels, read_one
from unmask.runs.files import atomic_path


def file_of(data: str, name: str) -> Path | None:
    """The file of an image, from the name of its data and its own name in them; None if it has none."""
    root = Path(data)
    found = next((path for path in (root / name, root.parent / name, Path(name)) if path.is_file()), None)
    return None if found is None else found.absolute()


def write_image(images: ImageSet, index: int, path: Path) -> Path:
    """Write an image as read for the network: PNG for 8 bits in gray or RGB, else .npy; returns the file."""
    pixels, row = images.pixels, int(images.rows[index])
    if isinstance(pixels, CachedPixels):
        values = pixels.values[row].numpy()
    else:
        assert isinstance(pixels, StreamedPixels)
        values = read_one(pixels.images, row, pixels.format, pixels.reading).numpy()
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
