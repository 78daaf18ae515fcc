"""What is read, and how training images are augmented."""

import math
from dataclasses import dataclass
from typing import Literal

from unmask.config.metric import TaskName
from unmask.config.validation import (
    require,
    require_between,
    require_choices,
    require_finite,
    require_least,
    require_ranges,
    require_seed,
    require_utf_8,
)

Layout = Literal["gray", "channels-first", "channels-last"]
BUILT_IN = ("multiview", "digits", "fashion-mnist")
"""Data sets that come with the package."""


IGNORED = 255
"""Class of mask pixels that count neither in training nor in evaluation; all pixels of an image without a mask."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A data set: where it is, how it is split, and how images are prepared for the encoder."""

    # What changes the result
    data: str = "multiview"
    """Folder of images, CSV or parquet manifest, .npy or .npz file, tar shards (a folder of them, or
    "train-{000..099}.tar"), "hf:PATH" saved by Hugging Face datasets, or built-in data: multiview, digits,
    fashion-mnist."""
    image_size: tuple[int, int] | None = None
    """Height and width of the encoder's input in pixels. Default: the recipe's, 32 32, 96 96 or 224 224; without a
    recipe, as in data check and in Python, the images' own size if all agree, else 224 224."""
    channels: int | None = None
    """Channels of the encoder's input. Default: as many as the images have."""
    val_share: float = 0.15
    """Share of the labeled training images (or groups) held out for validation if the source has no such split."""
    test_share: float = 0.2
    """Share of the images (or groups) held out for the test if the source has no such split."""
    split_seed: int = 0
    """Seed of the split."""
    transductive: bool = False
    """Let pretraining see validation and test images (without labels). The report says so."""
    on_bad_file: Literal["error", "skip"] = "error"
    """Whether to stop at an unreadable file, or to leave it out, count it and list it in the run folder."""
    page: int = 0
    """Page to read from multi-page files (TIFF, GIF), counted from 0."""
    pages_are_channels: bool = False
    """Stack all pages of a file as channels instead."""
    layout: Layout | None = None
    """Which axis of arrays (.npy, .npz) holds the channels, or none. Default: found from the shape; required if the
    shape is ambiguous."""
    background: int = 255
    """Gray level, 0 black to 255 white, behind transparent pixels. With channels 4 (2 for gray images) transparency is
    kept as a channel instead."""
    nodata: float | None = None
    """Stored value of missing pixels, e.g. -9999. Like NaN, GeoTIFF's no-data value and validity masks, they are
    excluded from statistics and the reconstruction loss, and reach the encoder as the channel's mean."""
    window: tuple[float, float] | None = None
    """Percentiles of the pretraining images' values that become 0 and 1, e.g. 0.5 99.5; values beyond are clipped. For
    16-bit and float images that use only part of their range. Default: the whole range of the number type."""
    image_field: str | None = None
    """What holds the image: a member of a shard's samples, such as "jpg", or a column of hf:PATH. Default: the only
    one."""
    label_field: str | None = None
    """What holds the label: a member such as "cls", a key of a shard's .json, or a column (for segmentation, of masks).
    Default: found by kind."""
    task: Literal["auto", TaskName] = "auto"
    """What is learned: an image's class, which of several labels apply, numbers, or a class for each pixel. auto: what
    the labels show; required if they are ambiguous."""
    options: dict[str, float | int | str | bool] | None = None
    """Settings of built-in data, e.g. {"weak_strength": 0.6} for multiview."""

    # What changes the speed
    cache_mib: int = 4096
    """Decode images once into memory if they need at most this many MiB; else stream them through workers."""
    workers: int = 2
    """Worker processes that decode streamed images."""

    @property
    def asked_task(self) -> TaskName | None:
        """The task, if it is set."""
        return None if self.task == "auto" else self.task

    def __post_init__(self) -> None:
        require(bool(self.data), "data", self.data, "a path or the name of built-in data")
        require_utf_8("data", self.data)
        require_ranges(self, image_size="[1, 16384]", val_share="(0, 1)", test_share="(0, 1)", background="[0, 255]")
        require_least(self, channels=1, page=0, cache_mib=0, workers=0)
        require_choices(self)
        require_seed("split_seed", self.split_seed)
        for name, value in {"nodata": self.nodata, **(self.options or {})}.items():
            require_finite(name, value)
        if self.window is not None:
            low, high = self.window
            require(0 <= low < high <= 100, "window", self.window, "two increasing percentiles in [0, 100]")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random augmentation of training images. Switch off what carries meaning in your domain."""

    crop_scale: tuple[float, float] = (0.6, 1.0)
    """Area of the random resized crop as a share of the image; 1 1 switches cropping off."""
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    """Aspect ratio of the crop relative to the image's own."""
    flip_horizontal: float = 0.5
    """Probability of a left-right flip."""
    flip_vertical: float = 0.0
    """Probability of an upside-down flip."""
    shift: float = 0.0
    """Largest random translation as a share of each side, edges repeated."""
    brightness: float = 0.0
    """Largest relative change of brightness; 0 switches it off."""
    contrast: float = 0.0
    """Largest relative change of contrast; 0 switches it off."""
    saturation: float = 0.0
    """Largest relative change of saturation (three-channel images); 0 switches it off."""

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        require_between("crop_scale", low, 0, 1, open_low=True)
        require(low <= high <= 1, "crop_scale", self.crop_scale, "two increasing numbers in (0, 1]")
        low, high = self.crop_ratio
        require(0 < low <= high < math.inf, "crop_ratio", self.crop_ratio, "two increasing numbers")
        require_ranges(self, flip_horizontal="[0, 1]", flip_vertical="[0, 1]", shift="[0, 1]")
        require_ranges(self, brightness="[0, 1]", contrast="[0, 1]", saturation="[0, 1]")
