"""The measure `sufficient_views`: how many sets of cells of an image are each enough for a network to recognize it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmask.audit.measures.occlusion import Grid, asking, choose_grid, fill_images
from unmask.audit.measures.sufficient_views import Views, kept_by_all, sufficient_views
from unmask.audit.protocol import AuditData, Audited, Finding
from unmask.audit.sections.image_figures import view_bars, view_tiles
from unmask.config import AuditConfig
from unmask.encoders.stages import evaluating
from unmask.inference.estimate import within
from unmask.randomness import uniform
from unmask.report.blocks import Photograph, Plate, Section, Table
from unmask.report.words import decimal, interval_text, signed
from unmask.runs.records import AuditDifference, Interval

KEY = "sufficient_views"
INTRO = (
    "An encoder that captured every feature of a class can recognize it from any one of them. This counts sets of "
    "cells at separate places each of which, shown alone, makes the right class clearly more probable than any other. "
    "The search is greedy, so a count is a lower bound. Images that the fill alone gives away, and images that are not "
    "recognized when whole, are left out. With every label replaced by another class, only images that the network "
    "mistakes for that class should be kept. A network that saw hidden cells in training tolerates them better "
    "without knowing more: compare it with one trained from scratch on images with hidden cells."
)


@dataclass(frozen=True, kw_only=True)
class ViewCounts:
    """The number of views per image for a network."""

    images: int
    kept: int
    mean: float | None
    """Mean over the images kept; None if none is."""
    distribution: dict[int, int]
    """Images kept by their number of views."""


@dataclass(frozen=True)
class ImageViews:
    """The result for one image."""

    image: str
    label: str
    status: str
    """kept, fill or missed."""
    views: int
    complete: bool
    """Whether the search finished within its budget."""
    cells: list[str]
    """Rows of the grid, with the number of each cell's set, 0 for none; empty for an image that is left out."""


@dataclass(frozen=True, kw_only=True)
class ViewNumbers(ViewCounts):
    """All numbers of one network."""

    shuffled: ViewCounts
    """With every label replaced by another class."""
    interval: Interval | None
    """Interval of the mean."""
    two_or_more: Interval | None
    """Share of the images kept that have at least two views."""
    left_out_fill: int
    left_out_missed: int
    out_of_budget: int
    evaluations: int
    per_class: dict[str, ViewCounts]
    per_image: list[ImageViews]


def measure_views(networks: Sequence[Audited], data: AuditData, config: AuditConfig) -> Finding:
    """Sufficient views of all images for every network, their distribution, and paired differences."""
    grid = choose_grid((data.pixels.shape[-2], data.pixels.shape[-1]), config.cell)
    wrong = shuffled_labels(data.labels, len(data.classes), config.seed)
    both = {network.name: _views_of(network, data, (data.labels, wrong), config, grid) for network in networks}
    found = {name: right for name, (right, _) in both.items()}
    given = [network.name for network in networks if not network.control]
    numbers = {name: view_numbers(right, wrong, data, grid, config.confidence) for name, (right, wrong) in both.items()}
    differences = [view_difference(found, a, b, data, config.confidence) for a, b in combinations(given, 2)]
    section = Section(
        title="Sufficient views",
        intro=INTRO,
        plates=[_bars(networks, found)],
        photographs=[_sets({name: found[name] for name in given}, data, grid, config)],
        tables=_tables(numbers, differences, data.sampled),
        notes=_notes(numbers, config),
    )
    return Finding(
        key=KEY,
        section=section,
        models=numbers,
        differences=differences,
        setting={
            "cell": grid.side,
            "grid": list(grid.shape),
            **{name: getattr(config, name) for name in ("fill", "margin", "gap", "evaluations", "confidence")},
        },
    )


def _views_of(
    network: Audited, data: AuditData, labels: Sequence[Tensor], config: AuditConfig, grid: Grid
) -> list[list[Views]]:
    """The results for all images, with each of several labelings."""
    pixels = data.pixels
    filled = fill_images(
        pixels,
        data.ids,
        config.fill,
        mean=data.dataset.format.mean,
        std=data.dataset.format.std,
        side=grid.side,
        seed=config.seed,
    )
    images, filled = network.prepare(pixels), network.prepare(filled)
    with evaluating(network.model):
        asks = [asking(network.model, images, filled, one, grid, config.batch_size) for one in labels]
        return [
            sufficient_views(
                ask, len(pixels), grid, margin=config.margin, evaluations=config.evaluations, gap=config.gap
            )
            for ask in asks
        ]


def shuffled_labels(labels: Tensor, classes: int, seed: int) -> Tensor:
    """For every image a class other than its own, uniformly drawn; (N,)."""
    steps = uniform(seed, "audit shuffled labels", 0, np.arange(len(labels)), 1)[:, 0]
    return (labels + 1 + torch.from_numpy((steps * (classes - 1)).astype(np.int64))) % classes


def view_numbers(
    views: Sequence[Views], shuffled: Sequence[Views], data: AuditData, grid: Grid, confidence: float
) -> ViewNumbers:
    """All numbers of one network, from the results with the true labels and with shuffled ones."""
    kept = [one for one in views if one.status == "kept"]
    counts = [one.count if one.status == "kept" else None for one in views]
    several = [None if count is None else float(count >= 2) for count in counts]
    labels = data.labels.tolist()
    per_class = {
        name: _counts([one for one, label in zip(views, labels, strict=True) if label == index])
        for index, name in enumerate(data.classes)
    }
    return ViewNumbers(
        **vars(_counts(views)),
        shuffled=_counts(shuffled),
        interval=_within(data.interval(counts, confidence), math.inf),
        two_or_more=_within(data.interval(several, confidence), 1.0),
        left_out_fill=sum(one.status == "fill" for one in views),
        left_out_missed=sum(one.status == "missed" for one in views),
        out_of_budget=sum(not one.complete for one in kept),
        evaluations=sum(one.evaluations for one in views),
        per_class=per_class,
        per_image=[
            ImageViews(
                name,
                data.classes[label],
                one.status,
                one.count,
                one.complete,
                [" ".join(map(str, row)) for row in one.cells.reshape(grid.shape).tolist() if one.status == "kept"],
            )
            for name, label, one in zip(data.names, labels, views, strict=True)
        ],
    )


def view_difference(
    found: Mapping[str, Sequence[Views]], name: str, baseline: str, data: AuditData, confidence: float
) -> AuditDifference:
    """Views of one network minus those of another, paired over the images kept for both; None if there are none."""
    both = set(kept_by_all([found[name], found[baseline]]))
    pairs = enumerate(zip(found[name], found[baseline], strict=True))
    differences = [one.count - other.count if i in both else None for i, (one, other) in pairs]
    return AuditDifference.of("views", name, baseline, data.interval(differences, confidence))


def _within(interval: Interval | None, high: float) -> Interval | None:
    """Cut to the possible range of values, from 0."""
    return None if interval is None else within(interval, 0.0, high)


def _counts(views: Sequence[Views]) -> ViewCounts:
    counts = [one.count for one in views if one.status == "kept"]
    return ViewCounts(
        images=len(views),
        kept=len(counts),
        mean=float(np.mean(counts)) if counts else None,
        distribution=dict(sorted(Counter(counts).items())),
    )


def _bars(networks: Sequence[Audited], found: Mapping[str, list[Views]]) -> Plate:
    counts = {name: [one.count for one in views if one.status == "kept"] for name, views in found.items()}
    controls = {network.name for network in networks if network.control}
    means = ", ".join(f"{n} {np.mean(c):.2f} over {len(c)} images" for n, c in counts.items() if c)
    return Plate(
        view_bars(counts, controls),
        f"Share of the images kept by number of sufficient views. Means: {means or 'no image kept'}.",
        "Number of sets of cells that are each enough, as shares of the images kept for each network",
        "bars",
    )


def _sets(found: Mapping[str, list[Views]], data: AuditData, grid: Grid, config: AuditConfig) -> Photograph:
    """The sets found by each given network, drawn on some images."""
    shown = (kept_by_all(list(found.values())) or list(range(len(data.pixels))))[: config.pictures]
    maps = {name: [_shown(views[i], grid) for i in shown] for name, views in found.items()}
    titles = [data.classes[int(data.labels[i])] for i in shown]
    spoken = "; ".join(
        f"{titles[at]}: " + ", ".join(f"{name} {_told(views[i])}" for name, views in found.items())
        for at, i in enumerate(shown)
    )
    return Photograph(
        view_tiles(data.pixels[shown], titles, maps, grid),
        f"Sufficient sets drawn on images. Views found: {spoken}.",
        "Sufficient sets: cells of one color and number are enough by themselves; pale cells are in none. "
        f"Cells of {grid.side} pixels, the others filled with {FILLS[config.fill]}.",
        "sets",
    )


FILLS = {"mean": "the data's mean color", "blur": "the blurred image", "noise": "noise"}


def _shown(one: Views, grid: Grid) -> Any:
    return one.cells.reshape(grid.shape) if one.status == "kept" else None


def _told(one: Views) -> str:
    return str(one.count) if one.status == "kept" else f"left out ({one.status})"


def _tables(numbers: Mapping[str, ViewNumbers], differences: Sequence[AuditDifference], sampled: str) -> list[Table]:
    rows = [
        (
            name,
            interval_text(value.interval, decimal),
            interval_text(value.two_or_more, decimal),
            str(value.kept),
            str(value.shuffled.kept),
            str(value.left_out_fill),
            str(value.left_out_missed),
            str(value.out_of_budget),
        )
        for name, value in numbers.items()
    ]
    columns = (
        "network", "views per image", "share with 2 or more", "images kept", "with shuffled labels",
        "fill gives it away", "not recognized", "out of budget",
    )  # fmt: skip
    tables = [Table(f"Sufficient views [interval over {sampled}]", columns, rows, numeric=True)]
    if differences:
        lines = [(d.model, d.baseline, interval_text(d, signed), str(d.n)) for d in differences]
        header = ("network", "minus", "difference of views [interval]", f"{sampled} kept for both")
        tables.append(Table("Paired over the same images", header, lines, numeric=True))
    return tables


def _notes(numbers: Mapping[str, ViewNumbers], config: AuditConfig) -> list[str]:
    notes = []
    for name, value in numbers.items():
        if value.out_of_budget:
            notes.append(
                f"{name}: for {value.out_of_budget} of {value.kept} images the search used up its budget of "
                f"{config.evaluations} evaluations; their counts might grow with a larger one."
            )
        if value.kept < 10:
            notes.append(f"{name}: only {value.kept} of {value.images} images are kept; its numbers mean little.")
    return notes
