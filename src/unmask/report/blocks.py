"""The parts of a page: figures with captions, tables, folded lists of settings, and single images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from unmask.errors import UserError
from unmask.runs.gallery import Sheet


@dataclass(frozen=True)
class Swatch:
    """An entry of a legend."""

    name: str
    color: str
    """#rrggbb."""
    dashed: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise UserError(f"color = {self.color!r}: expected #rrggbb")


@dataclass(frozen=True)
class Plate:
    """A plot. It becomes inline SVG in the page's colors when the page is rendered."""

    figure: Figure | Path
    """The figure, or the SVG file that stores it."""
    alt: str
    """What it shows, in words, for readers who cannot see it."""
    caption: str
    name: str = ""
    """File name without its suffix, unique in its section; only a plate that is stored needs one."""


@dataclass(frozen=True)
class Photograph:
    """A picture of images. It becomes a data URI when the page is rendered."""

    figure: Figure | Path
    """The figure, or an image file."""
    alt: str
    """What it shows, in words, for readers who cannot see it."""
    caption: str
    name: str = ""
    """File name without its suffix, unique in its section; only a photograph that is stored needs one."""
    drawn: bool = True
    """Whether it is a drawing with text: smoothed if scaled, and shown at its own width. Otherwise its pixels stay
    sharp, and it fills the page."""


@dataclass(frozen=True)
class Table:
    """A table; the first column is the header of its row. Cells of a numeric table are never wrapped."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: bool = False


@dataclass(frozen=True)
class Fold:
    """Content that is folded until opened."""

    title: str
    tables: Sequence[Table]


@dataclass(frozen=True)
class Section:
    """A titled part of a run's page. Empty parts are left out."""

    title: str
    intro: str = ""
    legend: Sequence[Swatch] = ()
    plates: Sequence[Plate] = ()
    photographs: Sequence[Photograph] = ()
    tables: Sequence[Table] = ()
    folds: Sequence[Fold] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.plates or self.photographs or self.tables or self.folds or self.notes)


@dataclass(frozen=True)
class Pictures:
    """A sheet of pictures, which becomes one data URI when the page is rendered."""

    path: Path
    sheet: Sheet

    def place(self, index: int) -> str:
        """The position of a picture for CSS: its column and row in per cent of the way to the last ones."""
        row, column = divmod(index, self.sheet.columns)
        across, down = (
            100 * at / max(last, 1) for at, last in ((column, self.sheet.columns - 1), (row, self.sheet.rows - 1))
        )
        return f"{across:.4g}% {down:.4g}%"


@dataclass(frozen=True)
class Card:
    """A picture with a few words."""

    picture: int
    """Its number on the sheet."""
    alt: str
    lines: Sequence[str]
    mark: str = ""
    """"asked" for the image that others are compared with, else "right", "wrong" or nothing."""


@dataclass(frozen=True)
class Album:
    """Cards under a title; folded unless `shown`."""

    title: str
    cards: Sequence[Card]
    shown: bool = True


@dataclass(frozen=True)
class Look:
    """Appearance of a class's points, and its entry in the legend."""

    name: str
    color: str
    shape: str
    """dot, square or diamond."""


@dataclass(frozen=True)
class MapPoint:
    """A point that shows its picture and a text while hovered or focused."""

    x: float
    """From 0 on the left to 1 on the right."""
    y: float
    """From 0 at the top to 1 at the bottom."""
    picture: int
    look: Look
    text: str
    wrong: bool


@dataclass(frozen=True)
class PointMap:
    """Images in the plane."""

    points: Sequence[MapPoint]
    looks: Sequence[Look]
    alt: str
    caption: str


@dataclass(frozen=True)
class Showcase:
    """A titled part of a run's page whose pictures all come from one sheet."""

    title: str
    intro: str
    pictures: Pictures
    albums: Sequence[Album] = ()
    map: PointMap | None = None
    """Shown before the albums."""
    about: str = ""
    """Introduction of the albums, after a map."""
    legend: Sequence[Swatch] = ()
    """The meaning of colors in the pictures."""
    folds: Sequence[Fold] = ()
    small: bool = False
    """Small cards, many side by side."""
    wide: bool = False
    """Wide cards, for pictures that are several in one."""


@dataclass(frozen=True)
class Ruling:
    """One verdict: its word, the difference with its interval, and the whole sentence."""

    word: str
    size: str
    sentence: str


@dataclass(frozen=True)
class Board:
    """All verdicts of a comparison as a table; an entry without a verdict is None."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Ruling | None]]]


@dataclass(frozen=True)
class Story:
    """Everything about one run: a headline, its verdict (empty if it has none), the other verdicts counted and as a
    board."""

    name: str
    kind: str
    subtitle: str
    headline: str
    sections: Sequence[Section | Showcase]
    verdict: str = ""
    tally: str = ""
    board: Board | None = None
