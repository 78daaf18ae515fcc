"""A first look at all images without decoding them: size, channels and number type, to choose the common form."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from unmask.config.data import DataConfig
from unmask.data.cache import DECODERS
from unmask.data.decode import decode_failure
from unmask.data.form import Form, Kind, kind_of, widest
from unmask.data.source import Arrays, Files, Source
from unmask.errors import UserError

DEFAULT_SIZE = (224, 224)
"""Where images differ in size and none is asked for."""


@dataclass(frozen=True)
class Header:
    """What an image says of itself."""

    size: tuple[int, int]
    """Height and width after EXIF orientation."""
    channels: int
    kind: Kind


def read_header(path: Path, *, page: int = 0, pages_are_channels: bool = False) -> Header:
    """Size, channels and number type of a file from its header.

    Raises:
        UserError, OSError: not an image.
    """
    with Image.open(path) as image:
        image.seek(page)
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) >= 5
        grey = image.mode in ("1", "L", "LA", "La", "F", "I") or image.mode.startswith("I;16")
        kind: Kind = "float32" if image.mode == "F" else "uint16" if image.mode.startswith("I") else "uint8"
        return Header((width, height) if turned else (height, width), 1 if grey else 3, kind)


def choose_form(source: Source, config: DataConfig, *, progress: bool) -> tuple[Form, dict[int, str]]:
    """The common form: the images' own size if all agree, else 224 x 224; the most channels; the widest number type.

    Returns:
        The form, and a message for each row whose header could not be read.
    """
    if isinstance(source.images, Arrays):
        shape = source.images.values.shape
        own = Header((shape[2], shape[3]), shape[1], kind_of(source.images.values.dtype))
        return _form([own], config), {}
    headers: dict[int, Header] = {}
    bad: dict[int, str] = {}
    images: Files = source.images

    def look(row: int) -> None:
        try:
            headers[row] = read_header(images.paths[row], page=images.page)
        except (UserError, OSError, SyntaxError, ValueError, EOFError) as error:
            bad[row] = decode_failure(images, row, error)

    count = len(images.paths)
    with ThreadPoolExecutor(DECODERS) as pool:
        for _ in tqdm(pool.map(look, range(count)), total=count, desc="listing", unit="file", disable=not progress):
            pass
    return _form(headers.values(), config), dict(sorted(bad.items()))


def _form(headers: Iterable[Header], config: DataConfig) -> Form:
    headers = list(headers) or [Header(DEFAULT_SIZE, 1, "uint8")]
    sizes = {header.size for header in headers}
    own = sizes.pop() if len(sizes) == 1 else DEFAULT_SIZE
    channels = max(header.channels for header in headers)
    size = config.image_size or own
    return Form((size[0], size[1]), config.channels or channels, widest({header.kind for header in headers}))
