"""Which pixels of a TIFF are missing: by GDAL's no-data tag, or by a validity mask within the file or beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.decoding.file import File
from unmask.data.decoding.missing import holds, joined, where_missing
from unmask.data.decoding.orientation import upright
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.decoding.tiff_tags import MASK, NODATA, NOT_A_PAGE, open_tiff, orientation_of
from unmask.errors import UserError


def may_miss_pixels(image: Image.Image, path: File) -> bool:
    """Whether an open image is a TIFF that declares missing pixels: by GDAL's tag, or a mask within or beside it."""
    tags: Any = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return False
    return NODATA in tags or bool(tags.next) or _sidecar(path) is not None


@dataclass(frozen=True)
class Declared:
    """What a page says about its missing pixels, and what `Reading.nodata` adds."""

    values: tuple[float, ...]
    """Values that stand for missing pixels."""
    valid: NDArray[np.bool_] | None
    """A validity mask, (H, W) as stored."""

    def concerns(self, dtype: np.dtype[Any]) -> bool:
        """Whether pixels of a number type may be missing."""
        return self.valid is not None or any(holds(dtype, value) for value in self.values)

    def missing(self, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which of the values as stored, (C, H, W), are missing; None if nothing declares any."""
        masked = None if self.valid is None else np.broadcast_to(~self.valid, stored.shape)
        return joined(masked, *(where_missing(stored, value) for value in self.values))


def declared(page: Any, path: File, reading: Reading = DEFAULT) -> Declared:
    """The no-data value and the mask of a tifffile page."""
    tag = page.tags.get(NODATA)
    text = "" if tag is None else str(tag.value).strip(" \0")
    try:
        values = (float(text),) if text else ()
    except ValueError:
        values = ()
    values = values if reading.nodata is None else (*values, reading.nodata)
    return Declared(values, _valid(page, path))


def pillow_missing(
    image: Image.Image, path: File, position: int, upright_values: NDArray[Any], reading: Reading
) -> NDArray[np.bool_] | None:
    """What is missing in an image that Pillow has decoded and turned upright."""
    if not may_miss_pixels(image, path):
        return where_missing(upright_values, reading.nodata)
    with open_tiff(path) as file:
        page = file.pages[position].aspage()
        found = declared(page, path, reading)
        valid = None if found.valid is None else upright(found.valid[None], orientation_of(page))[0].astype(bool)
        return Declared(found.values, valid).missing(upright_values)


def _valid(page: Any, path: File) -> NDArray[np.bool_] | None:
    """The mask of a page: in the file, as the page of that kind that follows, or in FILE.msk beside it."""
    following = page.parent.pages
    for index in range(page.index + 1, len(following)):
        other = following[index].aspage()
        if not other.subfiletype & NOT_A_PAGE:
            break
        if other.subfiletype & NOT_A_PAGE == MASK:
            return _mask_values(other, page)
    beside = _sidecar(path)
    if beside is None:
        return None
    with open_tiff(beside) as file:
        return _mask_values(file.pages[0].aspage(), page)


def _mask_values(mask: Any, page: Any) -> NDArray[np.bool_]:
    values = np.asarray(mask.asarray() > 0)
    size = (page.imagelength, page.imagewidth)
    if values.shape != size:
        raise UserError(f"its validity mask has shape {values.shape}, the image {size}")
    return values


def _sidecar(path: File) -> Path | None:
    """GDAL's mask beside a TIFF."""
    beside = Path(f"{path}.msk") if isinstance(path, Path) else None
    return beside if beside is not None and beside.is_file() else None
