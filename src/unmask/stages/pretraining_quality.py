"""Judge by its log whether a pretraining learned anything and had converged. For notes beside results."""

import statistics
from collections.abc import Iterable, Sequence

from unmask.runs.metrics import Row, TrainingRow, ValidationRow, rows_of
from unmask.wording import plural

BARELY = 0.95
"""Share of the baseline's loss above which a loss has barely beaten it."""
STEEP = 0.25
"""Share of the gain over the baseline in the second half above which a loss was still falling."""
FEWEST_CELLS = 16
"""With fewer cells per image, masking leaves little to predict from."""


def quality_notes(rows: Iterable[Row]) -> list[str]:
    """Notes on a finished pretraining, by its metrics; none if it went as it should."""
    rows = list(rows)
    looks, steps = rows_of(ValidationRow, rows), rows_of(TrainingRow, rows)
    if not looks or not steps:
        return []
    loss, baseline = looks[-1].val_loss, looks[-1].baseline
    taken = plural(steps[-1].step, "step")
    if loss > BARELY * baseline:
        beat = "barely beat" if loss < baseline else "did not beat"
        return [
            f"the pretraining {beat} its baseline: its loss is {loss / baseline:.0%} of that of the constant "
            f"prediction after {taken}: most of these pixels cannot be predicted, or it needs more steps"
        ]
    late = late_share(steps)
    if late is not None and late > STEEP:
        return [
            f"the pretraining loss was still falling: {late:.0%} of its gain over the baseline came in the second half "
            f"of its {taken}; more steps may help"
        ]
    return []


def late_share(steps: Sequence[TrainingRow]) -> float | None:
    """The share of the loss's gain over its baseline that came after the middle; None if nothing was gained.

    Losses are means over a tenth of the steps, around the middle and at the end.
    """
    tenth, middle = max(1, len(steps) // 10), len(steps) // 2
    half = steps[max(0, middle - tenth // 2) :][:tenth]
    baselines = [row.baseline for row in steps if row.baseline is not None]
    if not baselines:
        return None
    end, before = (statistics.fmean(row.loss for row in part) for part in (steps[-tenth:], half))
    gained = statistics.fmean(baselines) - end
    return (before - end) / gained if gained > 0 else None


def cells_note(grid: tuple[int, int]) -> list[str]:
    """A note if an image has very few cells."""
    height, width = grid
    if height * width >= FEWEST_CELLS:
        return []
    return [
        f"an image has only {height} x {width} cells, so one hidden block covers much of it and little is left to "
        "predict from: a larger `image_size`, a smaller `cell` or an encoder with a smaller stride gives more"
    ]
