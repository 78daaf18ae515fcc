"""Choose the recipe that gives a run its defaults: the requested one, that of its start, or the one for the data."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from unmask.config import ClassifyConfig, CompareConfig, DataConfig, EncoderConfig, PretrainConfig, RecipeChoice
from unmask.errors import UserError
from unmask.recipes.definition import Recipe, recipe_of
from unmask.recipes.named import RECIPES
from unmask.runs.layout import PRETRAININGS
from unmask.runs.read import EncoderRun, is_run, read_config, read_encoder_run

if TYPE_CHECKING:  # torch comes with it, which --help does without
    from unmask.data.load import Dataset
    from unmask.data.sources.torch_dataset import Given

C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)

SMALL = 96
"""Largest median side, in pixels, of what counts as small images."""
MANY = 10_000
"""Images from which on a network as large as ResNet-50 is proposed."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The user's choices that decide all other defaults."""

    name: str | None = None
    """Name of a recipe. Default: that of `start`, else the one for the data."""
    data: DataConfig | None = None
    """The data set, and which fields of it are the images. Default: those of `start`, else multiview."""
    given: "Dataset | Given | None" = None
    """Images used instead of what `data` names."""
    start: str | None = None
    """The future `init` or `pretrained`; if it is a run, its encoder, image size and recipe are used."""
    encoder: str | None = None
    """Another encoder, by timm's name: the recipe's options, strides and mask cell do not carry over."""


def recipe(
    name: str | None = None,
    *,
    data: str | PathLike[str] | None = None,
    start: str | PathLike[str] | None = None,
    encoder: str | None = None,
) -> Recipe:
    """Return the recipe that gives the defaults of a run, as on the command line.

    Args:
        name: one of `unmask.recipes.RECIPES`. Default: that of the run `start`, else suggested by data and device.
        data: a data set: a path or the name of a built-in.
        start: a run whose recipe, encoder and image size are used: the future `init` or `pretrained`.
        encoder: another encoder; the recipe's options, strides and mask cell do not carry over.

    Raises:
        UserError: the name is unknown; `start` is not a run.
    """
    named = None if data is None else DataConfig(data=fspath(data))
    return _recipe(Wish(name=name, data=named, start=None if start is None else fspath(start), encoder=encoder))


def configured(kind: type[C], config: C | None = None, wish: Wish | None = None) -> C:
    """The default configuration of a run, for the command line and the functions of `unmask`.

    Args:
        kind: type of the configuration.
        config: the configuration apart from the wish. Default: what the recipe gives.
        wish: the recipe, data, start and encoder; no recipe together with `config`.

    Raises:
        UserError: a recipe and a configuration are given; the recipe is unknown; `start` is not a run.
    """
    wish = wish or Wish()
    if config is None:
        return _recipe(wish).fill(kind())
    if wish.name is not None:
        raise UserError(
            f"recipe: {wish.name!r} was given with a configuration, which sets all defaults; omit one of them"
        )
    found = recipe_of(config).for_data(wish.data)
    run = _run_of(wish.start)
    found = found if run is None else found.with_encoder(run.encoder, image_size=run.data.image_size)
    return _other_encoder(found, wish.encoder).fill(config)


def data_for_audit(data: str | PathLike[str] | None, runs: Iterable[Path]) -> DataConfig:
    """The data that `data` names, with its recipe's settings; else those of the first run folder; else the built-in."""
    first = next((run for run in runs if is_run(run)), None)
    return recipe(data=data).data if data or first is None else read_config(first).data


def suggested(data: DataConfig, given: "Dataset | Given | None" = None) -> RecipeChoice:
    """Return the default recipe for a data set on this machine, by images and device.

    Images are judged by the median size of a sample: up to 96 pixels small-cnn; larger ones photo-cnn, but
    masked-resnet50 for 10,000 or more of them on a GPU. Images that cannot be examined count as small: reading them
    later reports what is wrong.
    """
    if data.data == "multiview" and given is None:
        return RecipeChoice(recipe_name="multiview", because="the built-in images with known parts")
    from unmask.data.glance import glance

    try:
        seen = glance(data, given)
    except UserError:
        return RecipeChoice(recipe_name="small-cnn", because="the size of the images is not known")
    size = f"the images' shorter side is {seen.side} pixels (median)"
    if seen.side <= SMALL:
        return RecipeChoice(recipe_name="small-cnn", because=size)
    if not _has_gpu():
        return RecipeChoice(recipe_name="photo-cnn", because=f"{size}, and there is no GPU")
    name = "photo-cnn" if seen.images < MANY else "masked-resnet50"
    return RecipeChoice(recipe_name=name, because=f"{size}, there are {seen.images} of them, and a GPU")


def _has_gpu() -> bool:
    """Whether trainings on this machine run on a GPU."""
    import torch

    return torch.cuda.is_available() or torch.xpu.is_available()


def _recipe(wish: Wish) -> Recipe:
    """The recipe that fulfils a wish."""
    run = _run_of(wish.start)
    if run is None:
        found = _named(wish).for_data(wish.data)
        return found if wish.encoder is None else found.with_encoder(EncoderConfig(encoder=wish.encoder))
    if wish.name is None:
        found = _recipe_of_run(Path(wish.start or ""), run, wish)
    else:
        found = _named(wish).for_data(wish.data).with_encoder(run.encoder, image_size=run.data.image_size)
    return _other_encoder(found, wish.encoder)


def _named(wish: Wish) -> Recipe:
    """The recipe requested by name, else the suggested one."""
    choice = RecipeChoice(recipe_name=wish.name, because="it was requested") if wish.name else None
    choice = choice or suggested(wish.data or DataConfig(), wish.given)
    if choice.recipe_name not in RECIPES:
        raise UserError(f"recipe: {choice.recipe_name!r} is unknown; the recipes are {', '.join(RECIPES)}")
    return replace(RECIPES[choice.recipe_name](), chosen=choice)


def _run_of(start: str | None) -> EncoderRun | None:
    """The configuration of the run that a start names; None for a weights file, timm:pretrained and so on."""
    return None if start is None or not is_run(Path(start)) else read_encoder_run(Path(start))


def _recipe_of_run(folder: Path, run: EncoderRun, wish: Wish) -> Recipe:
    """The recipe of a run: its own training; the others from its comparison, or from the recipe it names."""
    above = folder.resolve().parents[len(Path(PRETRAININGS.pattern).parts) - 1]
    around = read_config(above) if is_run(above) else run
    source = around if isinstance(around, CompareConfig) else run
    if isinstance(source, CompareConfig):
        found, choice = recipe_of(source), source.chosen
    else:
        known = run.chosen is not None and run.chosen.recipe_name in RECIPES
        choice = run.chosen if known else None
        found = _named(replace(wish, name=choice.recipe_name if choice else None, data=wish.data or run.data))
    if choice is not None:
        found = replace(
            found, chosen=RecipeChoice(recipe_name=choice.recipe_name, because=f"{folder} was made with it")
        )
    own = {PretrainConfig: "pretrain", ClassifyConfig: "finetune"}.get(type(run))
    training = {} if own is None else {own: getattr(recipe_of(run), own)}
    return replace(found, encoder=run.encoder, data=run.data, **training).for_data(wish.data)


def _other_encoder(found: Recipe, name: str | None) -> Recipe:
    """The recipe with an encoder of another name; its own encoder if that has this name."""
    if name is None or name == found.encoder.encoder:
        return found
    return found.with_encoder(EncoderConfig(encoder=name))
