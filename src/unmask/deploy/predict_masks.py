"""Masks that a segmentation run predicts, as PNG files with a palette, in the size of each image."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from unmask.data.imageset import ImageSet
from unmask.data.mask_colors import class_colors
from unmask.deploy.images import require_numbers
from unmask.deploy.mask_truth import truth_for
from unmask.deploy.trained import Trained, told
from unmask.deploy.windows import windowed
from unmask.errors import UserError
from unmask.evaluate.overlap import iou, mean_of_classes, overlap
from unmask.forward import map_images
from unmask.runs.files import atomic_path
from unmask.runs.folder import require_writable_folder
from unmask.training.engine import build_engine, fast_layout
from unmask.wording import first_of, plural


@dataclass(frozen=True)
class PredictedMasks:
    """What `predict` wrote for a segmentation run: the folder, its masks, and their mean IoU if truth is known."""

    out: Path
    images: int
    labeled: int
    left_out: int
    miou: float | None
    """Over all pixels of the images that have a mask; None without any."""
    network: str = ""
    unknown: dict[str, int] = field(default_factory=dict)
    """Number of masks that show each class that the run lacks, whose pixels do not count; the most frequent first."""
    by_index: bool = False
    """Whether classes were matched by index, as only the run's or only the data's have names."""

    def __str__(self) -> str:
        known = f"; mIoU {self.miou:.1%} on {self.labeled} with a mask" if self.miou is not None else ""
        skipped = f"; {plural(self.left_out, 'unreadable file')} left out" if self.left_out else ""
        none = "" if self.labeled else "; no mask is known"
        return f"{self.out}: {plural(self.images, 'mask')}{known}{none}{self._classes()}{skipped}{told(self.network)}"

    def _classes(self) -> str:
        """How the classes of the masks were matched to the run's, if not one to one by name."""
        index = "; classes matched by index, as one side has no names" if self.by_index and self.labeled else ""
        if not self.unknown:
            return index
        what = "a class of the masks is" if len(self.unknown) == 1 else "classes of the masks are"
        return f"; ignored, as {what} none of this run's: {first_of(self.unknown)}"


def require_folder(out: Path, *, overwrite: bool) -> None:
    """Raise `UserError` unless masks can be written to a folder without overwriting others unasked."""
    if out.suffix.lower() in (".csv", ".parquet") or (out.exists() and not out.is_dir()):
        raise UserError(f"out: {out}: masks go to a folder, one PNG per image; name a folder")
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise UserError(f"out: {out} is not empty; `overwrite=True` writes into it")
    require_writable_folder(out)


def predict_masks(
    trained: Trained,
    images: ImageSet,
    out: Path,
    *,
    classes: tuple[str, ...],
    left_out: int,
    windows: bool,
    show: bool,
) -> PredictedMasks:
    """Write OUT/NAME.png for every image; the classes are the values of its pixels, its palette their colors.

    The mean IoU is that of the run's own evaluation, on images resized to the network's size. The masks have the size
    of the images' files: logits are upsampled to it, or, with `windows`, computed there in overlapping windows.
    `classes` are those of the images' masks; they are matched to the run's by name.

    Raises:
        UserError: outputs that are not numbers, files that must not be replaced, or masks that do not fit the run's
            classes, before a file is written.
    """
    task = trained.card.task
    assert task is not None
    targets = [out / name for name in mask_names(images.names)]
    require_masks(targets)
    engine = build_engine(trained.precision)
    model = fast_layout(trained.model).to(engine.device)
    matched = truth_for(images, classes, task.names)
    outputs = map_images(model, matched.images, engine, readout=task.readout, description="predict", show=show)
    require_numbers(outputs, "the outputs")
    known = torch.from_numpy(task.known(outputs.images.labels.numpy())) if outputs.images.labels.ndim == 3 else None
    count = 0 if known is None else int(known.sum())
    miou = None
    if known is not None and count:
        truth, predicted = outputs.images.labels[known], outputs.values[known].to(torch.uint8)
        miou = mean_of_classes(iou(overlap(predicted, truth, len(task.names))))

    def network(batch: Tensor) -> Tensor:
        with engine.autocast(), torch.no_grad():
            return model(batch.to(engine.device))

    for index, row in enumerate(outputs.rows.tolist()):
        mask = _mask(network, outputs.images, index, outputs.values[index], windows=windows)
        write_mask(targets[row], mask, len(task.names))
    missing = left_out + len(images) - len(outputs.rows)
    return PredictedMasks(
        out, len(outputs.rows), count, missing, miou, trained.network, matched.unknown, matched.by_index
    )


def mask_names(names: Sequence[str]) -> list[Path]:
    """Where masks lie below the output folder: as the images do below their common folder, with the ending .png.

    Images that differ only in their ending keep it: a.jpg.png, a.tif.png.
    """
    paths = [Path(os.path.abspath(name)) if os.path.isabs(name) else Path(name) for name in names]
    absolute = [path for path in paths if path.is_absolute()]
    root = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
    inside = [path.relative_to(root) if path.is_absolute() else path for path in paths]
    inside = [Path(*(part for part in path.parts if part != "..")) for path in inside]
    times = Counter(path.with_suffix("") for path in inside)
    return [
        path.with_suffix(".png") if times[path.with_suffix("")] == 1 else path.with_name(f"{path.name}.png")
        for path in inside
    ]


def require_masks(files: Sequence[Path]) -> None:
    """Raise `UserError` if a file would be written twice, or is there and no mask that `predict` wrote."""
    twice = [file for file, times in Counter(files).items() if times > 1]
    if twice:
        raise UserError(f"data: several images would have the mask {twice[0]}; name each image once, by its whole path")
    for file in files:
        if os.path.lexists(file) and not _written_here(file):
            raise UserError(
                f"out: {file} would be replaced, which is not a mask that predict wrote; give another folder"
            )


def _written_here(file: Path) -> bool:
    """Whether a file is a PNG with a palette of `class_colors`."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            palette = image.getpalette() if image.mode == "P" else None
    except OSError:
        return False
    count = len(palette or []) // 3
    return count > 0 and palette == _palette(count)


def _palette(classes: int) -> list[int]:
    return [channel for color in class_colors(classes) for channel in color]


def write_mask(path: Path, mask: Tensor, classes: int) -> None:
    """A mask (H, W) as an indexed PNG with the colors of its classes."""
    image = Image.fromarray(mask.to(torch.uint8).numpy())
    image.putpalette(_palette(classes))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def _mask(network: Callable[[Tensor], Tensor], images: ImageSet, index: int, small: Tensor, *, windows: bool) -> Tensor:
    """The classes of an image's own pixels, (H, W); `small` are those at the network's size."""
    own, wanted = images.stored_size(index), images.format.size
    if own is None or own == wanted:
        return small
    if windows and (own[0] > wanted[0] or own[1] > wanted[1]):
        return windowed(network, images.prepared_at(index, own), wanted).argmax(0)
    batch = next(iter(images.batches(torch.tensor([index]), 1)))
    logits = network(batch.images).float().cpu()
    return interpolate(logits, size=own, mode="bilinear", align_corners=False)[0].argmax(0)
