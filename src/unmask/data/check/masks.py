"""What a check says of masks: pixels of every class, how much has no class, and classes that a split hardly shows."""

from dataclasses import replace

import numpy as np

from unmask.data.assignment import Plan
from unmask.data.mask_table import MaskTable, read_masks
from unmask.data.sources.source import TEST, TRAIN, VAL, Source
from unmask.tasks.mask_strata import strata_of

_SMALL = (8, 8)
"""Size at which masks are kept here; what they hold is counted in their own."""
RARE = 3
"""Images of a split that show a class, below which little can be learnt or told of it."""


def with_mask_classes(source: Source, *, progress: bool) -> tuple[Source, MaskTable | None]:
    """The source with the class by which its splits are drawn, the rarest that each mask shows, and its masks."""
    if source.masks is None:
        return source, None
    table = read_masks(source, _SMALL, progress=progress)
    return replace(source, labels=strata_of(table.pixels > 0), classes=table.classes), table


def pixels_by_split(plan: Plan, table: MaskTable | None) -> dict[str, dict[str, int]]:
    """Class → split → its pixels in the masks of that split; empty without masks."""
    if table is None:
        return {}
    rows = {split: plan.labeled(split) for split in (TRAIN, VAL, TEST)}
    return {
        name: {split: int(table.pixels[own, k].sum()) for split, own in rows.items() if len(own)}
        for k, name in enumerate(table.classes)
    }


def mask_warnings(plan: Plan, table: MaskTable | None) -> list[str]:
    """The share of pixels without a class, and classes that few images of a split show."""
    if table is None:
        return []
    total = int(table.pixels.sum() + table.ignored.sum())
    warnings = []
    if share := float(table.ignored.sum()) / max(1, total):
        warnings.append(f"{100 * share:.2g} % of the masks' pixels have no class (255) and count nowhere")
    for split in (TRAIN, VAL, TEST):
        own = plan.labeled(split)
        shown = (table.pixels[own] > 0).sum(0) if len(own) else np.zeros(0, np.int64)
        rare = [f"{table.classes[k]} ({n})" for k, n in enumerate(shown.tolist()) if n < RARE]
        if rare:
            more = f", and {len(rare) - 5} more" if len(rare) > 5 else ""
            warnings.append(f"{split}: fewer than {RARE} images show {', '.join(rare[:5])}{more}")
    return warnings
