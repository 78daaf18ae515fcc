"""The contents of gallery.json as parts of a page: the surest mistakes, a map of the features, nearest neighbors."""

from collections import Counter
from pathlib import Path

from unmask.data.mask_colors import class_colors
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Album, Card, Fold, Look, MapPoint, Pictures, PointMap, Showcase, Swatch, Table
from unmask.report.outputs import worst_images
from unmask.report.palette import BLUE, GRAY, GREEN, ORANGE, PURPLE, SKY, VERMILION, look
from unmask.report.words import name_end, percent
from unmask.runs.gallery import FeatureMap, Gallery, Mistake, Mistakes, Neighborhood, Panel, Shown
from unmask.runs.layout import SHEETS
from unmask.wording import plural

_COLORS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "#a08000")
_LOOKS = [(color, shape) for shape in ("dot", "square", "diamond") for color in _COLORS]
_OTHERS = Look("other classes", GRAY, "dot")


def showcases(gallery: Gallery | None, folder: Path, first: str = "") -> list[Showcase]:
    """The parts from a gallery in a run folder, none without one; the mistakes of the arm `first` come first."""
    if gallery is None:
        return []
    parts = _mistakes(gallery, folder, first), _map(gallery, folder), _panels(gallery, folder, first)
    return [one for part in (*parts, worst_images(gallery, folder, first)) for one in part]


def _panels(gallery: Gallery, folder: Path, first: str) -> list[Showcase]:
    """Image, truth and prediction of a few images of every arm."""
    if gallery.panel_sheet is None:
        return []
    colors = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in class_colors(len(gallery.classes))]
    legend = [Swatch(name, color) for name, color in zip(gallery.classes, colors, strict=True)]
    albums = []
    for position, one in enumerate(sorted(gallery.panels, key=lambda one: one.arm != first)):
        cards = [
            Card(panel.picture, f"{name_end(panel.name)}: image, truth and prediction", _under(panel))
            for panel in one.shown
        ]
        albums.append(Album(look(one.arm).title if one.arm else "", cards, shown=position == 0))
    intro = (
        f"Of the {describe_split(gallery.split)}, the worst, some of the middle and the best: image, true mask, "
        f"predicted mask. Gray pixels are not scored.{_channel(gallery)}"
    )
    pictures = Pictures(SHEETS.path(folder, "panels"), gallery.panel_sheet)
    return [
        Showcase("Predicted masks", intro, pictures, albums, legend=[*legend, Swatch("ignored", "#808080")], wide=True)
    ]


def _under(panel: Panel) -> list[str]:
    return [f"IoU {percent(panel.iou)} %", name_end(panel.name)]


def _mistakes(gallery: Gallery, folder: Path, first: str) -> list[Showcase]:
    if gallery.mistake_sheet is None:
        return []
    albums, rows = [], []
    for position, one in enumerate(sorted(gallery.mistakes, key=lambda one: one.arm != first)):
        cards = [_mistaken(gallery, mistake) for mistake in one.worst]
        albums.append(Album(_arm(one), cards, shown=position == 0))
        rows += [_row(gallery, one, mistake) for mistake in one.worst]
    by = ", by the mean of the probabilities of an arm's trainings" if gallery.mistakes[0].arm else ""
    intro = (
        f"The most confident wrong predictions on {describe_split(gallery.split)}{by}. Look here first for "
        f"wrong labels, and for images that nobody could classify.{_channel(gallery)}"
    )
    table = Table("The surest mistakes", ("image", "true class", "mistaken for", "probability, %", "arm"), rows)
    pictures = Pictures(SHEETS.path(folder, "mistakes"), gallery.mistake_sheet)
    return [Showcase("The surest mistakes", intro, pictures, albums, folds=[Fold("The same as a table", [table])])]


def _arm(one: Mistakes) -> str:
    """Whose mistakes they are, and how many."""
    whose = f"{look(one.arm).title}, {plural(one.trainings, 'training')}: " if one.arm else ""
    return f"{whose}{one.wrong} of {plural(one.images, 'image')} wrong"


def _mistaken(gallery: Gallery, mistake: Mistake) -> Card:
    image = mistake.image
    truth, taken = _class(gallery, image.truth), _class(gallery, image.predicted)
    lines = [f"{truth}, mistaken for {taken}", f"{percent(mistake.probability)} % sure", name_end(image.name)]
    return Card(mistake.picture, f"{truth}: {name_end(image.name)}", lines)


def _row(gallery: Gallery, one: Mistakes, mistake: Mistake) -> tuple[str, ...]:
    image, whose = mistake.image, look(one.arm).title if one.arm else "–"
    classes = _class(gallery, image.truth), _class(gallery, image.predicted)
    return (image.name, *classes, percent(mistake.probability), whose)


def _map(gallery: Gallery, folder: Path) -> list[Showcase]:
    found = gallery.map
    if found is None or gallery.map_sheet is None:
        return []
    intro = (
        f"{len(found.points)} of the {describe_split(gallery.split)}. Images with similar features lie near each "
        f"other. Network: {found.network or 'that of this run'}. Hover over an image to see it, or go to the map with "
        f"Tab and use the arrow keys. A ring marks a wrong prediction.{_channel(gallery)}"
    )
    pictures = Pictures(SHEETS.path(folder, "map"), gallery.map_sheet)
    about = (
        "Nearest neighbors: for a few images (framed) the images on the map with the most similar features. The number "
        "is the cosine of the angle between both features."
    )
    albums = [_neighbors(gallery, found, one) for one in found.neighborhoods]
    drawn, title = _points(gallery, found), "Images as the network sees them"
    return [Showcase(title, intro, pictures, albums, map=drawn, about=about, small=True)]


def _points(gallery: Gallery, found: FeatureMap) -> PointMap:
    """The points and their looks; only the most frequent classes have their own."""
    counts = Counter(point.image.truth for point in found.points)
    frequent = sorted(counts, key=lambda label: (-counts[label], label))[: len(_LOOKS)]
    looks = {label: Look(gallery.classes[label], *_LOOKS[i]) for i, label in enumerate(sorted(frequent))}
    points = [
        MapPoint(
            x=point.x,
            y=point.y,
            picture=picture,
            look=looks.get(point.image.truth, _OTHERS),
            text=_spoken(gallery, point.image),
            wrong=point.image.predicted not in (None, point.image.truth),
        )
        for picture, point in enumerate(found.points)
    ]
    points.sort(key=lambda point: (point.look.name, point.x))
    trust = (
        f"Trustworthiness {found.trustworthiness:.2f}: 1 if the {found.neighbors} nearest images on the map are the "
        "nearest in the features too, about 0.5 by chance."
    )
    alt = f"Map of {plural(len(points), 'image')} of {plural(len(counts), 'class', 'classes')}. {trust}"
    caption = f"Drawn by {found.method}. {trust} Distances between distant points mean little."
    return PointMap(points, [*looks.values(), *([_OTHERS] if len(counts) > len(looks) else [])], alt, caption)


def _neighbors(gallery: Gallery, found: FeatureMap, one: Neighborhood) -> Album:
    asked = found.points[one.of].image
    cards = [Card(one.of, _spoken(gallery, asked), [_class(gallery, asked.truth)], "asked")]
    for near, similarity in zip(one.nearest, one.similarity, strict=True):
        image = found.points[near].image
        right = image.truth == asked.truth
        lines = [f"{'✓' if right else '✗'} {_class(gallery, image.truth)}", f"{similarity:.2f}"]
        cards.append(Card(near, _spoken(gallery, image), lines, "right" if right else "wrong"))
    same = sum(found.points[near].image.truth == asked.truth for near in one.nearest)
    title = (
        f"{_class(gallery, asked.truth)}, {name_end(asked.name)}: {same} of {len(one.nearest)} neighbors of its class"
    )
    return Album(title, cards)


def _spoken(gallery: Gallery, image: Shown) -> str:
    """Class, prediction and name of an image."""
    wrong = image.predicted not in (None, image.truth)
    taken = f", mistaken for {_class(gallery, image.predicted)}" if wrong else ""
    return f"{_class(gallery, image.truth)}{taken}: {name_end(image.name)}"


def _class(gallery: Gallery, label: int | None) -> str:
    return "–" if label is None else gallery.classes[label]


def _channel(gallery: Gallery) -> str:
    return "" if gallery.channels in (1, 3) else f" Pictures show the first of {gallery.channels} channels, in gray."
