"""Recipes: their definition, how they adapt to data and encoder, and the configurations they give."""

from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from typing import Any, TypeVar

from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    PretrainConfig,
    PretrainRecipe,
    RecipeChoice,
)
from unmask.config.names import change

C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Encoder, pretraining, fine-tuning, and the recipes among which the best scratch arm chooses."""

    encoder: EncoderConfig
    pretrain: PretrainRecipe = field(default_factory=PretrainRecipe)
    finetune: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    scratch_candidates: tuple[ClassifyRecipe, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    chosen: RecipeChoice | None = field(default=None, compare=False)
    """Which named recipe it comes from, and why that one was chosen."""

    def pretrain_config(self, **changes: Any) -> PretrainConfig:
        """The configuration of a pretraining.

        Args:
            **changes: fields that differ from the recipe, named like the command line's flags: `lr=1e-4`, `seed=1`.

        Raises:
            UserError: a name is unknown, or a value is not allowed.
        """
        return change(self.fill(PretrainConfig()), changes)

    def finetune_config(self, init: str | PathLike[str], **changes: Any) -> ClassifyConfig:
        """The configuration of a fine-tuning of the weights `init`; `changes` as in `pretrain_config`."""
        return change(self.fill(ClassifyConfig(init=fspath(init))), changes)

    def scratch_config(self, **changes: Any) -> ClassifyConfig:
        """The same training from random weights; `changes` as in `pretrain_config`."""
        return change(self.fill(ClassifyConfig()), changes)

    def compare_config(self, **changes: Any) -> CompareConfig:
        """The configuration of a comparison; `changes` as in `pretrain_config`.

        Changes to one of its trainings are given under its name: `pretrain={"lr": 1e-4}`.
        """
        return change(self.fill(CompareConfig()), changes)

    def fill(self, config: C) -> C:
        """The configuration with data, encoder and trainings of the recipe; its other fields are kept."""
        trainings: dict[str, Any] = {"recipe": self.pretrain if isinstance(config, PretrainConfig) else self.finetune}
        if isinstance(config, CompareConfig):
            trainings = {name: getattr(self, name) for name in ("pretrain", "finetune", "scratch_candidates")}
        return replace(config, data=self.data, encoder=self.encoder, chosen=self.chosen, **trainings)

    def for_data(self, data: DataConfig | None) -> "Recipe":
        """The recipe for the data set that `data` names, if any: the recipe's data options do not carry over."""
        return self if data is None else replace(self, data=other_data(self.data, data.data))

    def with_encoder(self, encoder: EncoderConfig, *, image_size: tuple[int, int] | None = None) -> "Recipe":
        """The recipe for another encoder, trained at an image size; its mask cell does not carry over."""
        cell = self.pretrain.mask.cell if encoder == self.encoder else None
        pretrain = replace(self.pretrain, mask=replace(self.pretrain.mask, cell=cell))
        data = replace(self.data, image_size=image_size or self.data.image_size)
        return replace(self, encoder=encoder, pretrain=pretrain, data=data)


def other_data(config: DataConfig, data: str | None) -> DataConfig:
    """The same data settings for other data, if `data` names any; options, task and fields belong to one data set."""
    return (
        config
        if data in (None, config.data)
        else replace(config, data=data, options=None, task="auto", image_field=None, label_field=None)
    )


def recipe_of(config: PretrainConfig | ClassifyConfig | CompareConfig) -> Recipe:
    """The recipe in a configuration, such that `recipe_of(config).fill(config) == config`."""
    if isinstance(config, PretrainConfig):
        return Recipe(encoder=config.encoder, data=config.data, pretrain=config.recipe, chosen=config.chosen)
    if isinstance(config, ClassifyConfig):
        return Recipe(encoder=config.encoder, data=config.data, finetune=config.recipe, chosen=config.chosen)
    return Recipe(
        encoder=config.encoder,
        data=config.data,
        pretrain=config.pretrain,
        finetune=config.finetune,
        scratch_candidates=config.scratch_candidates,
        chosen=config.chosen,
    )
