"""The measure `parts`: which parts of which class the units of a network respond to, and its accuracy on one part.

Letters: N images, k classes, L parts per class, P = k · L, U units.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.audit.measures.agreement import Overlap, overlap
from unmask.audit.measures.known_parts import (
    alternate,
    contrasts,
    known_parts,
    single_part_accuracy,
    whole_accuracy,
    without_parts,
)
from unmask.audit.measures.part_units import Capture, Purity, captured_parts, purity, whole_classes
from unmask.audit.measures.stage_features import pooled_stages, with_signs
from unmask.audit.protocol import AuditData, Audited, Finding
from unmask.audit.sections.part_figures import part_grid, unit_heatmap
from unmask.config import AuditConfig
from unmask.data.known_parts import KnownParts
from unmask.encoders.stages import evaluating
from unmask.evaluate.defined import or_none
from unmask.inference.estimate import paired_interval
from unmask.randomness import permutation
from unmask.report.blocks import Plate, Section, Table
from unmask.report.words import percent
from unmask.runs.records import AuditDifference

KEY, SPLIT = "parts", "test"
INTRO = (
    "The parts of each class are known in these images. A unit responds to a part if its mean over the positions of "
    "the last stage is larger on images that show this part alone than on images of other classes, and than on the "
    "same images without the part. The lower of the two AUROCs counts: 1 is a perfect detector, 0.5 is chance. A "
    "part is captured if the best unit's AUROC, on images not used to choose it, reaches the threshold. A "
    "network with many units responds to some strong parts by chance: see how many the random network captures. With "
    "the truth shuffled among the images nothing should be captured; more than a few would be a flaw of the measure."
)


@dataclass(frozen=True)
class PartsOf:
    """The findings on one network."""

    capture: Capture
    predicted: NDArray[np.int64]
    """(N,)."""
    stage: str
    signed: bool
    """Whether each unit counts twice, once negated."""
    shuffled: int
    """Parts captured with the truth shuffled among the images: the control."""


@dataclass(frozen=True)
class PartScores:
    """One part of one network."""

    score: float | None
    """AUROC of the best unit."""
    captured: bool
    accuracy_alone: float | None
    """Accuracy on images that show this part alone; None without such an image."""


@dataclass(frozen=True, kw_only=True)
class PartNumbers:
    """All numbers of one network."""

    stage: str
    units: int
    signed: bool
    captured: int
    captured_shuffled: int
    """With the truth shuffled among the images: the control."""
    parts: int
    classes_whole: int
    """Classes with all parts captured."""
    classes: int
    purity: Purity
    accuracy_whole: float | None
    """Accuracy on images that show all parts."""
    accuracy_alone: list[float | None]
    """Accuracy on images that show one part alone, mean over the classes; first parts, second parts and so on."""
    per_part: dict[str, PartScores]
    auroc: list[list[float | None]]
    """A row per unit, a column per part."""
    common: dict[str, Overlap]
    """Parts in common with each other given network; empty for a control."""


def look_at_parts(
    network: Audited, data: AuditData, parts: KnownParts, bare: Tensor, batch_size: int, seed: int = 0
) -> PartsOf:
    """Pass all test images through a network, with their parts and without (`bare`), and read the units of its last
    stage. The seed shuffles the truth of the control."""
    images = data.dataset.tests[SPLIT]
    predicted: list[Tensor] = []

    def prepared() -> Iterator[Tensor]:
        """Images as the network takes them, batch by batch; what it predicts for them is kept."""
        for rows in torch.arange(len(images)).split(batch_size):
            ready = network.prepare(images.raw(rows))
            with torch.no_grad():
                predicted.append(network.model(ready).argmax(1))
            yield ready

    with evaluating(network.model):
        last = pooled_stages(network.model, prepared())[-1]
        absent = pooled_stages(network.model, map(network.prepare, bare.split(batch_size)))[-1]
    responses = with_signs(last.mean, last.signed).numpy(), with_signs(absent.mean, last.signed).numpy()
    found, control = (
        captured_parts(*responses, contrasts(truth), alternate(truth))
        for truth in (parts, parts.select(permutation(seed, "audit shuffled truth", 0, len(parts.labels))))
    )
    return PartsOf(found, torch.cat(predicted).numpy(), last.stage, last.signed, int(control.captured.sum()))


def measure_parts(networks: Sequence[Audited], data: AuditData, config: AuditConfig) -> Finding[PartNumbers] | None:
    """Captured parts, purity and accuracy on single parts of every network; None if the parts are not known."""
    parts = known_parts(data.dataset, SPLIT)
    if parts is None:
        return None
    bare = without_parts(data.dataset)
    found = {
        network.name: look_at_parts(network, data, parts, bare, config.batch_size, config.seed) for network in networks
    }
    given = [network.name for network in networks if not network.control]
    pairs = {(a, b): overlap(found[a].capture.captured, found[b].capture.captured) for a, b in combinations(given, 2)}
    common = {n: {b if a == n else a: o for (a, b), o in pairs.items() if n in (a, b)} for n in found}
    numbers = {name: part_numbers(one, parts, common[name]) for name, one in found.items()}
    first = next(iter(found.values())).capture
    section = Section(
        title="Parts and units",
        intro=INTRO,
        plates=[_grid(found, parts), *(_heatmap(name, i, one, parts) for i, (name, one) in enumerate(found.items()))],
        tables=[_table(numbers, parts), *_pairs(pairs)],
    )
    return Finding(
        key=KEY,
        section=section,
        models=numbers,
        differences=[
            row for a, b in combinations(given, 2) for row in _differences(found, a, b, parts, config.confidence)
        ],
        setting={"split": SPLIT, "images": len(parts.labels), "threshold": first.threshold, "pooling": "mean"},
    )


def part_numbers(one: PartsOf, parts: KnownParts, common: dict[str, Overlap]) -> PartNumbers:
    """All numbers of one network."""
    k, capture = len(parts.classes), one.capture
    alone = single_part_accuracy(one.predicted, parts)
    per_part = zip(parts.names, capture.score, capture.captured, alone.reshape(-1), strict=True)
    return PartNumbers(
        stage=one.stage,
        units=len(capture.auroc),
        signed=one.signed,
        captured=int(capture.captured.sum()),
        captured_shuffled=one.shuffled,
        parts=len(capture.captured),
        classes_whole=int(whole_classes(capture.captured, k).sum()),
        classes=k,
        purity=purity(capture.responds, k),
        accuracy_whole=or_none(whole_accuracy(one.predicted, parts)),
        accuracy_alone=[or_none(value) for value in np.nanmean(alone, axis=0)],
        per_part={name: PartScores(or_none(score), bool(got), or_none(right)) for name, score, got, right in per_part},
        auroc=[[or_none(round(value, 4)) for value in row] for row in capture.auroc.tolist()],
        common=common,
    )


def _pairs(pairs: Mapping[tuple[str, str], Overlap]) -> list[Table]:
    """Whether two networks captured the same parts, or share only as many as chance gives."""
    rows = [(a, b, str(one.both), f"{one.expected:.1f}", f"{one.p_value:.2g}") for (a, b), one in pairs.items()]
    columns = ("network", "and", "parts both captured", "expected by chance", "p")
    return [Table("The same parts?", columns, rows)] if rows else []


def _differences(
    found: dict[str, PartsOf], name: str, baseline: str, parts: KnownParts, confidence: float
) -> list[AuditDifference]:
    """Accuracy of one network minus another's on images of each part alone, paired over the images."""
    better = (found[name].predicted == parts.labels).astype(float) - (found[baseline].predicted == parts.labels)
    rows = []
    for part in range(parts.shown.shape[1]):
        here = better[parts.shown[:, part] & (parts.shown.sum(1) == 1)]
        if len(here):
            quantity = f"accuracy on part {part + 1} alone"
            rows.append(AuditDifference.of(quantity, name, baseline, paired_interval(here, confidence)))
    return rows


def _table(numbers: dict[str, PartNumbers], parts: KnownParts) -> Table:
    views = range(parts.shown.shape[1])
    columns = (
        "network", "parts captured", "truth shuffled", "classes with all parts", "units that respond",
        "to one part only, %", "to one class only, %", "accuracy, all parts shown, %",
        *(f"accuracy, part {i + 1} alone, %" for i in views),
    )  # fmt: skip
    rows = [
        (
            name,
            f"{value.captured} of {value.parts}",
            str(value.captured_shuffled),
            f"{value.classes_whole} of {value.classes}",
            str(value.purity.units),
            percent(value.purity.one_part),
            percent(value.purity.one_class),
            percent(value.accuracy_whole),
            *(percent(right) for right in value.accuracy_alone),
        )
        for name, value in numbers.items()
    ]
    return Table(f"Captured parts, purity, and accuracy on {len(parts.labels)} test images", columns, rows)


def _grid(found: dict[str, PartsOf], parts: KnownParts) -> Plate:
    scores = {name: one.capture.score for name, one in found.items()}
    captured = {name: one.capture.captured for name, one in found.items()}
    alone = {name: single_part_accuracy(one.predicted, parts).reshape(-1) for name, one in found.items()}
    told = "; ".join(f"{name} {int(value.sum())} of {len(value)}" for name, value in captured.items())
    return Plate(
        part_grid(parts.names, len(parts.classes), scores, captured, alone),
        f"Score of the best unit and accuracy for every part and network. Captured parts: {told}.",
        "Rows are parts (class.part). Left: AUROC of the best unit, a dot marks captured parts. Right: accuracy on the "
        "images that show this part alone",
        "captured",
    )


def _heatmap(name: str, at: int, one: PartsOf, parts: KnownParts) -> Plate:
    shown, figure = unit_heatmap(one.capture.auroc, one.capture.captured, parts.names, len(parts.classes))
    return Plate(
        figure,
        f"{name}: AUROC of {shown} units for {len(parts.names)} parts; "
        f"{int(one.capture.responds.any(1).sum())} units respond to a part.",
        f"{name}: AUROC of units (columns) for parts (rows). The {shown} units with the highest AUROC of "
        f"{len(one.capture.auroc)}, in the order of the part they respond to most; rows with a dot are captured",
        f"units_{at}",
    )
