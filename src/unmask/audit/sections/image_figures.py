"""Pictures of an audit: maps side by side, sufficient sets in colors, bars of their numbers.

Colors are those of the report's palette, distinguishable with all common types of color vision; sets also have numbers.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unmask.audit.measures.occlusion import Grid
from unmask.report.classes import shorten
from unmask.report.palette import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION
from unmask.report.svg import blank, plot, style
from unmask.wording import plural

COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
_HATCHES = ("", "//", "..", "\\\\", "xx", "--")
_TILE = 118
"""Side of a picture's tile in pixels."""
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Row:
    """One image with its maps: methods outside, networks inside; each map [h, w]."""

    pixels: Tensor
    title: str
    maps: tuple[tuple[Floats, ...], ...]


def map_tiles(rows: Sequence[Row], methods: Sequence[str], networks: Sequence[str]) -> Figure:
    """A row per image: the image, then for each method the maps of all networks side by side."""
    columns = 1 + len(methods) * len(networks)
    with style():
        figure = blank(columns * _TILE, 46 + len(rows) * _TILE)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, row in zip(grid, rows, strict=True):
            picture = display(row.pixels)
            _bare(line[0]).imshow(picture, interpolation="nearest")
            line[0].set_ylabel(shorten(row.title, 14), fontsize=11)
            flat = [values for method in row.maps for values in method]
            for axes, values in zip(line[1:], flat, strict=True):
                _bare(axes).imshow(overlay(picture, values), interpolation="nearest")
        grid[0][0].set_title("image", fontsize=11)
        for j in range(columns - 1):
            method, network = methods[j // len(networks)], networks[j % len(networks)]
            grid[0][j + 1].set_title(f"{method}\n{shorten(network, 15)}", fontsize=11)
    return figure


def display(pixels: Tensor) -> Floats:
    """Pixels [C, H, W] in 0..1 as [H, W, 3]; other channel counts than 3 show their first."""
    values = pixels.clamp(0, 1).numpy().transpose(1, 2, 0)
    return values if values.shape[2] == 3 else np.repeat(values[:, :, :1], 3, axis=2)


def overlay(picture: Floats, values: Floats) -> Floats:
    """A map over the grayed image: vermilion where positive, blue where negative, clear where zero.

    The strongest value of the map is the most opaque one. A map coarser than the image is interpolated.
    """
    height, width = picture.shape[:2]
    factor = max(1, -(-_TILE // max(height, width)))  # small images are enlarged, so that the map looks smooth
    size = (width * factor, height * factor)
    gray = np.kron(picture.mean(axis=2), np.ones((factor, factor)))[:, :, None]
    top = float(np.abs(values).max(initial=0))
    scaled = values / top if top > 0 else np.zeros_like(values, dtype=float)
    smooth = Image.fromarray(np.asarray(scaled, np.float32)).resize(size, Image.Resampling.BILINEAR)
    strength = np.asarray(smooth)[:, :, None]
    opacity = 0.8 * np.abs(strength)
    color = np.where(strength >= 0, np.array(to_rgb(VERMILION)), np.array(to_rgb(BLUE)))
    backdrop = 0.12 + 0.76 * gray  # neither black nor white, so that a tint shows everywhere
    blended: Floats = (1 - opacity) * backdrop + opacity * color
    return blended


def view_tiles(
    pixels: Tensor, titles: Sequence[str], sets: Mapping[str, Sequence[NDArray[np.int64] | None]], grid: Grid
) -> Figure:
    """A column per image; below, a row per network with its sufficient sets, a dash where the image was left out."""
    columns = len(titles)
    with style():
        figure = blank(40 + columns * _TILE, 30 + (1 + len(sets)) * (_TILE + 18))
        axes = figure.subplots(1 + len(sets), columns, squeeze=False)
        for j, title in enumerate(titles):
            _bare(axes[0][j]).imshow(display(pixels[j]), interpolation="nearest")
            axes[0][j].set_title(shorten(title, 14), fontsize=11)
        for i, (name, maps) in enumerate(sets.items(), start=1):
            axes[i][0].set_ylabel(shorten(name, 16), fontsize=11)
            for j, cells in enumerate(maps):
                _draw_sets(_bare(axes[i][j]), display(pixels[j]), cells, grid)
    return figure


def _draw_sets(axes: Axes, picture: Floats, cells: NDArray[np.int64] | None, grid: Grid) -> None:
    height, width = picture.shape[:2]
    if cells is None:
        axes.imshow(0.75 + 0.25 * picture, interpolation="nearest")
        axes.set_title("left out", fontsize=10)
        return
    wide = np.kron(cells, np.ones((grid.side, grid.side), int))[:height, :width]
    colors = np.array([to_rgb(COLORS[(i - 1) % len(COLORS)]) for i in range(1, int(cells.max(initial=0)) + 1)])
    colors = colors.reshape(-1, 3)  # also without any set
    tinted = 0.7 + 0.3 * picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    inside = wide > 0
    tinted[inside] = 0.5 * picture[inside] + 0.5 * colors[wide[inside] - 1]
    axes.imshow(tinted, interpolation="nearest")
    axes.set_title(plural(cells.max(initial=0), "view"), fontsize=10)
    for row, column in np.argwhere(cells > 0):
        y, x = row * grid.side - 0.5, column * grid.side - 0.5
        tall, across = min(grid.side, height - row * grid.side), min(grid.side, width - column * grid.side)
        axes.text(
            x + across / 2, y + tall / 2, str(cells[row, column]), ha="center", va="center", fontsize=9,
            color="#000000", bbox={"facecolor": "#ffffff", "alpha": 0.7, "pad": 0.6, "linewidth": 0},
        )  # fmt: skip


def view_bars(counts: Mapping[str, Sequence[int]], controls: Collection[str] = ()) -> Figure:
    """Share of images by number of sufficient views, a bar per network; controls are gray. n is in the legend."""
    highest = max((max(values) for values in counts.values() if values), default=1)
    width = 0.8 / max(len(counts), 1)
    with plot(360, 300, grid="y") as (figure, axes):
        plain = [name for name in counts if name not in controls]
        for i, (name, values) in enumerate(counts.items()):
            shares = Counter(values)
            x = np.arange(1, highest + 1) + (i - (len(counts) - 1) / 2) * width
            heights = [100 * shares[value] / max(len(values), 1) for value in range(1, highest + 1)]
            at = plain.index(name) if name in plain else 0
            color = GRAY if name in controls else COLORS[at % len(COLORS)]
            hatch = "" if name in controls else _HATCHES[at % len(_HATCHES)]
            label = f"{shorten(name, 24)} (n = {len(values)})"
            axes.bar(x, heights, 0.92 * width, color=color, hatch=hatch, edgecolor="#ffffff", linewidth=0, label=label)
        axes.set_xticks(range(1, highest + 1, max(1, highest // 12)))
        axes.set_xlabel("sufficient views per image")
        axes.set_ylabel("share of images kept, %")
        axes.legend(frameon=False, fontsize=10, labelcolor=INK, loc="lower left", bbox_to_anchor=(-0.02, 1.0))
    return figure


def _bare(axes: Axes) -> Axes:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes
