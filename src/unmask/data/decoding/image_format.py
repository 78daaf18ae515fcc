"""The one format in which all images of a data set reach the encoder, and how their values become its input."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.config.validation import require, require_between
from unmask.errors import UserError

Kind = Literal["uint8", "uint16", "float32"]
TOP: dict[Kind, float] = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The value that counts as 1."""
LONGEST = 2**20
"""Largest height, width and number of channels."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601, as in PIL)."""


@dataclass(frozen=True)
class ImageFormat:
    """The format of all images, stored value s and input x: x = (clip((s - low) / (high - low)) - mean) / std."""

    size: tuple[int, int]
    """Height and width in pixels."""
    channels: int
    kind: Kind
    """Number type of the stored values, in whose units `value_range` is."""
    value_range: tuple[float, float]
    """Stored values (low, high) that count as 0 and 1: (0, 255) for 8 bits, (0, 65535) for 16, else measured."""
    clipped: bool
    """Whether stored values beyond are clipped to 0 and 1."""
    mean: tuple[float, ...]
    """Per channel, in 0..1 units."""
    std: tuple[float, ...]
    """Per channel, in 0..1 units."""
    channel_ranges: tuple[tuple[float, float], ...] = ()
    """Used instead of `value_range`, which spans all of them: one per channel, if magnitudes differ by orders."""

    def __post_init__(self) -> None:
        for name, number in (("size", min(self.size)), ("size", max(self.size)), ("channels", self.channels)):
            require_between(name, number, 1, LONGEST)
        low, high = self.value_range
        require(low < high, "value_range", self.value_range, "two numbers in rising order")
        for name in ("mean", "std"):
            count = len(getattr(self, name))
            require(count == self.channels, name, getattr(self, name), f"a number for each of {self.channels} channels")
        require(min(self.std) > 0, "std", self.std, "numbers above 0")

    @classmethod
    def plain(cls, size: tuple[int, int], channels: int, kind: Kind) -> "ImageFormat":
        """The number type's whole range as 0..1 and nothing normalized: the format before anything is measured."""
        return cls(size, channels, kind, (0.0, TOP[kind]), False, (0.0,) * channels, (1.0,) * channels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (self.channels, *self.size)

    @property
    def counts_to_one(self) -> bool:
        """Whether 1.0 is white, or the top of an integer type: images are integers, or floats in 0..1."""
        low, high = self.value_range
        return self.kind != "float32" or (low >= 0 and high <= 1)

    @property
    def normalization(self) -> str:
        """Mean and deviation of the channels in words."""
        mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"mean {mean}, deviation {std}"

    def holding(self, kind: Kind) -> "ImageFormat":
        """The same format for stored values that may also be of another number type.

        The value range is given in units of the wider type: an 8-bit range on 16-bit values is 257 times wider.
        """
        kind = widest({self.kind, kind})
        unit = TOP[kind] / TOP[self.kind]
        joint = (self.value_range[0] * unit, self.value_range[1] * unit)
        own = tuple((low * unit, high * unit) for low, high in self.channel_ranges)
        return replace(self, kind=kind, value_range=joint, channel_ranges=own)

    def ends(self) -> tuple[float, float] | tuple[Tensor, Tensor]:
        """Stored values that count as 0 and as 1: numbers, or per channel, float32 (C, 1, 1)."""
        if not self.channel_ranges:
            return self.value_range
        low, high = torch.tensor(self.channel_ranges, dtype=torch.float32).T[..., None, None]
        return low, high

    def rescale(self, values: Tensor) -> Tensor:
        """Stored values as float32 in 0..1 units, in place: (s - low) / (high - low), clipped if the format clips."""
        low, high = self.ends()
        shifted = bool(self.channel_ranges) or low != 0
        out = values.sub_(low).div_(high - low) if shifted else values.div_(high)
        return out.clamp_(0, 1) if self.clipped else out

    def normalize(self, values: Tensor, out: Tensor | None = None) -> Tensor:
        """(values - mean) / std for values (..., C, H, W) in 0..1 units."""
        mean, std = self.statistics()
        return torch.sub(values, mean, out=out).div_(std)

    def prepare(self, stored: Tensor) -> Tensor:
        """Stored values (..., C, H, W) of this size and number type as an encoder's input, float32.

        Missing values (NaN) become the channel's mean.
        """
        values = self.normalize(self.rescale(stored.to(torch.float32, copy=True)))
        return values.masked_fill_(values.isnan(), 0.0)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation as float32 (C, 1, 1)."""
        mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (self.mean, self.std))
        return mean, std


def kind_of(dtype: np.dtype[np.generic]) -> Kind:
    """The number type that holds values of `dtype`, in any byte order, without loss as far as images need it.

    Signed 8- and 16-bit values are held as float32 of the same value.

    Raises:
        UserError: integers of more than 16 bits, or no real numbers.
    """
    if dtype == np.bool_ or (dtype.kind == "u" and dtype.itemsize == 1):
        return "uint8"
    if dtype.kind == "u" and dtype.itemsize == 2:
        return "uint16"
    if dtype.kind == "f" or (dtype.kind == "i" and dtype.itemsize <= 2):
        return "float32"
    raise UserError(f"pixels of type {dtype} are not supported: use integers of 8 or 16 bits, or float")


def white_as_255(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """True as 255 and false as 0, as in image files of one bit; other arrays unchanged."""
    return np.where(array, np.uint8(255), np.uint8(0)) if array.dtype == np.bool_ else array


def widest(kinds: set[Kind]) -> Kind:
    """The narrowest number type that holds all of them."""
    return "float32" if "float32" in kinds else "uint16" if "uint16" in kinds else "uint8"


def to_format(array: NDArray[np.generic], wanted: ImageFormat) -> Tensor:
    """Stored images (..., C, H, W) at the size, channels and number type of a format; values are not rescaled.

    Resizing is bilinear and antialiased, and stretches: nothing of the image is cut off and nothing is added. One
    channel becomes several by repetition, three become one by luma. Integers are widened so that white stays white, and
    so are booleans.
    """
    array, kind = white_as_255(array), kind_of(array.dtype)
    with np.errstate(over="ignore"):  # of an image that is left out because it is not finite
        array = np.require(array, {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}[kind], ["W"])
    images = to_channels(torch.from_numpy(array), wanted.channels)
    if tuple(images.shape[-2:]) != wanted.size:
        images = resize(images, wanted.size)
    return to_kind(images, kind, wanted.kind)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """(..., C, H, W) with another number of channels.

    Raises:
        UserError: neither the same number, nor 1 to n, nor 3 to 1.
    """
    have = images.shape[-3]
    if have == channels:
        return images
    if have == 1:
        return images.expand(*images.shape[:-3], channels, -1, -1)
    if have == 3 and channels == 1:
        gray = sum(weight * images[..., i, :, :].float() for i, weight in enumerate(LUMA))
        return rounded(torch.as_tensor(gray).unsqueeze(-3), images.dtype)
    raise UserError(f"an image with {have} channels cannot become one with {channels}: set channels to {have}")


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased, (..., C, H, W) → (..., C, *size), of the same dtype.

    8-bit images are resized in fixed point as PIL does, fastest where the channels are last in memory, as decoders
    leave them; all others in float32. Where values are missing (NaN), a new one is the weighted mean of those that are
    there, and missing where these have less than half of the weight.
    """
    if images.dtype.is_floating_point and (missing := images.isnan()).any():
        share = resize((~missing).float(), size)
        return torch.where(share >= 0.5, resize(images.masked_fill(missing, 0.0), size) / share, torch.nan)
    stack = images.reshape(-1, *images.shape[-3:])
    if images.dtype == torch.uint8:
        out = interpolate(stack, size=size, mode="bilinear", antialias=True, align_corners=False)
    else:
        planes = stack.reshape(-1, 1, *stack.shape[-2:]).float()
        out = rounded(
            interpolate(planes, size=size, mode="bilinear", antialias=True, align_corners=False), images.dtype
        )
    return out.reshape(*images.shape[:-2], *size)


def rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Float values as `dtype`: to the nearest integer within its range, unless it is floating."""
    if dtype.is_floating_point:
        return values.to(dtype)
    return values.round().clamp(0, torch.iinfo(dtype).max).to(dtype)


def to_kind(images: Tensor, have: Kind, want: Kind) -> Tensor:
    """From one number type to a wider one: 255 → 65535 → 1.0."""
    if have == want:
        return images
    if want == "uint16":
        return (images.to(torch.int32) * 257).to(torch.uint16)
    return images.float() / TOP[have]
