"""Many small pictures in one JPEG file."""

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.data.imageset import ImageSet
from unmask.runs.files import atomic_path
from unmask.runs.gallery import Sheet
from unmask.stages.pictures import to_color

_BLOCK = 8  # of JPEG: pictures that are whole blocks do not run into each other
_AT_ONCE = 64
_QUALITIES = (85, 70, 55, 40, 25, 10)


def write_sheet(path: Path, images: ImageSet, indices: Tensor, *, side: int, most_bytes: int) -> Sheet:
    """Write the images at `indices` as pictures of at most `side` pixels, as sharp as `most_bytes` allow.

    Raises:
        UserError: an image cannot be read any more.
    """
    height, width = _size(images.format.size, side)
    pictures = [
        interpolate(to_color(images.raw(chunk)), (height, width), mode="bilinear", antialias=True)
        for chunk in indices.split(_AT_ONCE)
    ]
    columns = math.ceil(math.sqrt(len(indices)))
    sheet = Sheet(columns=columns, count=len(indices), width=width, height=height)
    canvas = torch.zeros(sheet.rows * columns, 3, height, width)
    canvas[: len(indices)] = torch.cat(pictures).clamp(0, 1)
    grid = canvas.view(sheet.rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    pixels = (255 * grid.reshape(sheet.rows * height, columns * width, 3)).round().to(torch.uint8)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_jpeg(Image.fromarray(pixels.numpy()), most_bytes))
    return sheet


def _size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of a picture: the longer side at most `side`, both whole blocks."""
    scale = min(1.0, side / max(size))
    height, width = (max(_BLOCK, min(side, math.ceil(scale * length / _BLOCK) * _BLOCK)) for length in size)
    return height, width


def _jpeg(image: Image.Image, most_bytes: int) -> bytes:
    """The image at the best quality that fits, or at the lowest."""
    content = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=quality, subsampling=0)
        content = buffer.getvalue()
        if len(content) <= most_bytes:
            break
    return content
