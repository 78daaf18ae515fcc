"""Where the pixels of an image set come from: a tensor in memory, or files and arrays that are read when wanted."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from unmask.data.decode import decode, named, quiet
from unmask.data.form import Form, to_form
from unmask.data.source import Images
from unmask.errors import UserError


class Pixels(Protocol):
    """Random access to images of one form."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        ...

    @property
    def cached(self) -> bool:
        """Whether reading is a copy from memory."""
        ...

    def read(self, rows: Tensor) -> tuple[Tensor, list[str]]:
        """Images as float32 (B, C, H, W) in units of the value range, and one message for each that failed.

        A failed image is left as NaN.
        """
        ...


@dataclass(frozen=True)
class CachedPixels:
    """All images decoded once: uint8, uint16 or float32, (N, C, H, W). Subsets share the tensor."""

    values: Tensor
    scale: tuple[float, float]
    clip: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (self.values.shape[1], self.values.shape[2], self.values.shape[3])

    @property
    def cached(self) -> bool:
        """Reading is a copy from memory."""
        return True

    def read(self, rows: Tensor) -> tuple[Tensor, list[str]]:
        """See `Pixels.read`. Never fails."""
        return rescale(self.values[rows].float(), self.scale, self.clip), []


@dataclass(frozen=True)
class StreamedPixels:
    """Images decoded whenever they are wanted. Small to copy into worker processes."""

    images: Images
    form: Form
    scale: tuple[float, float]
    clip: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (self.form.channels, *self.form.size)

    @property
    def cached(self) -> bool:
        """Reading decodes."""
        return False

    def read(self, rows: Tensor) -> tuple[Tensor, list[str]]:
        """See `Pixels.read`."""
        out = torch.empty(len(rows), *self.shape)
        failures = []
        with quiet():
            for i, row in enumerate(rows.tolist()):
                try:
                    out[i] = read_one(self.images, row, self.form)
                except UserError as error:
                    out[i] = torch.nan
                    failures.append(str(error))
        return rescale(out, self.scale, self.clip), failures


def rescale(values: Tensor, scale: tuple[float, float], clip: bool) -> Tensor:
    """(values - low) / (high - low), clipped to [0, 1] on demand."""
    low, high = scale
    out = values.sub_(low).div_(high - low) if low else values.div_(high)
    return out.clamp_(0, 1) if clip else out


def read_one(images: Images, row: int, form: Form) -> Tensor:
    """Image `row` in its form, (C, H, W).

    Raises:
        UserError: it cannot be read, or has no such form. The message names the file.
    """
    stored = images.stored(row)
    if isinstance(stored, np.ndarray):
        return to_form(stored, form)
    array = decode(stored, page=images.page, pages_are_channels=images.pages_are_channels, target=form.size)
    with named(stored):
        return to_form(array, form)
