"""Any images, read exactly as those that a run was trained and evaluated on."""

from dataclasses import replace
from typing import Literal

from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.deploy.trained import Trained


def load_as_trained(
    trained: Trained,
    data: str | None,
    *,
    on_bad_file: Literal["error", "skip"] = "error",
    limit: int | None = None,
    progress: bool = False,
) -> Dataset:
    """A data set in the image format of a run, under the run's reading options, shares and seed of the split.

    Labels are those of the data, -1 where there are none; their names need not be the run's classes.

    Args:
        trained: the run.
        data: what `DataConfig.data` takes; None for the run's own data.
        on_bad_file: stop at an unreadable file, or leave it out.
        limit: read at most so many images, spread evenly over the data.
        progress: show a bar while files are decoded.

    Raises:
        UserError: nothing there, an unreadable file, or pixels of another range than the run's.
    """
    config = replace(trained.data, on_bad_file=on_bad_file)
    if data is not None and data != config.data:
        config = replace(config, data=data, options=None)
    return load_data(config, labels=False, progress=progress, format=trained.card.format, limit=limit)


def label_names(images: ImageSet, classes: tuple[str, ...]) -> list[str]:
    """The class of each image; "" where it has no label."""
    return [classes[label] if label >= 0 else "" for label in images.labels.tolist()]
