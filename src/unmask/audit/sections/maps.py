"""The measure `maps`: Eigen-CAM, Grad-CAM and occlusion of every network, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.audit.measures.cam import Maps, class_maps
from unmask.audit.measures.occlusion import Grid, asking, choose_grid, fill_images, occlusion_maps
from unmask.audit.protocol import AuditData, Audited, Finding
from unmask.audit.sections.image_figures import Row, map_tiles
from unmask.audit.sections.sufficient_views import FILLS
from unmask.config import AuditConfig
from unmask.data.subsets import spread_over_classes
from unmask.encoders.stages import evaluating
from unmask.report.blocks import Photograph, Section, Table
from unmask.report.words import decimal, interval_text
from unmask.runs.records import AuditDifference, Interval

KEY = "maps"
INTRO = (
    "Where each network looks. Eigen-CAM: the strongest direction of a layer's activations, whatever the class. "
    "Grad-CAM: evidence at that layer for the image's own class. Occlusion: how much less sure of the image's "
    "class the network is when a cell is hidden. A map shows where evidence lies, not what it is; an encoder that "
    "looks at more places may have captured more features, but this is no proof: see sufficient views."
)
METHODS = ("Eigen-CAM", "Grad-CAM", "occlusion")
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ImageMaps:
    """The maps of one image, each row of positions as a line of numbers."""

    image: str
    label: str
    eigen_cam: list[str]
    grad_cam: list[str]
    occlusion: list[str]


@dataclass(frozen=True, kw_only=True)
class MapNumbers:
    """All numbers of one network."""

    layer: str
    grid: tuple[int, ...]
    """Positions of the layer."""
    cover_eigen: Interval | None
    cover_grad: Interval | None
    flat_eigen: int
    """Maps that are zero everywhere."""
    flat_grad: int
    pictured: list[ImageMaps]


def measure_maps(networks: Sequence[Audited], data: AuditData, config: AuditConfig) -> Finding:
    """Maps of all images as numbers (how much of the image they cover), and of some as pictures."""
    shown = spread_over_classes(data.labels, config.pictures).tolist()
    grid = choose_grid((data.pixels.shape[-2], data.pixels.shape[-1]), config.cell)
    found = {n.name: class_maps(n.model, n.prepare(data.pixels), data.labels, layer=config.layer) for n in networks}
    hidden = {n.name: _occlusion(n, data, shown, grid, config) for n in networks}
    numbers = {name: _numbers(found[name], hidden[name], shown, data, config.confidence) for name in found}
    given = [n.name for n in networks if not n.control]
    differences = [_difference(found, a, b, data, config.confidence) for a, b in combinations(given, 2)]
    lines = [
        (
            name,
            v.layer,
            " × ".join(map(str, v.grid)),
            interval_text(v.cover_eigen, decimal),
            interval_text(v.cover_grad, decimal),
        )
        for name, v in numbers.items()
    ]
    columns = ("network", "layer", "positions", "cover of Eigen-CAM", "cover of Grad-CAM")
    caption = "Cover: the share of positions over which a map is spread (1: uniform) "
    caption += f"[interval over {data.sampled}]"
    section = Section(
        title="Where the networks look",
        intro=INTRO,
        photographs=_photographs(networks, found, hidden, data, shown, grid, config),
        tables=[Table(caption, columns, lines)],
        notes=[
            f"{name}: {value.flat_grad} of {len(data.pixels)} Grad-CAM maps are zero: this layer has no evidence "
            "for the class."
            for name, value in numbers.items()
            if value.flat_grad
        ],
    )
    return Finding(
        key=KEY,
        section=section,
        models=numbers,
        differences=differences,
        setting={"cell": grid.side, "fill": config.fill, "images": len(data.pixels), "pictured": len(shown)},
    )


def cover(maps: Tensor) -> Tensor:
    """Share of the positions over which the positive part of a map is spread: exp(entropy) / P, [N]; 0 without any.

    1 if it is uniform, 1/P if it is at a single position of P.
    """
    flat = maps.double().clamp(min=0).flatten(1)
    shares = flat / flat.sum(1, keepdim=True).clamp(min=1e-300)
    spread = torch.special.entr(shares).sum(1).exp() / flat.shape[1]
    return torch.where(flat.sum(1) > 0, spread, 0.0)


def _occlusion(network: Audited, data: AuditData, shown: list[int], grid: Grid, config: AuditConfig) -> Array:
    pixels, ids = data.pixels[shown], data.ids[shown]
    mean, std = data.dataset.format.mean, data.dataset.format.std
    filled = fill_images(pixels, ids, config.fill, mean=mean, std=std, side=grid.side, seed=config.seed)
    images, filled = network.prepare(pixels), network.prepare(filled)
    with evaluating(network.model):
        ask = asking(network.model, images, filled, data.labels[shown], grid, config.batch_size)
        return occlusion_maps(ask, len(shown), grid.cells).reshape(-1, *grid.shape)


def _numbers(maps: Maps, hidden: Array, shown: list[int], data: AuditData, confidence: float) -> MapNumbers:
    return MapNumbers(
        layer=str(maps.layer),
        grid=tuple(maps.eigen.shape[1:]),
        cover_eigen=data.interval(cover(maps.eigen).tolist(), confidence),
        cover_grad=data.interval(cover(maps.grad).tolist(), confidence),
        flat_eigen=_flat(maps.eigen),
        flat_grad=_flat(maps.grad),
        pictured=[
            ImageMaps(
                image=data.names[i],
                label=data.classes[int(data.labels[i])],
                eigen_cam=_rows(maps.eigen[i].numpy()),
                grad_cam=_rows(maps.grad[i].numpy()),
                occlusion=_rows(hidden[at]),
            )
            for at, i in enumerate(shown)
        ],
    )


def _flat(maps: Tensor) -> int:
    """How many maps are zero everywhere."""
    return int((maps.flatten(1).abs().amax(1) == 0).sum())


def _rows(values: NDArray[Any]) -> list[str]:
    """A map as one line of numbers per row of positions."""
    return [" ".join(f"{value:.4g}" for value in row) for row in values.tolist()]


def _difference(
    found: Mapping[str, Maps], name: str, baseline: str, data: AuditData, confidence: float
) -> AuditDifference:
    """Cover of Grad-CAM, one network minus another, over the same images."""
    values = (cover(found[name].grad) - cover(found[baseline].grad)).tolist()
    return AuditDifference.of("cover of Grad-CAM", name, baseline, data.interval(values, confidence))


def _photographs(
    networks: Sequence[Audited],
    found: Mapping[str, Maps],
    hidden: Mapping[str, Array],
    data: AuditData,
    shown: list[int],
    grid: Grid,
    config: AuditConfig,
) -> list[Photograph]:
    names = [network.name for network in networks]
    rows = [
        Row(
            data.pixels[i],
            data.classes[int(data.labels[i])],
            (
                tuple(found[name].eigen[i].clamp(min=0).numpy() for name in names),
                tuple(found[name].grad[i].numpy() for name in names),
                tuple(hidden[name][at] for name in names),
            ),
        )
        for at, i in enumerate(shown)
    ]
    caption = (
        "Orange: evidence; blue (occlusion only): against the class. Each map has its own scale. Occlusion: cells "
        f"of {grid.side} pixels, filled with {FILLS[config.fill]}."
    )
    alt = (
        f"Maps of {len(rows)} images by {', '.join(names)}, a row per image: the image, then Eigen-CAM, Grad-CAM and "
        "occlusion of every network. The maps as numbers are in audit.json."
    )
    if len(names) <= 3:
        return [Photograph(map_tiles(rows, METHODS, names), alt, caption, "maps")]
    return [
        Photograph(
            map_tiles([Row(row.pixels, row.title, (row.maps[at],)) for row in rows], (method,), names),
            alt,
            f"{method}. {caption}",
            method.lower().replace("-", "_"),
        )
        for at, method in enumerate(METHODS)
    ]
