"""Labels and outputs of other tasks than classification as columns of a table."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unmask.config.metric import label_form
from unmask.data.load import Dataset
from unmask.data.sources.labels import short_name
from unmask.evaluate.labels import UNKNOWN
from unmask.forward import Outputs
from unmask.tasks.kinds import AnyTask


def label_columns(labels: Tensor, task: AnyTask | None) -> dict[str, list[Any]]:
    """The data's labels: label, "a;b" for several, or label_NAME for each of several numbers.

    "" for labels that are unknown, None for numbers.
    """
    form = None if task is None else label_form(task.name)
    if task is not None and form == "names":
        return {"label": [_names(row, task.names) if row.count(UNKNOWN) < len(row) else "" for row in labels.tolist()]}
    if task is not None and form == "numbers":
        cells = [[None if value != value else value for value in column] for column in labels.T.tolist()]
        return {_column("label", name, task): column for name, column in zip(task.names, cells, strict=True)}
    return {}


def labels_for(task: AnyTask, found: AnyTask | None, labels: Tensor) -> Tensor | None:
    """Labels of the data in the order of the run's, unknown for names the data lack; None if they have no labels.

    A name is found with and without the word label before it, which it loses among several, but not alone.
    """
    if found is None or found.name != task.name or (form := label_form(task.name)) not in ("names", "numbers"):
        return None
    places = _places(task.names, found.names)
    if not places:
        return None
    unknown = torch.full_like(labels[:, 0], UNKNOWN if form == "names" else torch.nan)
    return torch.stack([labels[:, places[name]] if name in places else unknown for name in task.names], dim=1)


def ignored_labels(task: AnyTask, found: AnyTask | None) -> tuple[str, ...]:
    """Names of several labels in the data that are none of the run's."""
    if found is None or found.name != task.name or label_form(task.name) != "names":
        return ()
    places = set(_places(task.names, found.names).values())
    return tuple(name for at, name in enumerate(found.names) if at not in places)


def _places(names: Sequence[str], found: Sequence[str]) -> dict[str, int]:
    """Where the names are among those found: as they are, else without the word label, if no two are alike then."""
    shared = (Counter(map(short_name, names)) | Counter(map(short_name, found))).items()
    short = {short_name(name): at for at, name in enumerate(found)}
    places = {name: short[one] for name in names if (one := short_name(name)) in short and (one, 1) in shared}
    return places | {name: at for at, name in enumerate(found) if name in names}


def output_columns(task: AnyTask, dataset: Dataset, outputs: Outputs) -> dict[str, list[Any]]:
    """Labels of the images, predictions, and probabilities."""
    columns = label_columns(outputs.images.labels, dataset.task)
    if label_form(task.name) == "numbers":
        found = {_column("predicted", name, task): outputs.values[:, i].tolist() for i, name in enumerate(task.names)}
        return columns | found
    shares = task.predictions(outputs.values)
    columns["predicted"] = [_names((row > 0).int().tolist(), task.names) for row in outputs.values]
    return columns | {f"p_{name}": shares[:, i].tolist() for i, name in enumerate(task.names)}


def _column(what: str, name: str, task: AnyTask) -> str:
    return what if len(task.names) == 1 else f"{what}_{name}"


def _names(row: Sequence[int], names: Sequence[str]) -> str:
    """The labels that apply, separated by ";"; ";" alone for none."""
    return ";".join(name for name, one in zip(names, row, strict=True) if one == 1) or ";"
