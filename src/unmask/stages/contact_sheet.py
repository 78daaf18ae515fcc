"""Many small pictures in one JPEG file."""

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.data.imageset import ImageSet
from unmask.runs.files import write_whole
from unmask.runs.gallery import Sheet
from unmask.stages.pictures import to_color

_BLOCK = 8  # of JPEG: pictures of whole blocks do not bleed into each other
_AT_ONCE = 64
_QUALITIES = (85, 70, 55, 40, 25, 10)


def write_sheet(path: Path, images: ImageSet, indices: Tensor, *, side: int, most_bytes: int) -> Sheet:
    """Write the images at `indices` as pictures of at most `side` pixels, as sharp as `most_bytes` allow.

    Raises:
        UserError: an image cannot be read any more.
    """
    return write_pictures(path, pictures_of(images, indices, side=side), most_bytes=most_bytes)


def pictures_of(images: ImageSet, indices: Tensor, *, side: int) -> Tensor:
    """The images at `indices` in color, at most `side` pixels and in whole blocks of a JPEG, (n, 3, h, w) in 0..1."""
    size = _size(images.format.size, side)
    pictures = [
        interpolate(to_color(images.raw(chunk)), size, mode="bilinear", antialias=True)
        for chunk in indices.split(_AT_ONCE)
    ]
    return torch.cat(pictures).clamp(0, 1)


def write_pictures(path: Path, pictures: Tensor, *, most_bytes: int) -> Sheet:
    """Write pictures (n, 3, h, w) in 0..1 as one file, as sharp as `most_bytes` allow."""
    count, _, height, width = pictures.shape
    columns = math.ceil(math.sqrt(count))
    sheet = Sheet(columns=columns, count=count, width=width, height=height)
    canvas = torch.zeros(sheet.rows * columns, 3, height, width)
    canvas[:count] = pictures
    grid = canvas.view(sheet.rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    pixels = (255 * grid.reshape(sheet.rows * height, columns * width, 3)).round().to(torch.uint8)
    write_whole(path, _jpeg(Image.fromarray(pixels.numpy()), most_bytes))
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
