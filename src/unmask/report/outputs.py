"""Several labels and numbers on a page: a table for each, truth against prediction, and the worst images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from unmask.config.budget import labels_in_words
from unmask.evaluate.defined import mean_of_known
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Album, Card, Pictures, Plate, Section, Showcase, Table
from unmask.report.classes import shorten
from unmask.report.palette import BLUE, INK, look
from unmask.report.svg import plot
from unmask.report.words import name_end, percent, significant
from unmask.runs.contents import ClassificationRun
from unmask.runs.gallery import Gallery, Judged, JudgedImages, Scatter
from unmask.runs.layout import SHEETS
from unmask.runs.scores import LabelScores, MultilabelScores, RegressionScores, Scores, TargetScores
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult
from unmask.wording import plural

_LABELS = ("label", "average precision, %", "AUROC, %", "F1, %", "prevalence, %", "images with it", "images")
_NUMBERS = ("number", "MAE", "RMSE", "R²", "Spearman's ρ", "true mean", "true deviation", "images")


def output_section(run: ClassificationRun) -> Section:
    """A table per set of images with a row for each label or number; nothing for other tasks."""
    metrics = run.result.metrics if run.result is not None else {}
    tables = [table for split, scores in metrics.items() if (table := _table(scores, describe_split(split)))]
    plates = [] if run.gallery is None else scatter_plates(run.gallery, "")
    return Section("Every output", tables=tables, plates=plates)


def outputs_by_arm(summary: Summary, trials: Sequence[TrialResult], gallery: Gallery | None, first: str) -> Section:
    """Average precision of each label, or MAE of each number: the mean over an arm's trials at the primary budget."""
    budget, split = summary.settings.primary_budget, summary.settings.primary_split
    found: dict[str, list[Sequence[LabelScores | TargetScores]]] = {}
    for trial in trials:
        scores = trial.metrics.get(split or "")
        if trial.budget == budget and isinstance(scores, MultilabelScores | RegressionScores):
            found.setdefault(trial.arm, []).append(_outputs(scores))
    if not found or split is None:
        return Section("Every output")
    head = next(iter(found.values()))[0]
    labels = isinstance(head[0], LabelScores)
    write, what = (percent, "Average precision, %") if labels else (significant, "MAE, lower is better")
    rows = [
        (one.name, *(write(mean_of_known([_value(trial[at]) for trial in arm])) for arm in found.values()))
        for at, one in enumerate(head)
    ]
    caption = f"{what}, with {labels_in_words(budget)} on {describe_split(split)}, mean over trainings"
    columns = ("label" if labels else "number", *(look(arm).title for arm in found))
    plates = [] if gallery is None else scatter_plates(gallery, first)
    return Section("Every output", tables=[Table(caption, columns, rows, numeric=True)], plates=plates)


def worst_images(gallery: Gallery, folder: Path, first: str) -> list[Showcase]:
    """The images with the worst labels or numbers, for every arm."""
    if gallery.judged_sheet is None:
        return []
    albums = []
    for position, one in enumerate(sorted(gallery.judged, key=lambda one: one.arm != first)):
        title = f"{look(one.arm).title}, {plural(one.trainings, 'training')}" if one.arm else ""
        cards = [_card(gallery, image, numbers=bool(one.numbers)) for image in one.worst]
        albums.append(Album(title, cards, shown=position == 0))
    numbers = any(one.numbers for one in gallery.judged)
    how = "the largest errors in deviations of the numbers" if numbers else "the most confident wrong label"
    by = ", by the mean of the predictions of an arm's trainings" if gallery.judged[0].arm else ""
    intro = (
        f"The {describe_split(gallery.split)} with {how}{by}: truth and prediction. Look here first for wrong labels."
    )
    pictures = Pictures(SHEETS.path(folder, "mistakes"), gallery.judged_sheet)
    return [Showcase("The worst images", intro, pictures, albums)]


def scatter_plates(gallery: Gallery, first: str) -> list[Plate]:
    """Prediction against truth, and residuals, of each number: for the arm `first`, else for the first available."""
    chosen = next((one for one in gallery.judged if one.arm == first), next(iter(gallery.judged), None))
    return [] if chosen is None else [plate for one in chosen.numbers if one.truth for plate in _plates(chosen, one)]


def _plates(of: JudgedImages, one: Scatter) -> list[Plate]:
    whose = f", {look(of.arm).title}" if of.arm else ""
    truth, predicted = np.asarray(one.truth), np.asarray(one.predicted)
    count, errors = plural(len(truth), "image"), predicted - truth
    about = f"mean error {errors.mean():.3g}, mean absolute error {np.abs(errors).mean():.3g}"
    return [
        Plate(
            scatter(one),
            f"Predicted against true {one.name} of {count}{whose}: {about}",
            f"{one.name}: prediction against truth; on the line they are equal{whose}",
        ),
        Plate(
            residuals(one),
            f"Prediction minus truth of {one.name} over the truth, of {count}{whose}: {about}",
            f"{one.name}: prediction minus truth{whose}",
        ),
    ]


def scatter(one: Scatter) -> Figure:
    """Prediction against truth, with the line of equality."""
    low, high = min(*one.truth, *one.predicted), max(*one.truth, *one.predicted)
    with plot(height=300, grid="both") as (figure, axes):
        axes.plot([low, high], [low, high], color=INK, linewidth=0.9)
        axes.plot(one.truth, one.predicted, "o", color=BLUE, alpha=0.6, markersize=4)
        axes.set_xlabel(f"true {shorten(one.name)}")
        axes.set_ylabel(f"predicted {shorten(one.name)}")
    return figure


def residuals(one: Scatter) -> Figure:
    """Prediction minus truth over the truth: a slope shows that extremes are pulled to the mean."""
    with plot(height=300, grid="both") as (figure, axes):
        axes.axhline(0, color=INK, linewidth=0.9)
        errors = [guess - own for own, guess in zip(one.truth, one.predicted, strict=True)]
        axes.plot(one.truth, errors, "o", color=BLUE, alpha=0.6, markersize=4)
        axes.set_xlabel(f"true {shorten(one.name)}")
        axes.set_ylabel("prediction minus truth")
    return figure


def _table(scores: Scores, where: str) -> Table | None:
    if isinstance(scores, MultilabelScores):
        return Table(f"Labels on {where}", _LABELS, [_label(one) for one in scores.per_label], numeric=True)
    if isinstance(scores, RegressionScores):
        return Table(f"Numbers on {where}", _NUMBERS, [_target(one) for one in scores.per_target], numeric=True)
    return None


def _label(one: LabelScores) -> tuple[str, ...]:
    prevalence = one.positives / one.images if one.images else None
    shares = map(percent, (one.average_precision, one.auroc, one.f1, prevalence))
    return (one.name, *shares, str(one.positives), str(one.images))


def _target(one: TargetScores) -> tuple[str, ...]:
    numbers = map(significant, (one.mae, one.rmse, one.r2, one.spearman, one.mean, one.std))
    return (one.name, *numbers, str(one.images))


def _outputs(scores: MultilabelScores | RegressionScores) -> Sequence[LabelScores | TargetScores]:
    return scores.per_label if isinstance(scores, MultilabelScores) else scores.per_target


def _value(one: LabelScores | TargetScores) -> float | None:
    return one.average_precision if isinstance(one, LabelScores) else one.mae


def _card(gallery: Gallery, image: Judged, *, numbers: bool) -> Card:
    name = name_end(image.name)
    pairs = list(zip(gallery.classes, image.truth, image.predicted, strict=True))
    if numbers:
        lines = [f"{shorten(one)}: {_plain(own)}, predicted {_plain(guess)}" for one, own, guess in pairs]
    else:
        known = [(one, own, guess) for one, own, guess in pairs if own is not None]
        worst = max(known, key=lambda pair: abs(pair[2] - pair[1]))
        has = [one for one, own, _ in known if own]
        lines = [
            f"{shorten(worst[0])}: {'yes' if worst[1] else 'no'}, predicted {percent(worst[2])} %",
            f"has {', '.join(map(shorten, has))}" if has else "has none",
        ]
    return Card(image.picture, f"{name}: {'; '.join(lines)}", [*lines, name])


def _plain(value: float | None) -> str:
    """A number without an exponent unless it is very large: 1047 and 0.31."""
    return "–" if value is None else f"{value:.4g}".replace("-", "−")
