"""`unmask choose`: which images of a pool to label next, as a table and as a page."""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.choosing.choice_page import write_choice_page
from unmask.choosing.clusters import part_into
from unmask.choosing.encoder import Seen, see
from unmask.choosing.features import Features, features_of
from unmask.choosing.image_paths import file_of, remember_names, write_image
from unmask.choosing.known_labels import labeled_ids, require_enough
from unmask.choosing.record import CHOICE_FILE, CHOICE_PAGE, CHOICE_TABLE, Choice, ChosenImage, write_table
from unmask.choosing.repeats import SavedAgain
from unmask.choosing.strategies import DEFAULT, STRATEGIES, Strategy, choose_rows, nearest_taken
from unmask.choosing.typicality import typicality
from unmask.choosing.uncertainty import require_doubts, uncertainty
from unmask.config.metric import label_form
from unmask.config.validation import require_choice
from unmask.deploy.trained import read_trained
from unmask.errors import UserError
from unmask.runs.files import write_json
from unmask.runs.folder import require_writable_folder
from unmask.wording import plural

_WRITTEN = "images"
"""The folder of images that have no file of their own."""
SHOWN_CLUSTERS = 10
"""Most clusters of the pool on the page."""
REASONS: dict[Strategy, str] = {
    "typical": "the most typical image of a cluster that had no label",
    "farthest": "farthest from every image with a label",
    "facility": "shortens the distances to the nearest label most",
    "random": "at random",
}


@dataclass(frozen=True)
class Chosen:
    """What `choose` wrote."""

    out: Path
    choice: Choice
    images: tuple[ChosenImage, ...]
    """In labeling order."""
    told: str = ""

    def __str__(self) -> str:
        one = self.choice
        out = [f"{plural(one.copies, 'exact copy', 'exact copies')}"] if one.copies else []
        out += [plural(one.unreadable, "unreadable file")] if one.unreadable else []
        left = f"; left out: {' and '.join(out)}" if out else ""
        told = f"\n{self.told}" if self.told else ""
        table, page = self.out / CHOICE_TABLE, self.out / CHOICE_PAGE
        return f"{table}: {len(self.images)} of {plural(one.pool, 'image')}{left}\n{page}{told}"


def choose(
    run: str | PathLike[str],
    out: str | PathLike[str],
    *,
    data: str | PathLike[str] | None = None,
    count: int = 100,
    strategy: Strategy = DEFAULT,
    labeled: str | PathLike[str] | None = None,
    model: str | PathLike[str] | None = None,
    arm: str | None = None,
    split: str = "pretrain",
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Chosen:
    """Choose the images to label, in labeling order: the first 50 of 100 are the same as a choice of 50.

    Writes choose.csv (path, rank, cluster, typicality, share, reason), choose.html with the pictures, and choose.json.
    Each group gets one image before any gets a second. Exact copies, re-saved images, unreadable files and labeled
    images are never chosen; labeled ones count as covered.

    Args:
        run: source of the encoder: a pretraining, any training, a comparison, a .safetensors file of unmask, or
            timm:NAME.
        out: folder to write.
        data: what `DataConfig.data` takes. Default: the data of the run.
        count: number of images to choose.
        strategy: see `choose_rows`.
        labeled: a table (path, label) of images already seen, as `unmask label` saves it; those without a label belong
            to none of the classes. Labels in the data count if only some images have one.
        model: a trained classifier: images it is unsure about count more.
        arm: for a comparison, the arm whose network is used. Default: the recommended one.
        split: the pool: pretrain is all but validation and test images; all; or another set of the data.
        image_size: height and width of the images for public weights. Default: 224 x 224.
        seed: seed of samples, of k-means initialization, and of the strategy random.
        overwrite: replace the choice in `out`.
        progress: show bars.

    Raises:
        UserError: bad input, before the features are computed.
    """
    out = Path(out)
    require_choice("strategy", strategy, STRATEGIES)
    if (out / CHOICE_TABLE).exists() and not overwrite:
        raise UserError(f"out: {out} already holds a choice; `overwrite=True` replaces it")
    require_writable_folder(out)
    classifier = None if model is None else read_trained(Path(model))
    if classifier is not None:
        require_doubts(classifier)
    named = None if data is None else fspath(data)
    seen = see(str(run), named, arm=arm, image_size=image_size, progress=progress)
    pool = _look(seen, split, count, None if labeled is None else Path(labeled), progress=progress)
    images, doubts = pool.features.images, None
    if classifier is not None:
        doubts = uncertainty(classifier, seen.data.data, images, progress=progress)
    rows = choose_rows(
        pool.features.values,
        count,
        strategy=strategy,
        labeled=pool.labels,
        groups=seen.images.groups_of(images),
        weights=doubts,
        repeats=SavedAgain(images),
        seed=seed,
    )
    choice = _record(
        seen, pool, run=str(run), strategy=strategy, model=None if model is None else str(model), seed=seed
    )
    return _write(out, seen, choice, pool, rows, doubts)


@dataclass(frozen=True)
class _Pool:
    """The images to choose from, one of each set with the same pixels."""

    features: Features
    labels: list[int]
    """Rows that were already labeled."""
    size: int
    """Number of images before copies and unreadable files were left out."""
    copies: int
    unreadable: int


def _look(seen: Seen, split: str, count: int, table: Path | None, *, progress: bool) -> _Pool:
    """Features of the pool, of each set of copies a labeled one if any; raises `UserError` for a bad `count`."""
    images = seen.images.images(split)
    known = sorted(labeled_ids(seen.images, seen.data.data, table))
    require_enough(count, images, torch.isin(images.ids, torch.tensor(known, dtype=torch.int64)))
    found = features_of(seen.network, images, show=progress)
    labeled = np.isin(found.images.ids.numpy(), known)
    order = np.lexsort((np.arange(len(labeled)), ~labeled))
    rows = np.sort(order[np.unique(found.digests[order], return_index=True)[1]])
    return _Pool(
        Features(found.images.select(rows.tolist()), found.values[rows], found.digests[rows]),
        np.flatnonzero(labeled[rows]).tolist(),
        size=len(images),
        copies=len(labeled) - len(rows),
        unreadable=len(seen.images.bad_files) + len(images) - len(found.images),
    )


def _record(seen: Seen, pool: _Pool, *, run: str, strategy: Strategy, model: str | None, seed: int) -> Choice:
    task = seen.task
    return Choice(
        run=run,
        data=seen.data,
        format=seen.images.format,
        task=None if task is None else task.name,
        classes=task.names if task is not None and label_form(task.name) in ("class", "names") else (),
        strategy=strategy,
        model=model,
        seed=seed,
        pool=pool.size,
        labeled=len(pool.labels),
        copies=pool.copies,
        unreadable=pool.unreadable,
    )


def _write(
    out: Path, seen: Seen, choice: Choice, pool: _Pool, rows: list[int], weights: NDArray[np.float64] | None
) -> Chosen:
    """Table, record and page of a choice."""
    shown, values = pool.features.images, pool.features.values
    clusters = part_into(values, SHOWN_CLUSTERS, seed=choice.seed)
    density = typicality(values, np.asarray(rows), seed=choice.seed)
    stands_for = np.bincount(nearest_taken(values, [*rows, *pool.labels]), minlength=len(rows)) / len(values)
    doubt = [""] * len(rows) if weights is None else [f"; {weights[row]:.0%} unsure" for row in rows]
    files = _files(seen.data.data, pool.features, rows, out)
    images = tuple(
        ChosenImage(
            path=str(file),
            rank=rank,
            cluster=int(clusters[row]),
            typicality=float(density[rank - 1]),
            share=float(stands_for[rank - 1]),
            reason=REASONS[choice.strategy] + doubt[rank - 1],
        )
        for rank, (row, file) in enumerate(zip(rows, files, strict=True), 1)
    )
    write_table(out / CHOICE_TABLE, images)
    write_json(out / CHOICE_FILE, choice)
    write_choice_page(out, choice, images, shown.select(rows))
    return Chosen(out, choice, images, seen.told)


def _files(data: str, features: Features, rows: list[int], out: Path) -> list[Path]:
    """Files of the chosen images. One that has none is written; the file's name tells its pixels: labels of an earlier
    choice in the same folder still name the pictures they were given to."""
    files, names = list[Path](), dict[str, str]()
    for rank, row in enumerate(rows, 1):
        name = features.images.names[row]
        file = file_of(data, name)
        if file is None:
            mark = features.digests[row].hex()[:12]
            file = write_image(features.images, row, out / _WRITTEN / f"{rank:05d}-{mark}")
            names[file.name] = name
        files.append(file)
    remember_names(out / _WRITTEN, names)
    return files
