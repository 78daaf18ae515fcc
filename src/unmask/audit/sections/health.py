"""The measure `health`: rank, spectrum and dead units of every stage of every network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from unmask.audit.measures.health import Health, health
from unmask.audit.measures.stage_features import pooled_stages
from unmask.audit.protocol import AuditData, Audited, Finding
from unmask.config import AuditConfig
from unmask.report.blocks import Plate, Section, Table
from unmask.report.classes import shorten
from unmask.report.palette import BLUE, GRAY, GREEN, INK, ORANGE, VERMILION
from unmask.report.svg import blank, style
from unmask.report.words import percent

KEY = "health"
INTRO = (
    "How many directions the features of each stage use, averaged over positions. The effective rank (RankMe) is the "
    "exponential of the entropy of the singular values: as many equally strong directions would have the same spread. "
    "Without the mean over the images it shows how many directions distinguish images. It cannot exceed the number of "
    "features or of images. Dead units have the same value on all images."
)
_ACROSS = 3
"""Panels per row."""
_LINES = ((GRAY, ":"), (ORANGE, "-."), (GREEN, "--"), (BLUE, "-"), (VERMILION, "-"))


@dataclass(frozen=True)
class HealthNumbers:
    """All numbers of one network."""

    stages: dict[str, Health]
    """Shallow to deep."""


def measure_health(networks: Sequence[Audited], data: AuditData, config: AuditConfig) -> Finding[HealthNumbers]:
    """Health of all stages of all networks on the audit's images."""
    found: dict[str, dict[str, Health]] = {}
    for network in networks:
        batches = (network.prepare(pixels) for pixels in data.pixels.split(config.batch_size))
        stages = pooled_stages(network.model, batches)
        found[network.name] = {pooled.stage: health(pooled.mean) for pooled in stages}
    table = _table(found, len(data.labels))
    return Finding(
        key=KEY,
        section=Section("Health of the features", INTRO, plates=[_plate(found)], tables=[table]),
        models={name: HealthNumbers(stages) for name, stages in found.items()},
        setting={"images": len(data.labels), "pooling": "mean"},
    )


def _table(found: Mapping[str, Mapping[str, Health]], images: int) -> Table:
    rows = [
        (
            name,
            stage,
            str(one.features),
            f"{one.effective_rank:.1f}",
            f"{one.centered_rank:.1f}",
            f"{one.feature_std:.2g}",
            percent(one.dead),
        )
        for name, stages in found.items()
        for stage, one in stages.items()
    ]
    columns = (
        "network", "stage", "features", "effective rank", "without the mean", "standard deviation", "dead units, %",
    )  # fmt: skip
    return Table(f"Features of {images} images", columns, rows)


def _plate(found: Mapping[str, Mapping[str, Health]]) -> Plate:
    told = "; ".join(
        f"{name}: " + ", ".join(f"{stage} {one.centered_rank:.1f} of {one.features}" for stage, one in stages.items())
        for name, stages in found.items()
    )
    return Plate(
        spectra(found),
        f"Spectra of the centered features of each stage. Effective ranks without the mean: {told}.",
        "Singular values of the centered features as shares of their sum, largest first; in brackets the effective "
        "rank that they give, and the number of features",
        "spectra",
    )


def spectra(found: Mapping[str, Mapping[str, Health]]) -> Figure:
    """A panel per network, a line per stage; shares below 1e-5 of the sum are not drawn."""
    columns = min(len(found), _ACROSS)
    rows = -(-len(found) // columns)
    with style():
        figure = blank(70 + 250 * columns, 290 * rows)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in panels.flat[len(found) :]:
            axes.set_visible(False)
        for axes, (name, stages) in zip(panels.flat, found.items(), strict=False):
            _panel(axes, name, stages)
        for line in panels:
            line[0].set_ylabel("share of the spread")
    return figure


def _panel(axes: Axes, name: str, stages: Mapping[str, Health]) -> None:
    looks = _LINES[-len(stages) - 1 : -1] if len(stages) < len(_LINES) else _LINES
    for (stage, one), (color, line) in zip(stages.items(), looks, strict=False):
        shares = np.array(one.spectrum)
        shares = shares[shares > 1e-5]
        label = f"{stage} ({one.centered_rank:.1f} of {one.features})"
        axes.plot(np.arange(1, len(shares) + 1), shares, color=color, linestyle=line, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelbottom=True)
    axes.set_title(shorten(name, 34))
    axes.set_xlabel("direction")
    axes.legend(frameon=False, fontsize=10.5, loc="lower left", labelcolor=INK)
