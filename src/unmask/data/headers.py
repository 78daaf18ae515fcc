"""A first look at all images without decoding them: size, channels and number type, to choose the common form."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.config.data import DataConfig
from unmask.data.decoding.decode import named, open_image, read_npy
from unmask.data.decoding.file import File
from unmask.data.decoding.high_depth import loses_depth
from unmask.data.decoding.image_format import ImageFormat, Kind, kind_of, widest
from unmask.data.decoding.missing import flaws, holds, kind_without, require_pixels, without_nodata
from unmask.data.decoding.pil_modes import GRAY, TRANSPARENT
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.decoding.tiff import is_blended, page_layout
from unmask.data.decoding.tiff_missing import declared, may_miss_pixels
from unmask.data.decoding.tiff_tags import full_pages, open_tiff, pages_of, seek, stored_size
from unmask.data.sources.source import Arrays, Source
from unmask.data.threads import failures

DEFAULT_SIZE = (224, 224)
"""Used if images differ in size and none is requested."""
PIECE = 2**25
"""Bytes of an array that are examined per call."""


@dataclass(frozen=True)
class Header:
    """What an image's header says."""

    size: tuple[int, int]
    """Height and width after EXIF orientation."""
    channels: int
    kind: Kind
    transparent: bool = False
    """Whether it has alpha, or a transparent color, that is laid over the background."""
    more_pages: bool = False
    """Whether the file has pages that are not read."""
    scaled: bool = False
    """Whether pixels are unsigned integers that are read as floats from 0 to 1, since some may be missing."""

    @property
    def keeps_floats(self) -> bool:
        """Whether pixels are floats of the stored values, so that nothing says which value is white."""
        return self.kind == "float32" and not self.scaled


def read_header(path: File, reading: Reading = DEFAULT) -> Header:
    """Size, channels and number type of a file from its header.

    Raises:
        UserError: not an image; the message names the file.
    """
    with named(path):
        if path.suffix.lower() == ".npy":
            values = read_npy(path, reading.layout, mapped=True)
            return _header_of(values, reading)
        with open_image(path, whole=False) as image:
            if image is None:
                return _tiff_header(path, reading)
            pages = [0] if reading.first_page else pages_of(image, path)
            position = pages[min(reading.page, len(pages) - 1)]
            if not seek(image, position):
                return _tiff_header(path, reading)
            width, height = stored_size(image)
            size = (width, height) if _orientation(image) >= 5 else (height, width)
            transparent = image.mode in TRANSPARENT or "transparency" in image.info
            kept = transparent and reading.alpha == "keep"
            channels = (1 if image.mode in GRAY else 3) + kept
            more = not reading.pages_are_channels and len(pages_of(image, path)) > 1
            count = len(pages) if reading.pages_are_channels else 1
            stored = _kind(image)
            kind = "float32" if _may_miss(image, path, position, reading) else stored
            return Header(size, channels * count, kind, transparent and not kept, more, kind != stored)


def _kind(image: Image.Image) -> Kind:
    if image.mode == "F":
        return "float32"
    return "uint16" if image.mode.startswith("I") or loses_depth(image) else "uint8"


def _may_miss(image: Image.Image, path: File, position: int, reading: Reading) -> bool:
    """Whether pixels of an open image may be missing, so that it is read as float32."""
    kind = np.dtype(_kind(image))
    if reading.nodata is not None and holds(kind, reading.nodata):
        return True
    if not may_miss_pixels(image, path):
        return False
    with open_tiff(path) as file:
        return declared(file.pages[position].aspage(), path, reading).concerns(kind)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Not read for a PNG without one in its header, as PIL would decode all of it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(0x0112, 1))


def _tiff_header(path: File, reading: Reading) -> Header:
    with open_tiff(path) as file:
        pages = full_pages(file)
        wanted = pages if reading.pages_are_channels else [pages[min(reading.page, len(pages) - 1)]]
        layouts = [page_layout(page, path, reading) for page in wanted]
        transparent = is_blended(wanted[0], reading)
    channels = sum(layout[0] for layout in layouts)
    more = len(wanted) < len(pages)
    _, *size, stored, kind = layouts[0]
    return Header((size[0], size[1]), channels, kind, transparent, more, kind != stored)


@dataclass(frozen=True)
class Scanned:
    """What reading the headers found."""

    format: ImageFormat
    """The common format, not measured yet: the images' own size if all agree, else 224 x 224, unless one is requested;
    the most channels; the widest number type."""
    bad: dict[int, str]
    """A message for each row whose header could not be read, or whose array is not finite."""
    own: tuple[int, int] | None
    """Height and width of the images, if all agree."""
    headers: Counter[Header]
    """Number of images per header."""
    background: int = 255
    """Requested gray level behind transparent pixels."""
    floats: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    """Rows whose pixels are floats of the stored values (`Header.keeps_floats`), (N,); empty unless scanned by row."""

    def notes(self) -> tuple[str, ...]:
        """Notes about changes to all or some images that a user may not expect."""
        return (*self._resized(), *self._changed())

    def _changed(self) -> Iterator[str]:
        """Transparency, pages and channels that are lost."""
        channels = self.format.channels
        cases = {
            "transparent: laid over the background (`background`, or `channels=4` to keep alpha)": (
                lambda header: header.transparent
            ),
            "in files with more pages than the one that is read (`page`, `pages_are_channels`)": (
                lambda header: header.more_pages
            ),
            f"of one channel, repeated to {channels}": lambda header: header.channels == 1 < channels,
            "of three channels, brought to one by luma": lambda header: header.channels == 3 > channels,
        }
        for what, concerns in cases.items():
            count = sum(number for header, number in self.headers.items() if concerns(header))
            if count:
                yield f"{count} of {self.headers.total()} images are {what}"
        if self.background != DataConfig.background and not any(header.transparent for header in self.headers):
            yield f"`background={self.background}` has no effect: no image is transparent, or transparency is a channel"

    def _resized(self) -> tuple[str, ...]:
        """A note if all images are resized without need."""
        if self.own is None or self.own == self.format.size:
            return ()
        (height, width), (new_height, new_width) = self.own, self.format.size
        stretched = ", which stretches them," if height * new_width != width * new_height else ""
        return (
            f"all images are {height}x{width} (height x width) and are resized to {new_height}x{new_width}{stretched} "
            f"by the requested image_size; `image_size=({height}, {width})` leaves them as they are",
        )


def scan(source: Source, config: DataConfig, *, progress: bool) -> Scanned:
    """Read every image's header, or examine an array."""
    images = source.images
    if isinstance(images, Arrays):
        header = _header_of(images.values[0], source.reading)
        found = summarize(Counter({header: len(images)}), _not_images(images, source), config)
        return replace(found, floats=np.full(len(images), header.keeps_floats))
    headers: list[Header] = []
    floats = np.zeros(len(images), bool)

    def look(row: int) -> None:
        stored = images.stored(row)
        if isinstance(stored, np.ndarray):
            with named(source.names[row]):
                require_pixels(without_nodata(stored, source.reading.nodata))
        header = header_of(stored, source.reading)
        headers.append(header)
        floats[row] = header.keeps_floats

    bad = failures(look, len(images), threads=images.threads, bar="listing" if progress else None)
    return replace(summarize(Counter(headers), bad, config), floats=floats)


def _not_images(images: Arrays, source: Source) -> dict[int, str]:
    """A message for each image that is not one. Integers are read only if a value stands for missing pixels."""
    nodata = source.reading.nodata
    if kind_without(images.values.dtype, nodata) != "float32":
        return {}
    chunk = max(1, PIECE // images.values[0].nbytes)
    pieces = (without_nodata(images.values[at : at + chunk], nodata) for at in range(0, len(images), chunk))
    found = enumerate(flaw for piece in pieces for flaw in flaws(piece))
    return {row: f"{source.names[row]}: {flaw}" for row, flaw in found if flaw}


def header_of(stored: File | NDArray[np.generic], reading: Reading) -> Header:
    """The header of an image as stored. Raises UserError if a file is not an image."""
    return _header_of(stored, reading) if isinstance(stored, np.ndarray) else read_header(stored, reading)


def _header_of(image: NDArray[np.generic], reading: Reading) -> Header:
    kind = kind_without(image.dtype, reading.nodata)
    scaled = kind != kind_of(image.dtype)
    return Header((image.shape[1], image.shape[2]), image.shape[0], kind, scaled=scaled)


def summarize(headers: Counter[Header], bad: dict[int, str], config: DataConfig) -> Scanned:
    """What images have in common, by their headers."""
    sizes = {header.size for header in headers}
    own = sizes.pop() if len(sizes) == 1 else None
    height, width = config.image_size or own or DEFAULT_SIZE
    channels = config.channels or max((header.channels for header in headers), default=1)
    kind = widest({header.kind for header in headers})
    wanted = ImageFormat.plain((height, width), channels, kind)
    return Scanned(wanted, bad, own, headers, config.background)
