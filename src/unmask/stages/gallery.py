"""The gallery of a classifier: its most confident mistakes, a map of its features, nearest neighbors."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unmask.data.imageset import ImageSet
from unmask.data.subsets import spread_over_classes
from unmask.evaluate.feature_map import map_features, nearest_images
from unmask.evaluate.mistakes import surest_mistakes
from unmask.forward import pooled_and_outputs
from unmask.runs.gallery import FeatureMap, Gallery, Mistake, Mistakes, Neighborhood, Point, Sheet, Shown
from unmask.runs.layout import SHEETS
from unmask.stages.contact_sheet import write_sheet
from unmask.wording import printable

MAPPED = 1000
"""Most images on a map: the time for it, and the size of the page, are bounded."""
_WORST, _QUERIES, _NEAREST = 8, 8, 6
_MISTAKE_SIDE, _MAP_SIDE = 128, 64
MISTAKE_BYTES, MAP_BYTES = 500_000, 700_000
"""Names of the two files of pictures."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of one training, or the mean of several of an arm, for every image of a test set."""

    probabilities: Tensor
    """[N, K]; NaN if an image could not be read."""
    trainings: int = 1


@dataclass(frozen=True)
class Embedded:
    """Images of a test set as a network sees them."""

    images: ImageSet
    """The readable images."""
    features: Tensor
    """Pooled, [N, D]."""
    logits: Tensor
    """Outputs of the head, [N, K]; K = 0 without one."""
    network: str = ""
    """In words; empty for a single training."""


def embed_images(
    model: Any, images: ImageSet, engine: Accelerator, *, outputs: int, network: str = ""
) -> Embedded | None:
    """Features and outputs of up to 1,000 images, evenly spread over a set. All processes of the engine call it.

    None if the network has no pooled features, as is the case for few architectures.

    Args:
        model: on the engine's device.
        images: the set, normalized as the network has it.
        engine: gives device, precision and processes.
        outputs: number of outputs of its head; 0 without one.
    """
    found = pooled_and_outputs(model, images.select(images.evenly(MAPPED)), engine, outputs=outputs)
    if found is None:
        return None
    width = found.values.shape[1] - outputs
    return Embedded(found.images, found.values[:, :width], found.values[:, width:], network)


def with_mistakes(
    gallery: Gallery,
    out: Path,
    images: ImageSet,
    predictions: Iterable[tuple[str, Predictions]],
    embedded: Embedded | None,
    seed: int,
) -> Gallery:
    """Build the gallery: the most confident mistakes of every arm and a map, with this seed, of images in a network's
    features.

    The pictures are written into the run folder `out`. The arm of a single training is "".
    """
    mistakes, sheet = _mistakes(out, images, predictions)
    gallery = replace(gallery, mistakes=mistakes, mistake_sheet=sheet)
    found = None if embedded is None else _map(out, embedded, seed)
    return gallery if found is None else replace(gallery, map=found[0], map_sheet=found[1])


def _mistakes(
    out: Path, images: ImageSet, predictions: Iterable[tuple[str, Predictions]]
) -> tuple[tuple[Mistakes, ...], Sheet | None]:
    """The most confident mistakes of every arm, and the sheet of their pictures, each image once."""
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
