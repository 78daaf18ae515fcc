"""What a page is made of: figures with captions, tables, and folded lists of settings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Swatch:
    """An entry of a legend."""

    name: str
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Plate:
    """A figure as inline SVG (it carries its own text alternative) and a caption."""

    svg: Markup
    caption: str

    @property
    def width(self) -> float:
        """CSS pixels for which it was drawn, from its viewBox: at this width its text has its own size."""
        found = re.search(r'viewBox="0 0 ([\d.]+) ', self.svg)
        return float(found.group(1)) if found else 0.0


@dataclass(frozen=True)
class Photograph:
    """A picture as a data URI with its text alternative and a caption."""

    uri: str
    alt: str
    caption: str
    smooth: bool = False
    """Whether it may be smoothed where it is scaled: it holds text."""
    width: int | None = None
    """CSS pixels at which its text has its own size. Default: it fills the page."""


@dataclass(frozen=True)
class Table:
    """A table; the first column is the header of its row. Cells of a numeric table are never broken over lines."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: bool = False


@dataclass(frozen=True)
class Fold:
    """Content that is folded away until somebody asks for it."""

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
class Ruling:
    """One verdict: its word, the difference with its interval, and the whole sentence."""

    word: str
    size: str
    sentence: str


@dataclass(frozen=True)
class Board:
    """All verdicts of a comparison as a table; a place without a verdict is None."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Ruling | None]]]


@dataclass(frozen=True)
class Story:
    """All about one run: a headline, its verdict (empty if it has none), the other verdicts counted and as a board."""

    anchor: str
    name: str
    kind: str
    subtitle: str
    headline: str
    sections: Sequence[Section]
    verdict: str = ""
    tally: str = ""
    board: Board | None = None
