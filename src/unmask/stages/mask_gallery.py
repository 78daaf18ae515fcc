"""The gallery of a segmentation: image, truth and prediction side by side, the worst images first."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.config.data import IGNORED
from unmask.data.imageset import ImageSet
from unmask.data.mask_colors import class_colors
from unmask.evaluate.overlap import overlap
from unmask.runs.gallery import Gallery, Panel, Panels
from unmask.runs.layout import SHEETS
from unmask.stages.contact_sheet import pictures_of, write_pictures
from unmask.stages.gallery import Predictions
from unmask.wording import printable

_WORST, _MIDDLE, _BEST = 4, 2, 2
_SIDE, _GAP = 96, 8
PANEL_BYTES = 700_000
_WHITE, _GRAY = 1.0, 0.5


def with_panels(
    gallery: Gallery, out: Path, images: ImageSet, predictions: Iterable[tuple[str, Predictions]]
) -> Gallery:
    """The gallery with image, truth and prediction of a few images of every arm; see `with_mistakes`.

    Predictions are classes (N, H, W), NaN where unreadable.
    """
    panels, pictures = [], list[Tensor]()
    count = 0
    for arm, one in predictions:
        maps = one.probabilities
        score = image_ious(maps, images.labels, len(gallery.classes))
        chosen = telling(score)
        if len(chosen):
            pictures.append(_pictures(images, maps, chosen, len(gallery.classes)))
        shown = tuple(
            Panel(picture=count + place, name=printable(images.names[row]), iou=round(float(score[row]), 4))
            for place, row in enumerate(chosen.tolist())
        )
        panels.append(Panels(arm=arm, shown=shown))
        count += len(chosen)
    sheet = None
    if pictures:
        sheet = write_pictures(SHEETS.path(out, "panels"), torch.cat(pictures), most_bytes=PANEL_BYTES)
    return replace(gallery, panels=tuple(panels), panel_sheet=sheet)


def image_ious(maps: Tensor, truth: Tensor, classes: int) -> Tensor:
    """IoU of every image, the mean over the classes that either mask shows; NaN if unreadable, (N,)."""
    counts = overlap(maps.nan_to_num(0.0).to(torch.uint8), truth, classes)
    both, union = torch.from_numpy(counts.both).double(), torch.from_numpy(counts.union)
    found = torch.where(union > 0, both / union.clamp(min=1), torch.nan).nanmean(1)
    return torch.where(maps.flatten(1).isnan().any(1), torch.nan, found)


def telling(scores: Tensor) -> Tensor:
    """Rows of a few images: the worst, some in the middle, the best; each once, in ascending order of score."""
    order = scores.argsort()[: int((~scores.isnan()).sum())]
    places = [*range(_WORST), *(len(order) // 2 + i for i in range(_MIDDLE)), *range(len(order) - _BEST, len(order))]
    kept = sorted({place for place in places if 0 <= place < len(order)})
    return order[torch.tensor(kept, dtype=torch.int64)]


def _pictures(images: ImageSet, maps: Tensor, rows: Tensor, classes: int) -> Tensor:
    """Image, truth and prediction side by side, (n, 3, h, 3 w + gaps)."""
    shown = pictures_of(images, rows, side=_SIDE)
    size = (shown.shape[2], shown.shape[3])
    gap = torch.full((len(rows), 3, size[0], _GAP), _WHITE)
    truth, found = (_colored(masks[rows], classes, size) for masks in (images.labels, maps.nan_to_num(0.0)))
    return torch.cat([shown, gap, truth, gap, found], 3)


def _colored(masks: Tensor, classes: int, size: tuple[int, int]) -> Tensor:
    """Masks (n, H, W) in the colors of their classes, gray where ignored, (n, 3, *size)."""
    colors = torch.full((IGNORED + 1, 3), _GRAY)
    colors[:classes] = torch.tensor(class_colors(classes)) / 255
    planes = interpolate(masks.float().unsqueeze(1), size, mode="nearest-exact").squeeze(1).long()
    return colors[planes].movedim(-1, 1)
