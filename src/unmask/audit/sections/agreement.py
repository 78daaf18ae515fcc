"""The measure `agreement`: do the networks have the same features, and would averaging them gain anything?

Whether two networks captured the same parts, if parts are known, is shown by the measure `parts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unmask.audit.measures.agreement import EnsembleGap, ensemble_gap, linear_cka
from unmask.audit.measures.stage_features import pooled_stages
from unmask.audit.protocol import AuditData, Audited, Finding
from unmask.audit.sections.part_figures import COLORS
from unmask.config import AuditConfig
from unmask.encoders.stages import evaluating
from unmask.report.blocks import Plate, Section, Table
from unmask.report.classes import shorten
from unmask.report.svg import blank, style
from unmask.report.words import decimal, percent, points

KEY = "agreement"
INTRO = (
    "Two networks that learned the same features have a linear CKA near 1 in their last stage, whatever the order and "
    "scale of their units. With few images CKA is too large; the debiased one is about 0 for unrelated features. The "
    "ensemble gap is the accuracy of averaged probabilities minus the mean accuracy of the single networks: networks "
    "that captured every feature gain little from each other."
)
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AgreementNumbers:
    """All numbers of one network."""

    cka: dict[str, float | None]
    """With each other network; None if one of them has constant features."""
    cka_debiased: dict[str, float | None]
    ensemble: EnsembleGap | None
    """For all given networks together; None for a control."""


def measure_agreement(
    networks: Sequence[Audited], data: AuditData, config: AuditConfig
) -> Finding[AgreementNumbers] | None:
    """CKA of all pairs and the ensemble gap; None for a single network."""
    given = [network for network in networks if not network.control]
    if len(given) < 2:
        return None
    features = {network.name: _features(network, data, config.batch_size) for network in networks}
    names = list(features)
    plain, fair = (_matrix([features[n] for n in names], debiased=debiased) for debiased in (False, True))
    gap = ensemble_gap(np.stack([_probabilities(n, data, config.batch_size) for n in given]), data.labels.numpy())
    section = Section(
        title="Agreement between the networks",
        intro=INTRO,
        plates=[_plate(names, fair)],
        tables=[_pairs(names, plain, fair), _gap(gap, len(given), len(data.labels))],
    )
    return Finding(
        key=KEY,
        section=section,
        models=_numbers(names, [network.name for network in given], plain, fair, gap),
        setting={"images": len(data.labels), "stage": "last", "ensemble": [network.name for network in given]},
    )


def _features(network: Audited, data: AuditData, batch_size: int) -> Floats:
    batches = (network.prepare(pixels) for pixels in data.pixels.split(batch_size))
    values: Floats = pooled_stages(network.model, batches)[-1].mean.numpy()
    return values


@torch.no_grad()
def _probabilities(network: Audited, data: AuditData, batch_size: int) -> Floats:
    with evaluating(network.model):
        logits = [network.model(network.prepare(pixels)) for pixels in data.pixels.split(batch_size)]
    return torch.cat(logits).double().softmax(1).cpu().numpy()


def _matrix(features: Sequence[Floats], *, debiased: bool) -> Floats:
    """CKA of all pairs; debiased needs four images."""
    if debiased and len(features[0]) < 4:
        return np.full((len(features), len(features)), np.nan)
    table = np.eye(len(features))
    for i, j in combinations(range(len(features)), 2):
        table[i, j] = table[j, i] = linear_cka(features[i], features[j], debiased=debiased)
    return table


def _numbers(
    names: Sequence[str], given: Sequence[str], plain: Floats, fair: Floats, gap: EnsembleGap
) -> dict[str, AgreementNumbers]:
    numbers = {}
    for i, name in enumerate(names):
        others = [(j, other) for j, other in enumerate(names) if j != i]
        numbers[name] = AgreementNumbers(
            cka={other: _plain(plain[i, j]) for j, other in others},
            cka_debiased={other: _plain(fair[i, j]) for j, other in others},
            ensemble=gap if name in given else None,
        )
    return numbers


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _pairs(names: Sequence[str], plain: Floats, fair: Floats) -> Table:
    rows = [
        (names[i], names[j], decimal(plain[i, j]), decimal(fair[i, j])) for i, j in combinations(range(len(names)), 2)
    ]
    return Table("Pairs of networks", ("network", "and", "CKA", "debiased"), rows)


def _gap(gap: EnsembleGap, networks: int, images: int) -> Table:
    row = (str(networks), percent(gap.single), percent(gap.ensemble), points(gap.gap))
    header = ("networks", "accuracy alone, mean, %", "accuracy together, %", "gap, points")
    return Table(f"Ensemble gap on {images} images", header, [row])


def _plate(names: Sequence[str], fair: Floats) -> Plate:
    told = "; ".join(f"{names[i]} and {names[j]} {fair[i, j]:.2f}" for i, j in combinations(range(len(names)), 2))
    return Plate(
        similarity(names, fair),
        f"Debiased linear CKA of the last stage: {told}.",
        "Debiased linear CKA of the features of the last stage: 1 for the same features, about 0 for unrelated ones",
        "cka",
    )


def similarity(names: Sequence[str], table: Floats) -> Figure:
    """A square of numbers and colors, networks × networks."""
    with style():
        side = 60 + 54 * len(names)
        figure = blank(side + 90, side + 40)
        axes = figure.add_subplot()
        axes.imshow(table, vmin=0, vmax=1, cmap=COLORS, interpolation="nearest")
        ticks = [shorten(name, 30) for name in names]
        axes.set_xticks(range(len(names)), ticks, rotation=40, ha="right")
        axes.set_yticks(range(len(names)), ticks)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for (i, j), value in np.ndenumerate(table):
            color = "#000000" if value > 0.55 else "#ffffff"
            axes.text(j, i, decimal(value), ha="center", va="center", color=color, fontsize=11)
    return figure
