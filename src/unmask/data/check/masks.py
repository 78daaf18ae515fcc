"""Findings of a check about masks: pixels of every class, pixels without a class, classes a split hardly shows."""

from dataclasses import dataclass

import numpy as np

from unmask.data.assignment import Plan
from unmask.data.check.findings import FEW, listed
from unmask.data.mask_table import MaskTable
from unmask.data.sources.source import TEST, TRAIN, VAL
from unmask.wording import plural

MUCH = 0.05
"""Share of the pixels without a class above which a warning is given."""
RARE = 3
"""With fewer images of a split that show a class, little can be learned or measured of it."""


@dataclass(frozen=True)
class MaskFacts:
    """What masks hold, by the split of their images; splits without a mask are left out."""

    images: dict[str, int]
    """Images with a mask that shows a class."""
    without: dict[str, int]
    """Images of the split without one: only pretraining sees those of training."""
    pixels: dict[str, dict[str, int]]
    """Class → split → its pixels."""
    no_class: dict[str, int]
    """Pixels without a class, 255, which are ignored."""


def mask_facts(plan: Plan, table: MaskTable | None) -> MaskFacts | None:
    """Counts over the readable images; None without masks."""
    if table is None:
        return None
    every = {split: plan.labeled(split) for split in (TRAIN, VAL, TEST)}
    rows = {split: own for split, own in every.items() if len(own)}
    return MaskFacts(
        images={split: len(own) for split, own in rows.items()},
        without={split: len(plan.rows(split)) - len(own) for split, own in rows.items()},
        pixels={
            name: {split: int(table.pixels[own, k].sum()) for split, own in rows.items()}
            for k, name in enumerate(table.classes)
        },
        no_class={split: int(table.ignored[own].sum()) for split, own in rows.items()},
    )


def mask_lines(facts: MaskFacts | None) -> list[str]:
    """The facts in words; pixels with their share of the split's."""
    if facts is None:
        return []
    masked = (f"{split} {count} of {count + facts.without[split]}" for split, count in facts.images.items())
    totals = {split: sum(own[split] for own in facts.pixels.values()) + facts.no_class[split] for split in facts.images}

    def shares(found: dict[str, int]) -> str:
        return ", ".join(f"{split} {n} ({100 * n / max(1, totals[split]):.2g} %)" for split, n in found.items())

    lines = [f"images with a mask: {', '.join(masked)}"]
    lines += [f"pixels of {name}: {shares(found)}" for name, found in facts.pixels.items()]
    return lines + ([f"pixels without a class (255): {shares(facts.no_class)}"] if any(facts.no_class.values()) else [])


def mask_warnings(plan: Plan, table: MaskTable | None) -> list[str]:
    """Splits with few masks, a large share of pixels without a class, and classes that few images of a split show."""
    if table is None:
        return []
    warnings = []
    share = float(table.ignored.sum()) / max(1, int(table.pixels.sum() + table.ignored.sum()))
    if share > MUCH:
        warnings.append(f"{100 * share:.2g} % of the masks' pixels have no class (255) and are ignored")
    for split, word in ((TRAIN, "training"), (VAL, "validation"), (TEST, "test")):
        own = plan.labeled(split)
        if split != TRAIN and 0 < len(own) < FEW:
            warnings.append(f"the {word} set has {plural(len(own), 'mask')}: an mIoU on so few is uncertain")
        shown = (table.pixels[own] > 0).sum(0) if len(own) else np.zeros(0, np.int64)
        rare = [f"{table.classes[k]} ({n})" for k, n in enumerate(shown.tolist()) if n < RARE]
        if rare:
            warnings.append(f"{split}: fewer than {RARE} images show {listed(rare)}")
    return warnings
