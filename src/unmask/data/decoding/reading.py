"""What is read of each file, and how transparency is handled: one value for all readers."""

from dataclasses import dataclass
from typing import Literal

from unmask.config.data import DataConfig, Layout

WHITE = 255


@dataclass(frozen=True)
class Reading:
    """Which pages are read, and how transparency is handled."""

    page: int = 0
    """Page of a multi-page file, from 0."""
    pages_are_channels: bool = False
    """All pages of a file are stacked as its channels instead."""
    alpha: Literal["judge", "blend", "keep"] = "judge"
    """blend: transparency is laid over the background. keep: it is a channel like the others. judge: blended, but a
    TIFF whose declared transparency looks like a band of data is an error."""
    background: int = WHITE
    """Gray level, 0 to 255, that shows through transparent pixels, in training and evaluation alike."""
    layout: Layout | None = None
    """Layout of .npy files, if given."""
    nodata: float | None = None
    """Stored value of missing pixels, in addition to what a TIFF's own tag names."""

    @property
    def first_page(self) -> bool:
        """Whether only the first page of a file is read."""
        return self.page == 0 and not self.pages_are_channels

    def level(self, top: int) -> int:
        """The background as a value of integers up to `top`."""
        return round(self.background * top / 255)


DEFAULT = Reading()


def reading_of(config: DataConfig) -> Reading:
    """The reading that a configuration asks for: two or four channels are those of the file, alpha included."""
    channels = config.channels
    alpha: Literal["judge", "blend", "keep"] = (
        "judge" if channels is None else "keep" if channels in (2, 4) else "blend"
    )
    return Reading(config.page, config.pages_are_channels, alpha, config.background, config.layout, config.nodata)
