"""Check that an open image is whole, as far as its format allows and Pillow does not check."""

import numpy as np
from PIL import Image

from unmask.data.decoding.bmp import require_order
from unmask.data.decoding.file import File
from unmask.data.decoding.gif import require_blocks
from unmask.data.decoding.high_depth import loses_depth
from unmask.data.decoding.png import require_all_rows, require_whole_png


def require_whole(image: Image.Image, path: File) -> None:
    """Raise `UserError` if an open PNG, GIF or BMP is damaged or cut off; `require_strips` checks a TIFF.

    The rows of a PNG are counted, which takes as long as decoding, if the last one is of a single color, as missing
    ones are.
    """
    if image.format == "BMP":
        with path.open("rb") as file:
            require_order(file.read(50))
    if image.format == "GIF":
        require_blocks(path.read_bytes())
    if image.format != "PNG":
        return
    content = path.read_bytes()
    require_whole_png(content)
    if not (loses_depth(image) or image.info.get("interlace")):
        image.load()
        last = np.asarray(image.crop((0, image.height - 1, image.width, image.height)))
        if (last != last[:, :1]).any():
            return
    require_all_rows(content)
