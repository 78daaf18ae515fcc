"""A split of a data set that yields normalized, augmented batches, from memory or from files alike."""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from tqdm import tqdm

from unmask.config.data import AugmentConfig
from unmask.data.augment import augment_images, move_masks, moved
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.headers import header_of
from unmask.data.pixels import Pixels, StreamedPixels, read_one
from unmask.data.string_table import take
from unmask.data.workers import prepared
from unmask.errors import UserError

LISTED = 5
"""Files left out while running that are listed on the terminal."""
PART_FLOATS = 2**20
"""Numbers of a batch that are prepared per call. Does not change them."""


@dataclass(frozen=True)
class Batch:
    """Images as an encoder takes them."""

    images: Tensor
    """float32 (B, C, H, W), normalized by the data set's mean and standard deviation."""
    labels: Tensor
    """As those of the image set; masks transformed with their images."""
    ids: Tensor
    """int64 (B,): stable sample ids, the key of all randomness of a sample."""
    valid: Tensor | None = None
    """bool (B, C, H, W): which values are present, if some are missing; missing ones are 0, the channel's mean. None
    if no value is missing."""

    def part(self, start: int, end: int) -> "Batch":
        """Images `start` to `end`, without a copy."""
        valid = None if self.valid is None else self.valid[start:end]
        return Batch(self.images[start:end], self.labels[start:end], self.ids[start:end], valid)

    def to(self, device: torch.device, memory_format: torch.memory_format = torch.preserve_format) -> "Batch":
        """The batch on a device; its ids stay on the CPU."""
        images = self.images.to(device, memory_format=memory_format)
        valid = None if self.valid is None else self.valid.to(device)
        return Batch(images, self.labels.to(device), self.ids, valid)

    def resized(self, size: tuple[int, int]) -> "Batch":
        """The images at another height and width, antialiased; a value is present if all it is made of are.

        Labels stay as they are.
        """
        if tuple(self.images.shape[2:]) == size:
            return self
        valid = None if self.valid is None else _resized(self.valid.float(), size) > 0.999
        return Batch(_resized(self.images, size), self.labels, self.ids, valid)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class Lost:
    """Files that vanished or were damaged while a run streamed them: reported once each, and listed with the run."""

    messages: dict[str, None] = field(default_factory=dict)

    def add(self, failures: Sequence[str]) -> None:
        """Record messages, and print new ones on the terminal."""
        for message in failures:
            if message not in self.messages:
                self.messages[message] = None
                if len(self.messages) <= LISTED:
                    more = "; further ones are only listed with the run" if len(self.messages) == LISTED else ""
                    tqdm.write(f"left out while running: {message}{more}", file=sys.stderr)


@dataclass(frozen=True)
class ImageSet:
    """Some images of a data set with labels, ids and names."""

    pixels: Pixels
    rows: Tensor
    """Where the images are in `pixels`: int64 (N,)."""
    labels: Tensor
    """Labels as the task has them: classes, int64 (N,), -1 where unlabeled; masks of the images' size, uint8 (N, H, W),
    255 where unlabeled."""
    ids: Tensor
    """int64 (N,): row in the whole data set as listed, the same in every split and subset."""
    names: Sequence[str]
    """A relative path, or "train[17]"."""
    workers: int = 0
    """Processes that decode streamed images."""
    on_bad_file: Literal["error", "skip"] = "error"
    lost: Lost = field(default_factory=Lost, compare=False)
    """Shared by all sets of a data set."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def format(self) -> ImageFormat:
        """The format the images are brought to, by which `batches` normalizes them."""
        return self.pixels.format

    @property
    def at_once(self) -> int:
        """How many images go through one pass without gradients: 256 of up to 224 x 224 pixels, fewer of larger."""
        height, width = self.format.size
        return max(1, min(256, 256 * 224**2 // (height * width)))

    def raw(self, indices: Tensor | Sequence[int]) -> Tensor:
        """Images at the encoder's size, float32 (B, C, H, W) in 0..1, neither normalized nor augmented.

        Missing pixels are the channel's mean.

        Raises:
            UserError: a file cannot be read any more.
        """
        images, failures = self.pixels.read(self.rows[torch.as_tensor(indices, dtype=torch.int64)])
        if failures:
            raise UserError(failures[0])
        return torch.where(images.isnan(), self.format.statistics()[0], images)

    def stored_size(self, index: int) -> tuple[int, int] | None:
        """Height and width of an image as stored; None if it was decoded into the cache, which does not keep them.

        Raises:
            UserError: a file cannot be read any more.
        """
        pixels = self.pixels
        if not isinstance(pixels, StreamedPixels):
            return None
        return header_of(pixels.images.stored(int(self.rows[index])), pixels.reading).size

    def prepared_at(self, index: int, size: tuple[int, int]) -> Tensor:
        """A streamed image as `batches` gives it, but at another size, float32 (C, H, W).

        Raises:
            UserError: a file cannot be read any more.
        """
        pixels, wanted = self.pixels, replace(self.format, size=size)
        assert isinstance(pixels, StreamedPixels)
        return wanted.prepare(read_one(pixels.images, int(self.rows[index]), wanted, pixels.reading))

    def evenly(self, limit: int) -> Tensor:
        """Up to `limit` indices spread evenly over the set: the same ones every time."""
        return torch.linspace(0, len(self) - 1, min(limit, len(self))).round().long()

    def select(self, indices: Tensor | Sequence[int]) -> "ImageSet":
        """The images at `indices`, in that order, with their labels and ids."""
        at = torch.as_tensor(indices, dtype=torch.int64)
        names = take(self.names, at.numpy())
        return replace(self, rows=self.rows[at], labels=self.labels[at], ids=self.ids[at], names=names)

    def batches(
        self,
        order: Tensor,
        size: int,
        *,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        allow_empty: bool = False,
    ) -> Iterator[Batch]:
        """Batches of the images at `order`, augmented and normalized by the set's own format.

        A sample's augmentation depends only on (seed, epoch, its id): neither on batch size, workers or order, nor on
        whether images are cached or streamed. The last batch may be short.

        Args:
            order: indices into the set, int64 (n,).
            size: images per batch.
            augment: how training images vary; None leaves them as they are.
            start: the first batch to yield, to continue in the middle of an epoch.
            allow_empty: under the policy "skip" yield an empty batch if no image of it can be read, and do not raise.

        Raises:
            UserError: a streamed file cannot be read and the policy is "error", or no image of a batch can be read; or
                a worker was killed.
        """
        prepare = _Prepare(self, augment, seed, epoch)
        chunks = list(torch.as_tensor(order, dtype=torch.int64).split(size))[start:]
        for batch, failures in _run(prepare, chunks, 0 if self.pixels.cached else self.workers):
            if failures and (self.on_bad_file == "error" or not (allow_empty or len(batch.ids))):
                raise UserError(failures[0])
            self.lost.add(failures)
            yield batch


@dataclass(frozen=True)
class _Prepare:
    """Indices of a batch → the batch and what could not be read: the same bits in any process."""

    images: ImageSet
    augment: AugmentConfig | None
    seed: int
    epoch: int

    def __getitem__(self, chunk: Tensor) -> tuple[Batch, list[str]]:
        shape = self.images.format.shape
        out = room(len(chunk), *shape)
        good = torch.ones(len(chunk), dtype=torch.bool)
        valid: Tensor | None = None
        failures: list[str] = []
        part = max(1, PART_FLOATS // math.prod(shape))
        for at in range(0, len(chunk), part):
            here = slice(at, at + part)
            failed, there = self._part(chunk[here], out[here], good[here])
            failures += failed
            if there is not None:
                valid = torch.ones(out.shape, dtype=torch.bool) if valid is None else valid
                valid[here] = there
        if failures:
            out, chunk, valid = out[good], chunk[good], None if valid is None else valid[good]
        complete = valid is None or bool(valid.all())
        return Batch(out, self._labels(chunk), self.images.ids[chunk], None if complete else valid), failures

    def _labels(self, chunk: Tensor) -> Tensor:
        """Labels of the images, masks transformed as their images are."""
        labels = self.images.labels[chunk]
        if labels.ndim < 3 or self.augment is None:
            return labels
        return move_masks(labels, self.images.ids[chunk], self.augment, seed=self.seed, epoch=self.epoch)

    def _part(self, chunk: Tensor, out: Tensor, good: Tensor) -> tuple[list[str], Tensor | None]:
        """Fill `out` and mark what could be read, a few images at a time, which stay in the processor's cache.

        Returns:
            Failures; and which values of `out` are present, None if all are.
        """
        images, keys = self.images, {"seed": self.seed, "epoch": self.epoch}
        values, failures = images.pixels.read(images.rows[chunk])
        ids, valid = images.ids[chunk], None
        if images.format.kind == "float32" or failures:
            missing = values.isnan()
            good &= ~missing.flatten(1).all(1)
            if missing.any():
                values, valid = torch.where(missing, images.format.statistics()[0], values), ~missing
        if self.augment is not None:
            values = augment_images(values, ids, self.augment, **keys)
            valid = valid if valid is None else moved(valid, ids, self.augment, **keys)
        images.format.normalize(values, out)
        if valid is not None:
            out.masked_fill_(~valid, 0.0)
        return failures, valid


def room(*shape: int) -> Tensor:
    """Uninitialized float32 memory of this shape, in huge pages where the system has them: NumPy asks for them, torch
    does not, and the first touch of as many small pages is an eighth of the time of reading JPEGs to 224 pixels.
    """
    # Align to 64 bytes, as torch does: the order of sums in a matrix product may depend on it.
    spare = np.empty(math.prod(shape) + 16, np.float32)
    return torch.from_numpy(spare[-(spare.ctypes.data // 4) % 16 :][: math.prod(shape)]).view(shape)


def _run(prepare: _Prepare, chunks: list[Tensor], workers: int) -> Iterator[tuple[Batch, list[str]]]:
    if not workers or not chunks:
        return (prepare[chunk] for chunk in chunks)
    return prepared(prepare, chunks, workers)
