"""Decode a whole data set once, in parallel, into one tensor."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from tqdm import tqdm

from unmask.data.decode import decode_failure
from unmask.data.form import Form, Kind, to_form
from unmask.data.pixels import read_one
from unmask.data.source import Arrays, Files
from unmask.errors import UserError

BYTES: dict[Kind, int] = {"uint8": 1, "uint16": 2, "float32": 4}
DTYPES: dict[Kind, torch.dtype] = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}
CHUNK = 1024
"""Images of an array that are converted at once."""
DECODERS = 8
"""Threads that decode files. PIL frees the interpreter's lock while it decodes."""


def stored_bytes(count: int, form: Form) -> int:
    """Memory that `count` images need in the cache."""
    return count * form.channels * form.size[0] * form.size[1] * BYTES[form.kind]


def fill_cache(images: Files | Arrays, form: Form, *, progress: bool) -> tuple[Tensor, dict[int, str]]:
    """All images in their form, (N, C, H, W), and a message for each row that could not be read (left as zeros)."""
    if isinstance(images, Arrays):
        chunks = range(0, len(images.values), CHUNK)
        return torch.cat([to_form(images.values[at : at + CHUNK], form) for at in chunks]), {}
    values = torch.zeros((len(images.paths), form.channels, *form.size), dtype=DTYPES[form.kind])
    bad: dict[int, str] = {}

    def read(row: int) -> None:
        try:
            values[row] = read_one(images, row, form)
        except (UserError, OSError) as error:
            bad[row] = decode_failure(images, row, error)

    with ThreadPoolExecutor(DECODERS) as pool:
        done = pool.map(read, range(len(values)))
        for _ in tqdm(done, total=len(values), desc="decoding", unit="image", disable=not progress):
            pass
    return values, dict(sorted(bad.items()))
