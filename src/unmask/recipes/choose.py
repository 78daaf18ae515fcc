"""Which recipe is the default for a data set."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TypeVar

from unmask.config import ClassifyConfig, CompareConfig, DataConfig, PretrainConfig
from unmask.errors import UserError
from unmask.recipes.definition import Recipe, recipe_of
from unmask.recipes.named import RECIPES
from unmask.runs.read import is_run, read_config

C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)

_FIRST_OF_BRACES = re.compile(r"\{([^{},.]*)(?:,|\.\.)[^{}]*\}")  # of "{000..099}", as shards are named


def recipe(
    name: str | None = None, *, data: str = "multiview", start: str | Path | None = None, encoder: str | None = None
) -> Recipe:
    """The recipe that gives the defaults of a run, as on the command line.

    Args:
        name: multiview, small-cnn, masked-resnet50 or mae-vit-small. Default: suggested by the data.
        data: a data set: a path or the name of a built-in.
        start: a run whose encoder and image size are taken: what `init` or `pretrained` will be.
        encoder: another encoder; options, strides and mask cell of the recipe's own do not carry over.

    Raises:
        UserError: the name is unknown; `start` is not a run.
    """
    name = name or suggested(data)
    if name not in RECIPES:
        raise UserError(f"recipe: {name!r} is unknown; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]().adapted(data=data, start=None if start is None else str(start), encoder=encoder)


def configured(
    kind: type[C],
    config: C | None = None,
    *,
    name: str | None = None,
    data: str | None = None,
    start: str | None = None,
    encoder: str | None = None,
) -> C:
    """The configuration of a run where nothing further is said: for the command line and the functions of `unmask`.

    Args:
        kind: of the configuration.
        config: what it is but for the other arguments. Default: what the recipe gives.
        name: of the recipe; not beside `config`.
        data, start, encoder: as in `recipe`.

    Raises:
        UserError: a recipe and a configuration are given; the recipe is unknown; `start` is not a run.
    """
    if config is None:
        config, base = kind(), recipe(name, data=data or "multiview")
    elif name is None:
        base = recipe_of(config)
    else:
        raise UserError(f"recipe: {name!r} stands beside a configuration, which gives all defaults; omit one of them")
    return base.adapted(data=data, start=start, encoder=encoder).fill(config)


def data_for_audit(data: str | None, runs: Iterable[Path]) -> DataConfig:
    """The data that `data` names, as its recipe has them; else those of the first run folder; else the built-in."""
    first = next((run for run in runs if is_run(run)), None)
    return recipe(data=data or "multiview").data if data or first is None else read_config(first).data


def suggested(data: str) -> str:
    """The default recipe for a data set: multiview for the built-in, small-cnn up to 96 pixels, masked-resnet50 above.

    A folder or a tar is judged by the first image found; anything else (a manifest, an array) counts as small.
    """
    if data == "multiview":
        return "multiview"
    path = Path(_FIRST_OF_BRACES.sub(r"\1", data))
    return "masked-resnet50" if _first_side(path) > 96 else "small-cnn"


def _first_side(path: Path) -> int:
    from PIL import Image, UnidentifiedImageError

    from unmask.data.decoding.decode import FORMATS

    files = sorted(path.rglob("*"))[:1000] if path.is_dir() else [path]
    images = [file for file in files if path.is_dir() and _is_image(file.name)]
    tars = (_first_of_tar(file) for file in files if file.suffix.lower() == ".tar" and file.is_file())
    found: Iterator[Path | BytesIO] = chain(images, tars)
    for file in found:
        try:
            with Image.open(file, formats=FORMATS) as image:
                return min(image.size)
        except (OSError, UnidentifiedImageError):
            continue
    return 0


def _is_image(name: str) -> bool:
    """By the last part of a path."""
    base = name.rpartition("/")[2].lower()
    return base.endswith((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")) and not base.startswith(".")


def _first_of_tar(path: Path) -> BytesIO:
    """The first image in a tar; nothing where there is none."""
    from unmask.data.sources.tar import places

    with path.open("rb") as tar, suppress(UserError):
        for place in places(tar):
            if _is_image(place.name):
                tar.seek(place.offset)
                return BytesIO(tar.read(place.size))
    return BytesIO()
