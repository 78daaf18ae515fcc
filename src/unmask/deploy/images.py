"""Read any images exactly like those that a run was trained and evaluated on."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

import torch

from unmask.data.imageset import ImageSet
from unmask.data.load import ALL, Dataset, load_images
from unmask.deploy.trained import Trained
from unmask.errors import UserError
from unmask.forward import Outputs
from unmask.wording import plural

Named = str | PathLike[str] | Sequence[str | PathLike[str]] | None
"""Images by name: what `DataConfig.data` takes, or one or several image files; None for a run's own data."""


def load_as_trained(
    trained: Trained,
    data: Named,
    *,
    split: str = ALL,
    on_bad_file: Literal["error", "skip"] = "error",
    limit: int | None = None,
    progress: bool = False,
) -> Dataset:
    """A data set in the image format of a run, under the run's reading options, shares and seed of the split.

    Labels are those of the data, -1 if missing; their names need not be the run's classes.

    Args:
        split: the only set that is used.
        on_bad_file: stop at an unreadable file, or skip it.
        limit: read at most so many images, spread evenly over the data.

    Raises:
        UserError: nothing found, an unreadable file, or pixels of another range than the run's.
    """
    config, names = replace(trained.data, on_bad_file=on_bad_file), _names_of(trained, data)
    return load_images(config, names, trained.card.format, wanted=split, limit=limit, progress=progress)


def _names_of(trained: Trained, data: Named) -> list[str]:
    given = trained.data.data if data is None else data
    names = [fspath(one) for one in ([given] if isinstance(given, str | PathLike) else given)]
    if not names:
        raise UserError("data: no image is named; leave it out for the run's own data")
    return names


def require_apart(out: Path, trained: Trained, data: Named) -> None:
    """Raise `UserError` if the file to write is the data: a manifest, an array."""
    for name in _names_of(trained, data):
        if out.exists() and Path(name).exists() and out.samefile(name):
            raise UserError(f"out: {out} is the data, which it would replace; give another file")


def require_numbers(outputs: Outputs, what: str) -> None:
    """Raise `UserError` if a network's outputs for some image are not finite: they must not pass for a result."""
    rows = torch.nonzero(~outputs.values.flatten(1).isfinite().all(1)).flatten()
    if len(rows):
        raise UserError(
            f"{what} of {plural(len(rows), 'image')} are not finite numbers, the first is that of "
            f"{outputs.images.names[int(rows[0])]}: its pixels may be extreme, or the network diverged in training"
        )


def label_names(images: ImageSet, classes: tuple[str, ...]) -> list[str]:
    """The class of each image; "" if it has no label."""
    return [classes[label] if label >= 0 else "" for label in images.labels.tolist()]
