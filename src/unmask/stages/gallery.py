"""What a reader wants to see of a classifier's work: its surest mistakes, a map of its features, nearest neighbors."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.data.subsets import spread_over_classes
from unmask.evaluate.feature_map import map_features, nearest_images
from unmask.evaluate.mistakes import surest_mistakes
from unmask.forward import pooled_and_outputs
from unmask.runs.files import write_json
from unmask.runs.gallery import FeatureMap, Gallery, Mistake, Mistakes, Neighborhood, Point, Sheet, Shown
from unmask.runs.layout import GALLERY_FILE, SHEETS
from unmask.stages.contact_sheet import write_sheet
from unmask.wording import printable

MAPPED = 1000
"""Most images on a map: the time for it, and the size of the page, are bounded."""
_WORST, _QUERIES, _NEAREST = 8, 8, 6
_MISTAKE_SIDE, _MAP_SIDE = 128, 64
MISTAKE_BYTES, MAP_BYTES = 500_000, 700_000
"""Of the two files of pictures."""


@dataclass(frozen=True)
class Predictions:
    """What one training, or several of an arm in the mean, predict for every image of a test set."""

    probabilities: Tensor
    """[N, K]; NaN where an image could not be read."""
    trainings: int = 1


@dataclass(frozen=True)
class Embedded:
    """Images of a test set as a network sees them."""

    images: ImageSet
    """Those that could be read."""
    features: Tensor
    """Pooled, [N, D]."""
    logits: Tensor
    """Of the head, [N, K]; K = 0 without one."""
    network: str = ""
    """In words; empty for a single training."""


def embed_images(
    model: Any, images: ImageSet, engine: Accelerator, *, outputs: int, network: str = ""
) -> Embedded | None:
    """What a network makes of up to 1,000 images, evenly spread over a set. All processes of the engine call it.

    None where it gives no pooled features, as few architectures do.

    Args:
        model: on the engine's device.
        images: the set, normalized as the network has it.
        engine: gives device, precision and processes.
        outputs: of its head; 0 without one.
    """
    found = pooled_and_outputs(model, images.select(images.evenly(MAPPED)), engine, outputs=outputs)
    if found is None:
        return None
    width = found.values.shape[1] - outputs
    return Embedded(found.images, found.values[:, :width], found.values[:, width:], network)


def write_gallery(
    out: Path,
    data: Dataset,
    split: str,
    *,
    predictions: Iterable[tuple[str, Predictions]],
    embedded: Embedded | None,
    seed: int,
) -> None:
    """Write gallery.json and the pictures beside it.

    Args:
        out: the run folder.
        data: the data set.
        split: the test set to look at.
        predictions: each with its arm; "" for a single training.
        embedded: images of it in the features of a network, if there is one.
        seed: of the map.
    """
    images = data.tests[split]
    mistakes, mistake_sheet = _mistakes(out, images, predictions)
    found = None if embedded is None else _map(out, embedded, seed)
    gallery = Gallery(
        split=split,
        classes=data.classes,
        channels=data.format.channels,
        mistakes=mistakes,
        mistake_sheet=mistake_sheet,
        map=None if found is None else found[0],
        map_sheet=None if found is None else found[1],
    )
    write_json(out / GALLERY_FILE, gallery)


def _mistakes(
    out: Path, images: ImageSet, predictions: Iterable[tuple[str, Predictions]]
) -> tuple[tuple[Mistakes, ...], Sheet | None]:
    """The surest mistakes of every arm, and the sheet of their pictures, each image once."""
    place: dict[int, int] = {}
    rows = []
    for arm, one in predictions:
        order, wrong = surest_mistakes(one.probabilities, images.labels, _WORST)
        sure, predicted = one.probabilities[order].max(dim=1)
        worst = tuple(
            Mistake(
                picture=place.setdefault(index, len(place)),
                image=_shown(images, index, taken),
                probability=round(probability, 4),
            )
            for index, taken, probability in zip(order.tolist(), predicted.tolist(), sure.tolist(), strict=True)
        )
        looked_at = int((~one.probabilities.isnan().any(dim=1)).sum())
        rows.append(Mistakes(arm=arm, trainings=one.trainings, wrong=wrong, images=looked_at, worst=worst))
    if not place:
        return tuple(rows), None
    shown, path = torch.tensor(list(place)), SHEETS.path(out, "mistakes")
    return tuple(rows), write_sheet(path, images, shown, side=_MISTAKE_SIDE, most_bytes=MISTAKE_BYTES)


def _map(out: Path, embedded: Embedded, seed: int) -> tuple[FeatureMap, Sheet] | None:
    """The map of the images, with the neighbors of a few of all classes."""
    seen, features, logits = embedded.images, embedded.features, embedded.logits
    flat = map_features(features, seed)
    if flat is None:
        return None
    predicted = logits.argmax(dim=1).tolist() if logits.shape[1] else [None] * len(seen)
    points = tuple(
        Point(x=round(float(x), 4), y=round(float(y), 4), image=_shown(seen, i, predicted[i]))
        for i, (x, y) in enumerate(flat.places)
    )
    queries = spread_over_classes(seen.labels, _QUERIES)
    similarity, nearest = nearest_images(features, queries, _NEAREST)
    neighborhoods = tuple(
        Neighborhood(of=of, nearest=tuple(near), similarity=tuple(round(value, 4) for value in like))
        for of, near, like in zip(queries.tolist(), nearest.tolist(), similarity.tolist(), strict=True)
    )
    everything = torch.arange(len(seen))
    sheet = write_sheet(SHEETS.path(out, "map"), seen, everything, side=_MAP_SIDE, most_bytes=MAP_BYTES)
    found = FeatureMap(
        network=embedded.network,
        method=flat.method,
        neighbors=flat.neighbors,
        trustworthiness=round(flat.trustworthiness, 4),
        points=points,
        neighborhoods=neighborhoods,
    )
    return found, sheet


def _shown(images: ImageSet, index: int, predicted: int | None) -> Shown:
    return Shown(name=printable(images.names[index]), truth=int(images.labels[index]), predicted=predicted)
