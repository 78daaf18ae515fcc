"""What the tags of a TIFF say: which pages are images, and whether Pillow counts samples and bits as they do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from unmask.data.decoding.file import File, readable
from unmask.data.decoding.pil_modes import TRANSPARENT
from unmask.errors import UserError

WIDTH, HEIGHT = 256, 257
SAMPLES, BITS, FORMAT, PLANAR, PHOTOMETRIC, EXTRA, ORIENTATION, COMPRESSION = 277, 258, 339, 284, 262, 338, 274, 259
"""Tags of TIFF 6.0."""
CONTIGUOUS, SEPARATE = 1, 2
"""Whether the samples of a pixel lie together, or each band on its own."""
NODATA = 42113
"""GDAL's tag: the value of missing pixels, as text."""
REDUCED, MASK = 0b001, 0b100
NOT_A_PAGE = REDUCED | MASK
"""Bits of the subfile type: a page of reduced size, a transparency mask."""
INVERTED, BLACK_IS_ZERO, COLOR, PALETTE = range(4)
"""Photometric interpretations whose values in tifffile can be converted to images."""
ASSOCIATED, UNASSOCIATED = 1, 2
"""Extra samples that are alpha: premultiplied, or not."""


def pillow_agrees(image: Image.Image) -> bool:
    """Whether Pillow decodes the current page of an open TIFF to the samples, bits and alpha that its tags declare.

    It reads the first band of band-separate files, takes a fourth sample for alpha and 16-bit colors as 8 bits.

    Raises:
        UserError: tags that every TIFF must have are missing.
    """
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits, formats = tags.get(BITS, (1,)), tags.get(FORMAT, (1,))
    samples = tags.get(SAMPLES, 1)
    require_tags(tags, samples, len(bits), tags.get(PLANAR, CONTIGUOUS))
    if (
        tags.get(PLANAR, CONTIGUOUS) != CONTIGUOUS
        or samples != len(image.getbands())
        or len({*bits}) > 1
        or len({*formats}) > 1
    ):
        return False
    if has_alpha(samples, tags.get(EXTRA, ())) != (image.mode in TRANSPARENT):
        return False
    if max(bits) <= 8:
        return bool(formats[0] == 1 and (NODATA not in tags or tags.get(PHOTOMETRIC) not in (INVERTED, PALETTE)))
    kept = image.mode.startswith("I;16") if formats[0] == 1 else image.mode == "F" and formats[0] == 3
    return bool(kept and tags.get(PHOTOMETRIC) == BLACK_IS_ZERO)


def require_tags(tags: Any, samples: int, bits: int, planar: int) -> None:
    """Raise `UserError` if a damaged tag, which libraries ignore, would be replaced by its default.

    The default is gray of one bit, not compressed, with 0 as white. `bits` is the count of tag 258.
    """
    if planar not in (CONTIGUOUS, SEPARATE):
        raise UserError(f"damaged TIFF (its planar configuration, tag 284, is {planar})")
    if PHOTOMETRIC not in tags:
        raise UserError("damaged TIFF (its color space, tag 262, is missing)")
    if COMPRESSION not in tags:
        raise UserError("damaged TIFF (its compression, tag 259, is missing)")
    if BITS not in tags and samples > 1:
        raise UserError("damaged TIFF (its bits per sample, tag 258, are missing)")
    if bits not in (1, samples):
        raise UserError(f"damaged TIFF (its bits per sample, tag 258, are those of {bits} samples, not of {samples})")


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an open image as stored: some versions of Pillow swap those of a TIFF."""
    tags: Any = getattr(image, "tag_v2", None)
    return image.size if image.format != "TIFF" or tags is None else (int(tags[WIDTH]), int(tags[HEIGHT]))


def has_alpha(samples: int, extra: tuple[int, ...]) -> bool:
    """Whether the last sample of a pixel is declared as alpha."""
    return samples in (2, 4) and tuple(extra) in ((ASSOCIATED,), (UNASSOCIATED,))


def pages_of(image: Image.Image, path: File) -> list[int]:
    """Positions, in the file, of an open image's pages; overviews and masks of a TIFF are not pages."""
    if image.format != "TIFF":
        return list(range(getattr(image, "n_frames", 1)))
    if not image.tell() and not image.tag_v2.next:  # type: ignore[attr-defined]
        return [0]
    with open_tiff(path) as file:
        return [position for position, page in enumerate(file.pages) if _is_full(page)]


def seek(image: Image.Image, position: int) -> bool:
    """Go to a page of an open image; whether Pillow knows its kind and, of a TIFF, agrees with its tags."""
    try:
        image.seek(position)
    except SyntaxError:
        return False
    return image.format != "TIFF" or pillow_agrees(image)


@contextmanager
def open_tiff(path: File) -> Iterator[Any]:
    """tifffile's TiffFile.

    Raises:
        UserError: the file is not a TIFF, or damaged.
    """
    import tifffile

    with readable(path) as stored:
        try:
            opened = tifffile.TiffFile(stored)
        except (tifffile.TiffFileError, ValueError, IndexError, KeyError) as error:
            raise UserError(f"damaged TIFF ({' '.join(str(error).split())})") from None
        with opened:
            yield opened


def full_pages(file: Any) -> list[Any]:
    """The pages of a TiffFile that are neither overviews nor masks."""
    return [page.aspage() for page in file.pages if _is_full(page)]


def _is_full(page: Any) -> bool:
    return not page.aspage().subfiletype & NOT_A_PAGE


def orientation_of(page: Any) -> int:
    """EXIF orientation of a tifffile page, 1 to 8."""
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None else 1
