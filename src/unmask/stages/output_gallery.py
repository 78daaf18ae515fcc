"""The gallery of labels and numbers: the worst images, and truth beside prediction."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unmask.config.metric import label_form
from unmask.data.imageset import ImageSet
from unmask.runs.gallery import Gallery, Judged, JudgedImages, Scatter
from unmask.runs.layout import SHEETS
from unmask.stages.contact_sheet import write_sheet
from unmask.stages.gallery import MAPPED, MISTAKE_BYTES, Predictions
from unmask.tasks.kinds import AnyTask
from unmask.wording import printable

_WORST, _SIDE = 8, 128


def with_judged(
    gallery: Gallery, out: Path, task: AnyTask, images: ImageSet, predictions: Iterable[tuple[str, Predictions]]
) -> Gallery:
    """The gallery with the worst images of every arm; see `with_mistakes`.

    Predictions are probabilities of labels, or numbers (N, K).
    """
    numbers = label_form(task.name) == "numbers"
    truth = (images.labels if numbers else task.target(images.labels)).double()
    place, found = dict[int, int](), []
    for arm, one in predictions:
        errors = image_errors(one.probabilities, truth, numbers=numbers)
        order = errors.nan_to_num(-1.0).argsort(descending=True, stable=True)[:_WORST]
        worst = [row for row in order.tolist() if not errors[row].isnan()]
        found.append(
            JudgedImages(
                arm=arm,
                trainings=one.trainings,
                worst=tuple(
                    _judged(images, row, place.setdefault(row, len(place)), truth, one.probabilities) for row in worst
                ),
                numbers=_scatters(task.names, truth, one.probabilities) if numbers else (),
            )
        )
    sheet = None
    if place:
        rows = torch.tensor(list(place))
        sheet = write_sheet(SHEETS.path(out, "mistakes"), images, rows, side=_SIDE, most_bytes=MISTAKE_BYTES)
    return replace(gallery, judged=tuple(found), judged_sheet=sheet)


def image_errors(predicted: Tensor, truth: Tensor, *, numbers: bool) -> Tensor:
    """The error of each image, (N,): for labels the largest |probability - truth|, for numbers the mean error in
    standard deviations; over known values, NaN if none is known or the image is unreadable.

    Args:
        predicted: probabilities or numbers, (N, K).
        truth: 1 and 0, or numbers; NaN where unknown, (N, K).
        numbers: whether they are numbers rather than labels.
    """
    errors = (predicted.double() - truth).abs()
    unknown = truth.isnan().all(1) | predicted.isnan().any(1)
    if not numbers:
        return errors.nan_to_num(0.0).amax(1).masked_fill(unknown, torch.nan)
    known = ~truth.isnan()
    spread = torch.stack([_spread(column[own]) for column, own in zip(truth.T, known.T, strict=True)])
    scaled = errors / torch.where(spread > 0, spread, 1.0)
    return scaled.nanmean(1).masked_fill(unknown, torch.nan)


def _spread(numbers: Tensor) -> Tensor:
    """Their standard deviation, exactly 0 for equal ones, whose mean may be rounded; NaN for none."""
    equal = len(numbers) > 0 and bool((numbers == numbers[0]).all())
    return numbers.new_zeros(()) if equal else numbers.std(correction=0)


def _judged(images: ImageSet, row: int, picture: int, truth: Tensor, predicted: Tensor) -> Judged:
    own = [None if value != value else value for value in truth[row].tolist()]
    name = printable(images.names[row])
    return Judged(picture=picture, name=name, truth=tuple(own), predicted=_rounded(predicted[row]))


def _scatters(names: Sequence[str], truth: Tensor, predicted: Tensor) -> tuple[Scatter, ...]:
    """Truth and prediction of up to 1,000 images of each number, evenly spread."""
    found = []
    for at, name in enumerate(names):
        rows = (~(truth[:, at].isnan() | predicted[:, at].isnan())).nonzero().flatten()
        rows = rows[torch.linspace(0, len(rows) - 1, min(MAPPED, len(rows))).round().long()] if len(rows) else rows
        found.append(Scatter(name=name, truth=_rounded(truth[rows, at]), predicted=_rounded(predicted[rows, at])))
    return tuple(found)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values.tolist())
