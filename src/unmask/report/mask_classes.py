"""How well every class of masks is segmented: a table for each split."""

from collections.abc import Sequence

from unmask.config.budget import labels_in_words
from unmask.evaluate.defined import mean_of_known
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Section, Table
from unmask.report.palette import look
from unmask.report.words import percent
from unmask.runs.contents import ClassificationRun
from unmask.runs.scores import SegmentationScores
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult

_COLUMNS = ("class", "IoU, %", "Dice, %", "boundary IoU, %", "images", "pixels")
_INTRO = (
    "Over all pixels of the images, not a mean over images. Boundary IoU uses the pixels within 2 % of the image's "
    "diagonal from an edge of their class."
)


def mask_classes(run: ClassificationRun) -> Section:
    """The classes of a run's masks; nothing for another task."""
    metrics = run.result.metrics if run.result is not None else {}
    tables = [
        Table(f"Classes on {describe_split(split)}", _COLUMNS, _rows(scores))
        for split, scores in metrics.items()
        if isinstance(scores, SegmentationScores)
    ]
    return Section("How well each class is segmented", _INTRO if tables else "", tables=tables)


def mask_classes_by_arm(summary: Summary, trials: Sequence[TrialResult]) -> Section:
    """IoU of every class, the mean over an arm's trials at the primary budget on the primary split."""
    budget, split = summary.settings.primary_budget, summary.settings.primary_split
    found: dict[str, list[SegmentationScores]] = {}
    for trial in trials:
        scores = trial.metrics.get(split or "")
        if trial.budget == budget and isinstance(scores, SegmentationScores):
            found.setdefault(trial.arm, []).append(scores)
    if not found or split is None:
        return Section("How well each class is segmented")
    names = [one.name for one in next(iter(found.values()))[0].per_class]
    rows = [
        (name, *(percent(mean_of_known(one.per_class[at].iou for one in scores)) for scores in found.values()))
        for at, name in enumerate(names)
    ]
    caption = f"IoU with {labels_in_words(budget)} on {describe_split(split)}, %, mean over trainings"
    return Section(
        "How well each class is segmented",
        _INTRO,
        tables=[Table(caption, ("class", *(look(arm).title for arm in found)), rows)],
    )


def _rows(scores: SegmentationScores) -> list[tuple[str, ...]]:
    return [
        (one.name, percent(one.iou), percent(one.dice), percent(one.boundary_iou), str(one.images), str(one.pixels))
        for one in scores.per_class
    ]
