"""gallery.json: the images that a classifier gets wrong, and how images relate in a network's features."""

from collections.abc import Iterable
from dataclasses import dataclass

from unmask.errors import UserError
from unmask.runs.ranges import Count, Share


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Pictures of one size in the rows of one JPEG file, so many per row; the last row may be short."""

    columns: int
    count: int
    width: int
    """Size of one picture, in pixels."""
    height: int

    def __post_init__(self) -> None:
        if min(self.columns, self.count, self.width, self.height) < 1:
            raise UserError(f"a sheet of {self.count} pictures in {self.columns} columns: expected one or more")

    @property
    def rows(self) -> int:
        """Number of pictures."""
        return -(-self.count // self.columns)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image of the test set."""

    name: str
    truth: int
    """Index of its class."""
    predicted: int | None
    """Index of the predicted class; None for a network without a head."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong prediction."""

    picture: int
    """Its index in the sheet of mistakes."""
    image: Shown
    probability: Share
    """Probability of the predicted class; the mean of the probabilities for several trainings."""


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """The most confident wrong predictions of an arm, most confident first."""

    arm: str
    """Empty for a single training."""
    trainings: Count
    """Whose probabilities were averaged."""
    wrong: Count
    """Images that the mean predicts wrongly."""
    images: Count
    """All images considered."""
    worst: tuple[Mistake, ...]


@dataclass(frozen=True, kw_only=True)
class Point:
    """An image on the map; its picture has the same index in the sheet of the map."""

    x: Share
    """From 0 at the left to 1 at the right."""
    y: Share
    """From 0 at the top to 1 at the bottom."""
    image: Shown


@dataclass(frozen=True, kw_only=True)
class Neighborhood:
    """The images whose features are closest to those of one, nearest first; points of the map."""

    of: int
    nearest: tuple[int, ...]
    similarity: tuple[float, ...]
    """Cosine of the angle between the features."""

    def __post_init__(self) -> None:
        if len(self.nearest) != len(self.similarity):
            raise UserError(f"similarity: {len(self.similarity)} numbers for {len(self.nearest)} nearest images")


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """Images in the plane, close to each other if their features are."""

    network: str
    """Whose features, in words; an arm, or empty for a single training."""
    method: str
    neighbors: Count
    """Number of nearest images for the trustworthiness."""
    trustworthiness: Share
    """1 where all neighbors on the map are neighbors in the features (Venna and Kaski 2001)."""
    points: tuple[Point, ...]
    neighborhoods: tuple[Neighborhood, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """An image, its true mask and the predicted one, in one picture."""

    picture: int
    """Its index in the sheet of panels."""
    name: str
    iou: float
    """IoU of this image, the mean over the classes that either mask shows."""


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Some images as segmented by a training of an arm, the worst first."""

    arm: str
    """Empty for a single training."""
    shown: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An image with its labels or numbers, one per output."""

    picture: int
    """Its index in the sheet of judged images."""
    name: str
    truth: tuple[float | None, ...]
    """1 and 0 for labels; None if unknown."""
    predicted: tuple[float, ...]
    """Probabilities for labels."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """A number of some images: truth and prediction."""

    name: str
    truth: tuple[float, ...]
    predicted: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.truth) != len(self.predicted):
            raise UserError(f"predicted: {len(self.predicted)} numbers for {len(self.truth)} images")


@dataclass(frozen=True, kw_only=True)
class JudgedImages:
    """The mean prediction of an arm's trainings for labels or numbers."""

    arm: str
    """Empty for a single training."""
    trainings: Count
    worst: tuple[Judged, ...]
    """The worst predicted images, worst first."""
    numbers: tuple[Scatter, ...]
    """For numbers; empty for labels."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The whole gallery, on one test set."""

    split: str
    classes: tuple[str, ...]
    channels: Count
    """Channels of the images; with two or more than three the pictures show the first."""
    mistakes: tuple[Mistakes, ...] = ()
    mistake_sheet: Sheet | None = None
    """None if there is no mistake."""
    map: FeatureMap | None = None
    """None if there is no network, or too few images."""
    map_sheet: Sheet | None = None
    panels: tuple[Panels, ...] = ()
    """For masks; empty for other tasks."""
    panel_sheet: Sheet | None = None
    judged: tuple[JudgedImages, ...] = ()
    """For labels and numbers, which `classes` names; empty for other tasks."""
    judged_sheet: Sheet | None = None

    def __post_init__(self) -> None:
        """Check that indices of classes, pictures and points are valid."""
        worst = [one for arm in self.mistakes for one in arm.worst]
        points = () if self.map is None else self.map.points
        _require_within("panels", [one.picture for arm in self.panels for one in arm.shown], _count(self.panel_sheet))
        judged = [one for arm in self.judged for one in arm.worst]
        _require_within("judged", [one.picture for one in judged], _count(self.judged_sheet))
        for one in judged:
            if not len(one.truth) == len(one.predicted) == len(self.classes):
                raise UserError(f"judged: {one.name} has not one truth and one prediction for each output")
        shown = [*(one.image for one in worst), *(one.image for one in points)]
        _require_within("truth", [one.truth for one in shown], len(self.classes))
        _require_within("predicted", [one.predicted or 0 for one in shown], len(self.classes))
        _require_within("picture", [one.picture for one in worst], _count(self.mistake_sheet))
        _require_within("points", range(len(points)), _count(self.map_sheet))
        near = () if self.map is None else self.map.neighborhoods
        _require_within("neighborhoods", [i for one in near for i in (one.of, *one.nearest)], len(points))


def _count(sheet: Sheet | None) -> int:
    return 0 if sheet is None else sheet.count


def _require_within(field: str, numbers: Iterable[int], count: int) -> None:
    for number in numbers:
        if not 0 <= number < count:
            raise UserError(f"{field} = {number}: expected less than {count}, from 0")
