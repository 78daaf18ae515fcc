"""Which images of a pool were already seen: those with labels, and those of none of the classes."""

from pathlib import Path

import torch

from unmask.choosing.image_paths import file_of, holds_image, names_in
from unmask.data.file_names import in_line
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.data.sources.manifest import found_path, read_table
from unmask.errors import UserError


def labeled_ids(images: Dataset, data: str, file: Path | None) -> set[int]:
    """Ids of images that a table lists, or that have a label in data that label only some images.

    Args:
        images: the data; their task determines what counts as a label.
        data: location of the data, as `DataConfig.data`.
        file: a table with the columns path and label, such as `unmask label` saves; paths are absolute, relative to
            the table, the images' names in the data, or those of pictures that `choose` wrote of images without files.
            A row without a label is an image of none of the classes: it was seen too.

    Raises:
        UserError: an image of the table is not in the data; the table has no column of labels.
    """
    every, known = images.readable, set[int]()
    if images.task is not None:
        labeled = images.task.known(every.labels.numpy())
        known = set() if labeled.all() else set(every.ids.numpy()[labeled].tolist())
    return known if file is None else known | _in_table(every, data, file)


def _in_table(images: ImageSet, data: str, file: Path) -> set[int]:
    table = read_table(file)
    if "label" not in table.labels:
        raise UserError(f"{file}: no column label; `labeled` takes a table of path and label")
    by_name = {name: index for index, name in enumerate(images.names)}
    found = [by_name[path] for path in table.path if path in by_name]
    if others := [path for path in table.path if path not in by_name]:
        by_file = _by_file(data, by_name)
        written = _Written(images, by_name)
        for path in others:
            place = (file.parent / found_path(file.parent, path)).resolve()
            index = by_file[place] if place in by_file else written.index_of(place)
            if index is None:
                raise UserError(f"{file}: the image {in_line(path)} is not among the images of {data}")
            found.append(index)
    return set(images.ids[found].tolist())


def _by_file(data: str, by_name: dict[str, int]) -> dict[Path, int]:
    places = ((file_of(data, name), index) for name, index in by_name.items())
    return {place.resolve(): index for place, index in places if place is not None}


class _Written:
    """Pictures that `choose` wrote of images without files; a folder's table of names is read once."""

    def __init__(self, images: ImageSet, by_name: dict[str, int]) -> None:
        self._images, self._by_name = images, by_name
        self._names: dict[Path, dict[str, str]] = {}

    def index_of(self, file: Path) -> int | None:
        """The image of which this is a picture; None if there is none, or it has other pixels."""
        if file.parent not in self._names:
            self._names[file.parent] = names_in(file.parent)
        index = self._by_name.get(self._names[file.parent].get(file.name, ""))
        return index if index is not None and file.is_file() and holds_image(file, self._images, index) else None


def require_enough(count: int, images: ImageSet, labeled: torch.Tensor) -> None:
    """Raise `UserError` if more images are wanted than are unlabeled."""
    left = len(images) - int(labeled.sum())
    if not 1 <= count <= left:
        given = f", {int(labeled.sum())} of them already labeled" if bool(labeled.any()) else ""
        raise UserError(f"count = {count} is out of range: the pool has {len(images)} images{given}: 1 to {left}")
